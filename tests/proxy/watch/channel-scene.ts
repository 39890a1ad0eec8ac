/** The hub's calls over a real channel, to stand-in members that do what no etcd can be made to do. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { KeyRange } from "../../../src/etcd/key-range.ts";
import { methodPath } from "../../../src/etcd/services.ts";
import { ResponseHeaderSchema } from "../../../src/gen/etcdserverpb/header_pb.ts";
import { KV, TxnResponseSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Code, RESPONSE_HEAD, type Status, statusTrailers } from "../../../src/grpc/status.ts";
import { ChannelWatchCalls } from "../../../src/proxy/watch/channel-watch-calls.ts";
import type {
  RevisionReadHandler,
  WatchCall,
  WatchCallHandler,
} from "../../../src/proxy/watch/watch-calls.ts";
import { Forwarding } from "../../grpc/forwarding.ts";
import { framed, type StandInCall, type StandInMember } from "../../grpc/stand-in-member.ts";
import { waitFor, withDeadline } from "../../harness/wait-for.ts";

export const TXN = methodPath(KV.method.txn);
const RECEIVE_BYTES_MAX = 0x7fff_ffff;
export const SOON = { waitMs: 50, marginMs: 10, heldBytesMax: 1024 * 1024 };
export const NO_LEADER = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };

/** A call that the test answers, and what its handler has heard. */
export class HeardCall implements WatchCallHandler {
  readonly call: WatchCall;
  readonly messages: Uint8Array[] = [];
  superseded = 0;
  /** Consumes each message at once. */
  consumes = true;
  readonly #end = Promise.withResolvers<Status>();
  ends = 0;

  constructor(calls: ChannelWatchCalls, token = "", requireLeader = false) {
    this.call = calls.open(token, requireLeader, this);
  }

  get end(): Promise<Status> {
    return withDeadline(this.#end.promise, () => "the call to end");
  }

  get texts(): string[] {
    return this.messages.map((message) => Buffer.from(message).toString());
  }

  onResponse(bytes: Uint8Array, start: number, end: number): void {
    this.messages.push(bytes.slice(start, end));
    if (this.consumes) this.call.consume(end - start);
  }

  onEnd(status: Status): void {
    this.ends++;
    this.#end.resolve(status);
  }

  onSuperseded(): void {
    this.superseded++;
  }
}

/** A read of the revision: the header it ends with, or why it failed. */
class HeardRead implements RevisionReadHandler {
  readonly #result = Promise.withResolvers<bigint | Status>();

  get result(): Promise<bigint | Status> {
    return withDeadline(this.#result.promise, () => "the read of the revision to end");
  }

  onHeader(bytes: Uint8Array, start: number, end: number): void {
    this.#result.resolve(fromBinary(ResponseHeaderSchema, bytes.subarray(start, end)).revision);
  }

  onFailed(status: Status): void {
    this.#result.resolve(status);
  }
}

/** Calls over a channel to stand-ins, the first of which is tried first. */
export class ChannelScene implements Disposable {
  readonly forwarding: Forwarding;
  readonly calls: ChannelWatchCalls;

  constructor(
    members: readonly StandInMember[],
    { receiveBytesMax = RECEIVE_BYTES_MAX, waiting = undefined as typeof SOON | undefined } = {},
  ) {
    this.forwarding = new Forwarding(members, waiting === undefined ? {} : { waiting });
    this.calls = new ChannelWatchCalls(this.forwarding.channel, {
      sendBytesMax: RECEIVE_BYTES_MAX,
      receiveBytesMax,
    });
  }

  /** Opens a Watch call; resolves once `member` has it and everything that was sent by then. */
  async open(member: StandInMember, request = "create"): Promise<[HeardCall, StandInCall]> {
    const index = member.calls.length;
    const heard = new HeardCall(this.calls);
    heard.call.send(Buffer.from(request));
    const sentBytes = framed(request).length;
    const at = await waitFor("the call at the member", () => {
      const call = member.calls[index];
      return call?.request.length === sentBytes ? call : undefined;
    });
    return [heard, at];
  }

  /** Reads the revision. */
  read(token = "", range: KeyRange | null = null, revision = 0): HeardRead {
    const read = new HeardRead();
    this.calls.readRevision(token, range, revision, read);
    return read;
  }

  [Symbol.dispose](): void {
    this.forwarding[Symbol.dispose]();
  }
}

export function finish({ stream }: StandInCall, status: Status): void {
  stream.sendTrailers(statusTrailers(status));
}

/** The answer to a read of the revision. */
export function answer(revision: bigint): Uint8Array {
  const response = create(TxnResponseSchema, {
    header: { clusterId: 2n ** 64n - 1n, memberId: 2n ** 64n - 1n, revision, raftTerm: 2n ** 64n - 1n },
    succeeded: true,
    responses: [{ response: { case: "responseRange", value: { count: 1n } } }],
  });
  return toBinary(TxnResponseSchema, response);
}

export function answerWith(call: StandInCall, message: Uint8Array): void {
  call.stream.sendHeaders(RESPONSE_HEAD, false);
  call.sendBytes(message);
  finish(call, { code: Code.OK, message: "" });
}
