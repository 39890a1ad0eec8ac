/**
 * A hub, its clients and a model of etcd, and what must hold of the answers that clients are given.
 *
 * A read that was sent to a member before its caller asked can only have been given to him out of the cache: then it
 * must not be older than any write that was acknowledged, or event that was told, before he was given it. Any
 * other read was sent for him.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { ResponseHeaderSchema } from "../../../src/gen/etcdserverpb/header_pb.ts";
import {
  keyChangedByPut,
  keysChangedByDeleteRange,
  keysChangedByTxn,
} from "../../../src/etcd/txn-request.ts";
import type { WatchEvent } from "../../../src/etcd/watch-response.ts";
import { KV, type RangeRequest, RangeRequestSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { MESSAGE_PREFIX_BYTES } from "../../../src/grpc/message-scanner.ts";
import { Code, type Status } from "../../../src/grpc/status.ts";
import { headerField } from "../../../src/hpack/header-field.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { CACHE, KvScene, type KvSceneOptions, txnRequest } from "./kv-scene.ts";
import type { MemberCall } from "./model-channel.ts";
import { type Change, KEYS, ModelEtcd, type Outcome, PATHS } from "./model-etcd.ts";
import type { ReadClient } from "./read-client.ts";

const MEMBERS = 3;
/** Bytes of an answer that a member sends without credit. */
const STREAM_WINDOW_BYTES = 150;
const HANG_MS = 2000;
const METHODS = {
  [PATHS.put]: KV.method.put,
  [PATHS.deleteRange]: KV.method.deleteRange,
  [PATHS.compact]: KV.method.compact,
  [PATHS.revoke]: Lease.method.leaseRevoke,
  [PATHS.auth]: Auth.method.authDisable,
};

export interface ReadWish {
  readonly key: string;
  readonly rangeEnd: string;
  readonly serializable: boolean;
  /** 0: the latest. */
  readonly revision: number;
  readonly token: string;
  readonly requireLeader: boolean;
  /** It is the only operation of a transaction. */
  readonly inTxn: boolean;
  readonly windowBytes: number;
  readonly deadlineMs: number;
}

/** A call at a member, and what was made of it. */
interface Running {
  readonly call: MemberCall;
  /** Its place in the order of all that happened. */
  readonly sentAt: number;
  outcome: Outcome | null;
  /** What has not been sent of the answer; null before the head. */
  rest: Uint8Array | null;
}

interface Doubt {
  readonly at: number;
  /** Any of these may have changed. */
  readonly keys: readonly string[];
}

interface Given {
  readonly at: number;
  /** How many of the shown changes there were. */
  readonly shown: number;
  readonly compacted: number;
  readonly nowMs: number;
}

/** A client's read. */
interface Asked {
  readonly client: ReadClient;
  readonly wish: ReadWish;
  readonly request: RangeRequest;
  readonly askedAt: number;
  /** The store's revision when it was asked. */
  readonly revision: number;
  /** What had been shown to anybody, and what the time was, when the answer began. */
  given: Given | null;
  checked: boolean;
}

export class KvWorld {
  readonly etcd = new ModelEtcd(MEMBERS);
  readonly scene: KvScene;
  readonly reads: Asked[] = [];
  readonly writes: ReadClient[] = [];
  readonly running = new Map<MemberCall, Running>();
  readonly violations: string[] = [];
  readonly #maxAgeMs: number;
  readonly #coalescing: boolean;
  /** The member that calls go to. */
  #member = 0;
  /** How much has happened. */
  #time = 0;
  /** Changes that a client knows of: acknowledged writes, and events. */
  readonly #shown: Change[] = [];
  #compactedShown = 0;
  #told = 0;
  /** Calls after which anything may be different: whoever may read has changed, or nobody knows what became of a write. */
  readonly #doubts: Doubt[] = [];
  readonly #outcomes = new Map<number, Running>();

  constructor(options: KvSceneOptions = {}) {
    this.scene = new KvScene(options);
    const { channel } = this.scene;
    channel.onLeave = (upstream) => {
      // As the real one does when there is another endpoint: what avoids this one waits until a connection is up.
      if (channel.uses(upstream)) channel.coming = true;
    };
    this.#maxAgeMs = (options.cache ?? CACHE).maxAgeMs;
    this.#coalescing = options.coalescing ?? true;
  }

  // What clients do.

  read(wish: ReadWish): void {
    const { key, rangeEnd, serializable, revision, token, requireLeader, windowBytes } = wish;
    const request = create(RangeRequestSchema, {
      key: Buffer.from(key),
      rangeEnd: Buffer.from(rangeEnd),
      serializable,
      revision: BigInt(revision),
    });
    const options = {
      ...(token === "" ? {} : { token }),
      fields: requireLeader ? [headerField("hasleader", "true")] : [],
      windowBytes,
      deadlineMs: this.scene.clock.nowMs() + wish.deadlineMs,
    };
    const { hub } = this.scene;
    const serve = wish.inTxn ? hub.serveTxn.bind(hub) : hub.serveRange.bind(hub);
    const client = this.scene.open(serve, { ...options, path: wish.inTxn ? PATHS.txn : PATHS.range });
    const askedAt = ++this.#time;
    const asked: Asked = {
      client,
      wish,
      request,
      askedAt,
      revision: this.etcd.revision,
      given: null,
      checked: false,
    };
    client.onHead = () => {
      asked.given = {
        at: this.#time,
        shown: this.#shown.length,
        compacted: this.#compactedShown,
        nowMs: this.scene.clock.nowMs(),
      };
    };
    this.reads.push(asked);
    client.request(
      wish.inTxn
        ? txnRequest({ success: [{ request: { case: "requestRange", value: request } }] })
        : framed(toBinary(RangeRequestSchema, request)),
    );
  }

  /** A write through the proxy; `compressed`: nobody on the way can read the request. */
  write(path: string, message: Uint8Array, compressed: boolean): void {
    const method = METHODS[path];
    const { scene } = this;
    const client = scene.open(
      (call) => (method === undefined ? scene.hub.serveTxn(call) : scene.serveOther(call, method)),
      { path },
    );
    let headAt: number | null = null;
    client.onHead = () => {
      headAt = ++this.#time;
    };
    client.onEnd = (status) => {
      if (status.code === Code.OK) this.#acknowledged(client);
      const unknown = status.code === Code.UNAVAILABLE || path === PATHS.revoke || path === PATHS.auth;
      // What is sent to a member once the answer has begun is newer than the call, whenever the client has its end.
      if (unknown) this.#doubts.push({ at: headAt ?? ++this.#time, keys: keysOf(path, message) });
    };
    this.writes.push(client);
    const request = framed(message);
    if (compressed) request[0] = 1;
    client.request(request);
  }

  /** Which call the client was answered by is told by the number in the answer's header. */
  #acknowledged(client: ReadClient): void {
    const running = this.#outcomes.get(numberOf(client.payload));
    if (running === undefined) return;
    this.#shown.push(...running.outcome!.changes);
    if (running.call.path === PATHS.compact) this.#compactedShown = this.etcd.compactedRevision;
  }

  // What members do.

  /** Notes the calls that have come to members. */
  notice(): void {
    for (const call of this.scene.channel.calls.slice(this.running.size)) {
      this.running.set(call, { call, sentAt: ++this.#time, outcome: null, rest: null });
    }
    this.#checkInFlight();
    for (const asked of this.reads) this.#check(asked);
  }

  get open(): Running[] {
    return [...this.running.values()].filter(({ call }) => call.open);
  }

  /** Goes on with a call: runs it, or sends `bytes` bytes more of its answer. */
  proceed(running: Running, bytes: number): void {
    const { call } = running;
    if (!call.open) return;
    this.#time++;
    if (running.outcome === null) {
      const outcome = this.etcd.run(call.path, call.request.subarray(MESSAGE_PREFIX_BYTES), memberOf(call));
      running.outcome = outcome;
      if (outcome.message !== null) this.#outcomes.set(numberOf(outcome.message), running);
      return;
    }
    const { message, status } = running.outcome;
    if (message === null) {
      call.fail(status);
    } else if (running.rest === null) {
      running.rest = framed(message);
      // Who compresses is answered so.
      running.rest[0] = call.request[0]!;
      call.sendHead();
    } else if (running.rest.length === 0) {
      call.finish(status);
    } else {
      const size = Math.min(bytes, STREAM_WINDOW_BYTES - call.unconsumedBytes);
      if (size <= 0) return;
      const piece = running.rest.subarray(0, size);
      running.rest = running.rest.subarray(size);
      call.sendBytes(piece);
    }
  }

  /** Ends a call with a status: before it ran, or, when it is of an unknown outcome, in any case. */
  fail(running: Running, status: Status, unknown: boolean): void {
    if (running.rest !== null || (running.outcome !== null && !unknown)) return;
    running.call.fail(status);
  }

  connect(member: number): void {
    this.#member = member % MEMBERS;
    this.scene.channel.connect(this.#member);
  }

  cut(): void {
    const { current } = this.scene.channel;
    if (current !== null) this.scene.channel.lose(current);
  }

  /** Tells the hub, and then clients, of the next changes. */
  tell(changes: number): void {
    const events = this.etcd.changes.slice(this.#told, this.#told + changes);
    this.#told += events.length;
    const bytes = Buffer.from(events.map(({ key }) => key).join(""));
    this.scene.hub.onEvents(
      bytes,
      events.map((change, at) => eventOf(change, at)),
    );
    this.#shown.push(...events);
  }

  /** Everything is well again, comes to rest, and time passes. Tells what is left. */
  settle(): string[] {
    const { scene } = this;
    if (scene.channel.current?.canOpen !== true || scene.channel.coming) this.connect(this.#member + 1);
    for (let round = 0; ; round++) {
      scene.turn();
      this.notice();
      for (const { client } of this.reads) client.take(10_000);
      const { open } = this;
      if (open.length === 0 && !scene.channel.coming) break;
      if (scene.channel.coming) this.connect(this.#member + 1);
      if (round > 2000) return [`${open.length} calls do not end`];
      for (const running of open) this.proceed(running, STREAM_WINDOW_BYTES);
    }
    const leftOvers = scene.leftOvers();
    this.notice();
    return [...this.violations, ...leftOvers];
  }

  // The laws.

  /** Of each question one read is in flight, but for those that hang, and those on connections that were left. */
  #checkInFlight(): void {
    if (!this.#coalescing) return;
    const dueMs = this.scene.clock.nowMs() - HANG_MS;
    const seen = new Set<string>();
    for (const { call } of this.open) {
      if (call.path !== PATHS.range || call.sentAtMs <= dueMs) continue;
      if (call.upstream !== this.scene.channel.current) continue;
      const request = Buffer.from(call.request).toString("latin1");
      const question = [call.field("token"), call.field("hasleader"), request].join();
      if (seen.has(question)) this.violations.push(`two reads are in flight for ${JSON.stringify(question)}`);
      seen.add(question);
    }
  }

  #check(asked: Asked): void {
    const { client } = asked;
    if (asked.checked || !client.done) return;
    asked.checked = true;
    if (client.cancelled) return;
    if (client.status?.code === Code.OK) this.#checkAnswer(asked);
    else if (!MAY_FAIL.has(client.status!.code)) this.#violation(asked, client.status!.message);
  }

  #checkAnswer(asked: Asked): void {
    const { client, wish, request } = asked;
    const source = this.#outcomes.get(numberOf(client.payload));
    const message = source?.outcome?.message ?? null;
    if (source === undefined || message === null || !Buffer.from(message).equals(client.payload)) {
      this.#violation(asked, "the answer is none that a member has given");
      return;
    }
    const { call, sentAt } = source;
    const outcome = source.outcome!;
    if ((call.field("token") ?? "") !== wish.token) this.#violation(asked, "it is somebody else's");
    if ((call.field("hasleader") === "true") !== wish.requireLeader)
      this.#violation(asked, "hasleader differs");
    if (wish.inTxn) {
      if (sentAt < asked.askedAt) this.#violation(asked, "a transaction was sent before it was asked for");
      return;
    }
    const sent = rangeOf(call);
    if (!sameQuestion(sent, request)) this.#violation(asked, "it is the answer to something else");
    const straight = sentAt > asked.askedAt;
    if (!wish.serializable) {
      if (sent.serializable) this.#violation(asked, "it was read as a serializable one");
      if (!straight) this.#violation(asked, "it was sent before it was asked for");
      if (outcome.revision < asked.revision) this.#violation(asked, "it is older than the question");
    } else if (!straight) {
      this.#checkCached(asked, source);
    }
  }

  #checkCached(asked: Asked, source: Running): void {
    const { request } = asked;
    const { at, shown, compacted, nowMs } = asked.given!;
    const { revision } = source.outcome!;
    const keys = KEYS.filter((key) => KeyRange.of(request.key, request.rangeEnd)?.contains(key));
    const doubt = this.#doubts.find(
      (doubt) => doubt.at > source.sentAt && doubt.at <= at && doubt.keys.some((key) => keys.includes(key)),
    );
    if (doubt !== undefined) this.#violation(asked, "it was sent before anything may have changed");
    if (request.revision > 0n) {
      if (request.revision < BigInt(compacted)) this.#violation(asked, "its revision is compacted");
    } else {
      const missed = this.#shown
        .slice(0, shown)
        .find((change) => change.revision > revision && keys.includes(change.key));
      if (missed !== undefined) {
        this.#violation(
          asked,
          `revision ${revision} lacks ${missed.key} at ${missed.revision}, which was shown`,
        );
      }
    }
    const young = [...this.running.values()].some(
      ({ call, outcome }) =>
        call.path === PATHS.range &&
        outcome?.revision === revision &&
        nowMs - call.sentAtMs <= this.#maxAgeMs &&
        sameQuestion(rangeOf(call), request),
    );
    if (!young) this.#violation(asked, "it is too old");
  }

  #violation({ wish, given }: Asked, what: string): void {
    this.violations.push(`${what}: ${JSON.stringify(wish)} ${JSON.stringify(given)}`);
  }
}

const MAY_FAIL: ReadonlySet<number> = new Set([Code.UNAVAILABLE, Code.OUT_OF_RANGE, Code.RESOURCE_EXHAUSTED]);

function memberOf(call: MemberCall): number {
  return Number(call.upstream.endpoint.name.split(":").at(-1)) - 10_000;
}

function rangeOf(call: MemberCall): RangeRequest {
  return fromBinary(RangeRequestSchema, call.request.subarray(MESSAGE_PREFIX_BYTES));
}

function sameQuestion(one: RangeRequest, other: RangeRequest): boolean {
  return (
    Buffer.from(one.key).equals(other.key) &&
    Buffer.from(one.rangeEnd).equals(other.rangeEnd) &&
    one.revision === other.revision
  );
}

/** The answer's number, in the header that every answer begins with. */
function numberOf(message: Uint8Array): number {
  const header = message.subarray(2, 2 + (message[1] ?? 0));
  return Number(fromBinary(ResponseHeaderSchema, header).raftTerm);
}

/** The keys that a write may change. */
function keysOf(path: string, message: Uint8Array): readonly string[] {
  if (path === PATHS.compact) return [];
  if (path === PATHS.revoke || path === PATHS.auth) return KEYS;
  const ranges =
    path === PATHS.put
      ? [keyChangedByPut(message, 0, message.length)]
      : path === PATHS.deleteRange
        ? [keysChangedByDeleteRange(message, 0, message.length)]
        : keysChangedByTxn(message, 0, message.length)!;
  return KEYS.filter((key) => ranges.some((range) => range?.contains(key)));
}

function eventOf({ revision, value }: Change, at: number): WatchEvent {
  const key = { keyStart: at, keyEnd: at + 1 };
  return { start: 0, end: 0, revision, isDelete: value === null, ...key, prevKvStart: 0, prevKvEnd: 0 };
}
