/** A hub over a model channel, and calls of its clients: what the tests of reads share. */
import { create, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { methodPath } from "../../../src/etcd/services.ts";
import {
  KV,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import type { ServerCall } from "../../../src/grpc/server-call.ts";
import { BufferBudget } from "../../../src/http2/buffer-budget.ts";
import { SingleRequestForward } from "../../../src/proxy/forward/single-request.ts";
import { type CacheBounds, KvHub } from "../../../src/proxy/kv/kv-hub.ts";
import type { ReadLimits } from "../../../src/proxy/kv/read-limits.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { FakeClock } from "../../harness/fake-clock.ts";
import { ModelChannel } from "./model-channel.ts";
import { ReadClient, type ReadClientOptions } from "./read-client.ts";

export const RANGE = methodPath(KV.method.range);
export const TXN = methodPath(KV.method.txn);
export const FORWARD_LIMITS = { sendBytesMax: 1_000_000, receiveBytesMax: 0x7fff_ffff };
export const CACHE: CacheBounds = { bytesMax: 100_000, entriesMax: 100, maxAgeMs: 1000 };
/** Small enough to be reached by a few hundred bytes. */
export const SMALL_LIMITS: Partial<ReadLimits> = {
  sharedAnswerBytesMax: 400,
  gatheredBytesMax: 4000,
  pieceBytes: 64,
  heldBytesMax: 40,
};

export interface KvSceneOptions {
  readonly cache?: CacheBounds | null;
  readonly coalescing?: boolean;
  readonly limits?: Partial<ReadLimits>;
  readonly budgetBytes?: number;
}

export type ReadOptions = Omit<ReadClientOptions, "path">;

/** A framed RangeRequest. */
export function rangeRequest(range: MessageInitShape<typeof RangeRequestSchema> | string): Uint8Array {
  const fields = typeof range === "string" ? { key: Buffer.from(range) } : range;
  return framed(toBinary(RangeRequestSchema, create(RangeRequestSchema, fields)));
}

export function txnRequest(txn: MessageInitShape<typeof TxnRequestSchema>): Uint8Array {
  return framed(toBinary(TxnRequestSchema, create(TxnRequestSchema, txn)));
}

/** A RangeResponse at `revision`, with a pair of that value. */
export function rangeAnswer(revision: number, value = ""): Uint8Array {
  return toBinary(
    RangeResponseSchema,
    create(RangeResponseSchema, {
      header: { revision: BigInt(revision) },
      kvs: [{ key: Buffer.from("k"), value: Buffer.from(value) }],
    }),
  );
}

export class KvScene {
  readonly clock = new FakeClock();
  readonly channel = new ModelChannel(this.clock);
  readonly budget: BufferBudget;
  readonly hub: KvHub;
  readonly clients: ReadClient[] = [];

  constructor(options: KvSceneOptions = {}) {
    this.budget = new BufferBudget(options.budgetBytes ?? Number.POSITIVE_INFINITY);
    this.hub = new KvHub({
      channel: this.channel.asChannel,
      clock: this.clock,
      forwardLimits: FORWARD_LIMITS,
      cache: options.cache === undefined ? CACHE : options.cache,
      coalescing: options.coalescing ?? true,
      limits: options.limits ?? {},
      budget: this.budget,
    });
    this.channel.onConnected = () => this.hub.onConnected();
    this.channel.connect();
  }

  /** A Range; it is sent at the end of the turn. */
  range(range: Parameters<typeof rangeRequest>[0] | Uint8Array, options: ReadOptions = {}): ReadClient {
    const call = this.#client(RANGE, options);
    this.hub.serveRange(call);
    call.request(range instanceof Uint8Array ? range : rangeRequest(range));
    return call;
  }

  txn(txn: MessageInitShape<typeof TxnRequestSchema> | Uint8Array, options: ReadOptions = {}): ReadClient {
    const call = this.#client(TXN, options);
    this.hub.serveTxn(call);
    call.request(txn instanceof Uint8Array ? txn : txnRequest(txn));
    return call;
  }

  /** A call of any other unary method, forwarded as the router does. */
  forward(method: DescMethod, message: Uint8Array, options: ReadOptions = {}): ReadClient {
    const call = this.#client(methodPath(method), options);
    this.serveOther(call, method);
    call.request(message);
    return call;
  }

  serveOther(call: ServerCall, method: DescMethod): void {
    const effects = this.hub.effectsOf(method);
    new SingleRequestForward(call, this.channel.asChannel, FORWARD_LIMITS, true, effects);
  }

  /** A call of which nothing has come yet. */
  open(
    serve: (call: ReadClient) => void,
    options: ReadOptions & { readonly path?: string } = {},
  ): ReadClient {
    const call = this.#client(RANGE, options);
    serve(call);
    return call;
  }

  /** Ends the turn, and those after it in which nothing comes. */
  turn(): void {
    do this.clock.endTurn();
    while (this.clock.goesOn);
  }

  /** Whatever broke a rule. */
  get violations(): string[] {
    return [...this.clients, ...this.channel.calls].flatMap(({ violations }) => violations);
  }

  /** What should be gone once every call has ended, and has not: after ten seconds in which nothing happens. */
  leftOvers(): string[] {
    this.turn();
    this.clock.advance(10_000);
    const { cacheEntries, cacheBytes, cacheKeys } = this.hub.stats;
    const counts: Record<string, number> = {
      "calls of clients": this.clients.filter(({ done }) => !done).length,
      "calls at members": this.channel.openCalls.length,
      "waiting calls": this.channel.waitingCalls,
      "bytes in memory": this.budget.heldBytes,
      "cached answers": cacheEntries,
      "cached bytes": cacheBytes,
      "cached keys": cacheKeys,
      timers: this.clock.timers,
    };
    return [
      ...this.violations,
      ...Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`])),
    ];
  }

  #client(path: string, options: ReadOptions): ReadClient {
    const call = new ReadClient({ path, ...options });
    this.clients.push(call);
    return call;
  }
}
