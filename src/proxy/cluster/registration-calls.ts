/**
 * What registrations ask of members: a lease, a key, heartbeats; and who else is registered.
 *
 * Stands between those who know when to ask and the members. All is asked in the name of the proxy's own user where it has
 * one, through the channel like any call, so that it follows the member in use and lies in the namespace.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { KeyRange } from "../../etcd/key-range.ts";
import { decodedAnswerBytes } from "../../etcd/message-weight.ts";
import { methodPath } from "../../etcd/services.ts";
import { KV, type RangeResponse } from "../../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../gen/etcdserverpb/lease_pb.ts";
import {
  Watch,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../gen/etcdserverpb/watch_pb.ts";
import type { AnswerMemory } from "../../grpc/answer-memory.ts";
import { CallHead } from "../../grpc/call-head.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { MemberLimit } from "../../grpc/channel-options.ts";
import type { Status } from "../../grpc/status.ts";
import { inOwnName, type OwnCallTimes } from "../auth/own-call.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import { MemberStream, type MemberStreamHandler, MemberStreams } from "../upstream/member-stream.ts";
import { ownMetadata } from "../upstream/own-metadata.ts";

/** About the lease and the key of this proxy. All reject with a ConnectError. */
export interface LeasedKeyCalls {
  /** Makes a lease of that id. Resolves to its time to live in seconds, which may be more than was asked for. */
  grant(lease: bigint, ttlSeconds: number): Promise<number>;
  /** Writes the key, bound to the lease. Resolves to the revision of that. */
  put(key: string, value: string, lease: bigint): Promise<bigint>;
  /** One heartbeat. Resolves to the lease's time to live in seconds; 0: there is no such lease. */
  keepAlive(lease: bigint, timeoutMs: number): Promise<number>;
  /** Ends the lease, and the key with it. */
  revoke(lease: bigint, timeoutMs: number): Promise<void>;
}

/** How a watch ended: another connection is in use now, or something went wrong. */
export type WatchEnd = { readonly kind: "moved" } | { readonly kind: "failed"; readonly reason: string };

export interface DirectoryWatchHandler {
  onResponse(response: WatchResponse): void;
  /** It is over; the handler hears no more. Not told before the watch is begun. */
  onEnd(end: WatchEnd): void;
}

/** About all that is registered. */
export interface DirectoryCalls {
  /** What is there, `limit` keys at most. Rejects with a ConnectError. */
  list(range: KeyRange, limit: number, linearizable: boolean): Promise<RangeResponse>;
  /** What changes there from `startRevision` on. Returns what ends it, unheard. */
  watch(range: KeyRange, startRevision: bigint, handler: DirectoryWatchHandler): Promise<() => void>;
}

const TIMES: OwnCallTimes = {
  timeoutMs: 5_000,
  // Nobody waits for it.
  tokenPatienceMs: 5_000,
};

export interface RegistrationCallsOptions {
  readonly channel: Channel;
  /** What unary calls go by. */
  readonly transport: Transport;
  /** The largest message that is taken of a watch, and the most that it may take once it is decoded. */
  readonly receiveBytesMax: number;
  readonly memory: AnswerMemory;
  readonly own: OwnIdentity | null;
}

export class RegistrationCalls implements LeasedKeyCalls, DirectoryCalls {
  readonly #kv: Client<typeof KV>;
  readonly #lease: Client<typeof Lease>;
  readonly #own: OwnIdentity | null;
  readonly #streams: MemberStreams;

  constructor({ channel, transport, receiveBytesMax, memory, own }: RegistrationCallsOptions) {
    this.#kv = createClient(KV, transport);
    this.#lease = createClient(Lease, transport);
    this.#own = own;
    this.#streams = new MemberStreams(channel, receiveBytesMax, memory);
  }

  async grant(lease: bigint, ttlSeconds: number): Promise<number> {
    const request = { ID: lease, TTL: BigInt(ttlSeconds) };
    const { TTL } = await inOwnName(this.#own, TIMES, (options) => this.#lease.leaseGrant(request, options));
    return Number(TTL);
  }

  async put(key: string, value: string, lease: bigint): Promise<bigint> {
    const request = { key: Buffer.from(key), value: Buffer.from(value), lease };
    const { header } = await inOwnName(this.#own, TIMES, (options) => this.#kv.put(request, options));
    return header?.revision ?? 0n;
  }

  async keepAlive(lease: bigint, timeoutMs: number): Promise<number> {
    return await inOwnName(this.#own, { ...TIMES, timeoutMs }, async (options) => {
      let ttlSeconds = 0;
      // The member ends the call when it has answered.
      for await (const { ID, TTL } of this.#lease.leaseKeepAlive(only({ ID: lease }), options)) {
        if (ID === lease) ttlSeconds = Number(TTL);
      }
      return ttlSeconds;
    });
  }

  async revoke(lease: bigint, timeoutMs: number): Promise<void> {
    const times = { timeoutMs, tokenPatienceMs: timeoutMs };
    await inOwnName(this.#own, times, (options) => this.#lease.leaseRevoke({ ID: lease }, options));
  }

  list(range: KeyRange, limit: number, linearizable: boolean): Promise<RangeResponse> {
    const request = { ...range.toRequest(), limit: BigInt(limit), serializable: !linearizable };
    return inOwnName(this.#own, TIMES, (options) => this.#kv.range(request, options));
  }

  async watch(range: KeyRange, startRevision: bigint, handler: DirectoryWatchHandler): Promise<() => void> {
    const token = (await this.#own?.settledToken(TIMES.tokenPatienceMs)) ?? "";
    const onRefused = (reason: string): void => this.#own?.onRefused(token, reason);
    const watch = new DirectoryWatch(handler, onRefused, this.#streams.receiveBytesMax);
    return watch.begin(this.#streams, token, range, startRevision);
  }

  /** The channel has come to use another connection: a watch on another one is told. */
  onConnected(): void {
    this.#streams.onConnected();
  }
}

/** One watch at a member. */
class DirectoryWatch implements MemberStreamHandler {
  readonly #handler: DirectoryWatchHandler;
  readonly #onRefused: (reason: string) => void;
  readonly #decodedBytesMax: number;
  #stream: MemberStream | null = null;

  constructor(handler: DirectoryWatchHandler, onRefused: (reason: string) => void, decodedBytesMax: number) {
    this.#handler = handler;
    this.#onRefused = onRefused;
    this.#decodedBytesMax = decodedBytesMax;
  }

  begin(streams: MemberStreams, token: string, range: KeyRange, startRevision: bigint): () => void {
    const stream = new MemberStream(streams, new CallHead(WATCH_PATH, ownMetadata(token, false)), this);
    this.#stream = stream;
    const request = create(WatchRequestSchema, {
      requestUnion: {
        case: "createRequest",
        value: { ...range.toRequest(), startRevision, fragment: true },
      },
    });
    stream.send(toBinary(WatchRequestSchema, request));
    return () => stream.cancel();
  }

  onResponse(bytes: Uint8Array, start: number, end: number): void {
    if (decodedAnswerBytes(WATCH_PATH, bytes, start, end) > this.#decodedBytesMax) {
      this.#reject("messageBytes", "an answer to a watch is too large once it is decoded");
      return;
    }
    let response: WatchResponse;
    try {
      response = fromBinary(WatchResponseSchema, bytes.subarray(start, end));
    } catch {
      this.#reject(null, "an answer to a watch is malformed");
      return;
    }
    if (response.canceled) {
      this.#onRefused(response.cancelReason);
      this.#stream?.cancel();
      this.#handler.onEnd({ kind: "failed", reason: cancelled(response) });
      return;
    }
    this.#handler.onResponse(response);
    this.#stream?.consume(end - start);
  }

  #reject(limit: MemberLimit | null, reason: string): void {
    this.#stream?.reject(limit, reason);
    this.#handler.onEnd({ kind: "failed", reason });
  }

  onEnd({ code, message }: Status): void {
    this.#onRefused(message);
    this.#handler.onEnd({ kind: "failed", reason: message || `status ${code}` });
  }

  onSuperseded(): void {
    this.#stream?.cancel();
    this.#handler.onEnd({ kind: "moved" });
  }
}

const WATCH_PATH = methodPath(Watch.method.watch);

function cancelled({ cancelReason, compactRevision }: WatchResponse): string {
  if (cancelReason !== "") return cancelReason;
  return compactRevision > 0n ? "what it was to begin with is compacted" : "the member has cancelled it";
}

async function* only<Message>(message: Message): AsyncGenerator<Message> {
  yield message;
}
