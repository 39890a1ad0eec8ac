/**
 * Clients of a grpc-proxy, or of a gateway, that use it as many programs do: all watch the same keys, keep the same leases
 * alive, read the same keys, and write now and then.
 */
import { create } from "@bufbuild/protobuf";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease, LeaseKeepAliveRequestSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch, WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { GrpcClient } from "../harness/grpc-client.ts";

const encoder = new TextEncoder();
const bytes = (text: string): Uint8Array => encoder.encode(text);
/** A pause between the steps of one client, so that a busy machine has time for the rest. */
const PAUSE_MS = 60;

export interface BusyClientsOptions {
  readonly clients: number;
  /** Watches of each client. */
  readonly watches: number;
}

export class BusyClients implements AsyncDisposable {
  readonly #clients: readonly GrpcClient[];
  readonly #running: Promise<unknown>;
  /** Open until they are cancelled: to close a client ends only what it has not begun. */
  readonly #streams = new Set<{ cancel(): void }>();
  #stopped = false;

  /** Starts them. Calls that fail are made again later: members may be stopped. */
  constructor(address: string, { clients, watches }: BusyClientsOptions) {
    this.#clients = Array.from({ length: clients }, () => new GrpcClient(address));
    this.#running = Promise.all([
      this.#keepAlive(),
      ...this.#clients.map((client) => this.#watch(client, watches)),
      ...this.#clients.map((client, index) => this.#work(client, index)),
    ]);
  }

  /** Watches on one stream, and on another one when that has ended. */
  async #watch(client: GrpcClient, watches: number): Promise<void> {
    const value = { key: bytes("busy/"), rangeEnd: bytes("busy0") };
    const request = create(WatchRequestSchema, { requestUnion: { case: "createRequest", value } });
    while (!this.#stopped) {
      const stream = client.bidirectional(Watch.method.watch);
      this.#streams.add(stream);
      const { promise: ended, resolve } = Promise.withResolvers<void>();
      stream.on("error", () => {}).on("status", () => resolve());
      for (let watch = 0; watch < watches; watch++) stream.write(request);
      stream.resume();
      await ended;
      this.#streams.delete(stream);
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** All clients keep one lease alive, as the workers of one service do. */
  async #keepAlive(): Promise<void> {
    const granted = await this.#tried(() => this.#clients[0]!.unary(Lease.method.leaseGrant, { TTL: 60n }));
    const request = create(LeaseKeepAliveRequestSchema, { ID: granted?.ID ?? 1n });
    const keepAlive = async (client: GrpcClient): Promise<void> => {
      while (!this.#stopped) {
        const stream = client.bidirectional(Lease.method.leaseKeepAlive);
        this.#streams.add(stream);
        stream.on("error", () => {}).resume();
        while (!this.#stopped && stream.writable && !stream.destroyed) {
          stream.write(request);
          await Bun.sleep(PAUSE_MS * 4);
        }
        stream.cancel();
        this.#streams.delete(stream);
        await Bun.sleep(PAUSE_MS);
      }
    };
    await Promise.all(this.#clients.map(keepAlive));
  }

  async #work(client: GrpcClient, index: number): Promise<void> {
    for (let step = 0; !this.#stopped; step++) {
      const key = bytes(`busy/${step % 10}`);
      await this.#tried(() => client.unary(KV.method.range, { key, serializable: step % 4 > 0 }));
      if ((step + index) % 8 === 0) {
        await this.#tried(() => client.unary(KV.method.put, { key, value: bytes("x".repeat(200)) }));
      }
      // Not there: a call that fails.
      if ((step + index) % 100 === 99) {
        await this.#tried(() => client.unary(Lease.method.leaseRevoke, { ID: 1n }));
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  async #tried<Answer>(call: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await call();
    } catch {
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    for (const stream of this.#streams) stream.cancel();
    for (const client of this.#clients) client.close();
    await this.#running;
  }
}
