/**
 * A client of the load that makes one call after the other over a connection of its own, at a steady pace.
 *
 * It behaves as etcd's clients do: a deadline for each call, another connection when its own is lost, and nothing is
 * sent again by itself; a call that failed is followed by another one, at the same pace.
 */
import { status as grpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { RECONNECT_QUICKLY } from "../watch-client.ts";
import { type CallKind, CallLog } from "./call-log.ts";

/** From the beginning of a call to that of the next, unless the call takes longer. */
export const PACE_MS = 25;
export const CALL_DEADLINE_MS = 5_000;

export class PacedClient {
  readonly log: CallLog;
  readonly #client: GrpcClient;
  readonly #call: (client: GrpcClient) => Promise<void>;
  readonly #running: Promise<void>;
  #stopped = false;

  /** @param call makes the next call, and is done with its answer once it resolves. */
  constructor(address: string, kind: CallKind, call: (client: GrpcClient) => Promise<void>) {
    this.log = new CallLog(kind);
    this.#client = new GrpcClient(address, RECONNECT_QUICKLY);
    this.#call = call;
    this.#running = this.#run();
  }

  /** Ends once the call under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#client.close();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const begunMs = performance.now();
      try {
        await this.#call(this.#client);
        this.log.succeeded(performance.now());
      } catch (error) {
        this.log.failed(
          performance.now(),
          codeOf(error),
          error instanceof Error ? error.message : String(error),
        );
      }
      await Bun.sleep(Math.max(0, begunMs + PACE_MS - performance.now()));
    }
  }
}

/** The name of the status that a call ended with. */
function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? Number(error.code) : Number.NaN;
  return grpcStatus[code] ?? "NO STATUS";
}
