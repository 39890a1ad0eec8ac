/**
 * Many connections that have done one exchange and then stay open and silent, as most clients of a proxy do most
 * of the time.
 */
import {
  callHeaderBlock,
  CLIENT_PREFACE,
  Flag,
  frame,
  FrameSplitter,
  FrameType,
  settings,
} from "./floors/frames.ts";
import { hostAndPort } from "./host-and-port.ts";
import { ANSWER_BYTES, orderBytes } from "./tcp-order.ts";

const OPENING_AT_ONCE = 64;

/** What a client sends once, and how it knows that all of the answer is there. */
export interface Exchange {
  readonly request: Uint8Array;
  /** Makes what is told of every chunk of an answer; it returns true when the answer is complete. */
  watch(): (chunk: Buffer) => boolean;
}

/** The exchange with `programs/tcp-peer.ts`. */
export const tcpExchange: Exchange = {
  request: orderBytes("exchange"),
  watch() {
    let missingBytes = ANSWER_BYTES;
    return (chunk) => (missingBytes -= chunk.length) === 0;
  },
};

/** One unary gRPC call on stream 1. @param message the request, without the length prefix. */
export function grpcExchange(path: string, authority: string, message: Uint8Array): Exchange {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return {
    request: Buffer.concat([
      CLIENT_PREFACE,
      settings([[2, 0]]),
      frame(FrameType.headers, Flag.endHeaders, 1, callHeaderBlock(path, authority)),
      frame(FrameType.data, Flag.endStream, 1, Buffer.concat([prefix, message])),
      frame(FrameType.settings, Flag.ack, 0, new Uint8Array(0)),
    ]),
    watch() {
      let data = false;
      let complete = false;
      const splitter = new FrameSplitter(0, (type, flags) => {
        if (type === FrameType.data) data = true;
        else if (type === FrameType.headers && (flags & Flag.endStream) !== 0) complete = data;
      });
      return (chunk) => {
        splitter.push(chunk);
        return complete;
      };
    },
  };
}

export class IdleClients implements Disposable {
  readonly #sockets: Bun.Socket[] = [];
  #lost = 0;

  get lost(): number {
    return this.#lost;
  }

  /** Opens `count` connections to `address` and does the exchange on each. @throws Error when one fails. */
  static async open(address: string, count: number, exchange: Exchange): Promise<IdleClients> {
    const clients = new IdleClients();
    let begun = 0;
    const worker = async (): Promise<void> => {
      while (begun < count) {
        begun++;
        await clients.#openOne(address, exchange);
      }
    };
    try {
      await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker));
      return clients;
    } catch (error) {
      clients[Symbol.dispose]();
      throw error;
    }
  }

  #openOne(address: string, exchange: Exchange): Promise<void> {
    return new Promise((resolve, reject) => {
      let watch: ((chunk: Buffer) => boolean) | null = exchange.watch();
      Bun.connect({
        ...hostAndPort(address),
        socket: {
          open: (socket) => {
            this.#sockets.push(socket);
            socket.write(exchange.request);
          },
          data(_socket, chunk) {
            if (watch === null || !watch(chunk)) return;
            watch = null;
            resolve();
          },
          close: () => {
            this.#lost++;
            reject(new Error(`${address} closed a connection that was to stay open`));
          },
        },
      }).catch(reject);
    });
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.terminate();
  }
}
