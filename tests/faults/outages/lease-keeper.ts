/**
 * A client that keeps some leases alive over one stream, as etcd's own client does: a heartbeat for each lease when a
 * third of its time has passed, again every half second while it is not answered, and another stream half a second
 * after one has ended.
 *
 * Each lease holds a key, so that etcd's own history tells when a lease was lost.
 */
import { type ClientDuplexStream, status as grpcStatus, type StatusObject } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import {
  Lease,
  type LeaseKeepAliveRequest,
  LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
} from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { RECONNECT_QUICKLY } from "../watch-client.ts";
import { CallLog } from "./call-log.ts";

const TTL_SECONDS = 10;
const BEAT_MS = (TTL_SECONDS * 1000) / 3;
const TICK_MS = 500;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

interface KeptLease {
  readonly id: bigint;
  /** The time of the next heartbeat. */
  nextMs: number;
}

/** A key that is there as long as its lease. */
export interface HeldKey {
  readonly key: string;
  /** Of the write that attached it. */
  readonly revision: number;
}

export class LeaseKeeper {
  readonly log = new CallLog("heartbeat");
  readonly held: readonly HeldKey[];
  /** Leases of which the server said that they are over. */
  toldLost = 0;
  readonly #client: GrpcClient;
  readonly #leases = new Map<bigint, KeptLease>();
  readonly #timer: ReturnType<typeof setInterval>;
  #stream: ClientDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse> | null = null;
  #reopenMs = 0;
  #stopped = false;

  private constructor(client: GrpcClient, ids: readonly bigint[], held: readonly HeldKey[]) {
    this.#client = client;
    this.held = held;
    for (const id of ids) this.#leases.set(id, { id, nextMs: 0 });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  /** Has one lease granted for each of `keys`, which it holds from then on. */
  static async start(address: string, keys: readonly string[]): Promise<LeaseKeeper> {
    const client = new GrpcClient(address, RECONNECT_QUICKLY);
    const ids: bigint[] = [];
    const held: HeldKey[] = [];
    for (const key of keys) {
      // Members that have just come back may still change their leader.
      await waitFor("a lease before the load", async () => {
        const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: BigInt(TTL_SECONDS) });
        const { header } = await client.unary(KV.method.put, { key: bytes(key), lease: ID });
        ids.push(ID);
        held.push({ key, revision: Number(header!.revision) });
        return true;
      });
    }
    return new LeaseKeeper(client, ids, held);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#stream?.cancel();
    this.#client.close();
  }

  #tick(): void {
    const nowMs = performance.now();
    if (this.#stream === null && nowMs >= this.#reopenMs) this.#open();
    for (const { id, nextMs } of this.#leases.values()) {
      if (nextMs <= nowMs) this.#stream?.write(create(LeaseKeepAliveRequestSchema, { ID: id }));
    }
  }

  #open(): void {
    const stream = this.#client.bidirectional(Lease.method.leaseKeepAlive);
    this.#stream = stream;
    stream.on("data", (response: LeaseKeepAliveResponse) => this.#take(response));
    stream.on("error", () => {}); // The status says the same.
    stream.on("status", ({ code, details }: StatusObject) => {
      if (this.#stopped) return;
      this.log.failed(performance.now(), grpcStatus[code] ?? String(code), details);
      this.#stream = null;
      this.#reopenMs = performance.now() + TICK_MS;
    });
  }

  #take({ ID, TTL }: LeaseKeepAliveResponse): void {
    const lease = this.#leases.get(ID);
    if (lease === undefined) return;
    const nowMs = performance.now();
    lease.nextMs = nowMs + BEAT_MS;
    if (TTL > 0n) return this.log.succeeded(nowMs);
    this.toldLost++;
    this.#leases.delete(ID);
  }
}
