/**
 * Gzip for Connect's side of the port, which tells of clients whose messages grow beyond the largest message when they
 * are inflated (gzip bombs).
 *
 * Connect asks for a message to be inflated without saying whose it is: that is remembered beside. Inflating stops at the
 * bound; what is beyond it is never made.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";

/** Whose call is at work: hears of a message that is too large once inflated. */
export interface InflateListener {
  /** The client's address. */
  readonly peer?: string | undefined;
  limitReached(limit: "inflatedMessage", reason: string): void;
}

const atWork = new AsyncLocalStorage<InflateListener>();

/** Runs `serve`; what it and whatever follows from it inflates is the doing of `listener`'s client. */
export function inflatingFor(listener: InflateListener, serve: () => void): void {
  atWork.run(listener, serve);
}

/** The address of the client whose call, of another protocol than gRPC, is at work; undefined for none. */
export function clientAtWork(): string | undefined {
  return atWork.getStore()?.peer;
}

export const limitedGzip: Compression = {
  ...compressionGzip,
  async decompress(bytes, readMaxBytes) {
    try {
      return await compressionGzip.decompress(bytes, readMaxBytes);
    } catch (error) {
      const failure = ConnectError.from(error);
      if (failure.code === Code.ResourceExhausted) {
        atWork.getStore()?.limitReached("inflatedMessage", failure.rawMessage);
      }
      throw error;
    }
  },
};
