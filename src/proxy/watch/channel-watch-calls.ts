/**
 * The watch hub's calls over the channel to the members.
 *
 * Stands between the hub, which deals in whole messages, and gRPC calls, which deal in bytes. A Watch call waits
 * for a member like any call and then ends if there is none; while it waits it holds what was sent. The credit of a
 * message goes back when the hub is done with it; that of an unfinished one at once, since it may be larger than
 * the window.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { ByteWriter } from "../../base/byte-writer.ts";
import type { Endpoint } from "../../endpoints/endpoint.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { memberRefusal } from "../../etcd/member-refusal.ts";
import { methodPath } from "../../etcd/services.ts";
import { KV, TxnRequestSchema } from "../../gen/etcdserverpb/kv_pb.ts";
import { Watch } from "../../gen/etcdserverpb/watch_pb.ts";
import { CallHead } from "../../grpc/call-head.ts";
import type { Channel, ChannelCall } from "../../grpc/channel.ts";
import { type CallFailure, ClientCall, type ClientCallHandler } from "../../grpc/client-call.ts";
import { MessageReader } from "../../grpc/message-reader.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { Code, readStatus, type Status } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import { type HeaderField, headerField } from "../../hpack/header-field.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { SingleRequestForward } from "../forward/single-request.ts";
import { HeaderCall } from "./header-call.ts";
import { MessageCredit } from "./message-credit.ts";
import type { RevisionReadHandler, WatchCall, WatchCallHandler, WatchCalls } from "./watch-calls.ts";

const WATCH_PATH = methodPath(Watch.method.watch);
const TXN_PATH = methodPath(KV.method.txn);
const HAS_LEADER = headerField("hasleader", "true");
/** etcd's smallest key, which is of no interest. */
const FIRST_KEY = Uint8Array.of(0);

export class ChannelWatchCalls implements WatchCalls {
  readonly #channel: Channel;
  readonly #limits: ForwardLimits;
  readonly #calls = new Set<ChannelWatchCall>();

  constructor(channel: Channel, limits: ForwardLimits) {
    this.#channel = channel;
    this.#limits = limits;
  }

  open(token: string, requireLeader: boolean, handler: WatchCallHandler): WatchCall {
    const metadata = [...credentials(token), ...(requireLeader ? [HAS_LEADER] : [])];
    const head = new CallHead(WATCH_PATH, metadata);
    return new ChannelWatchCall(this.#channel, head, this.#limits.receiveBytesMax, handler, this.#calls);
  }

  /**
   * A transaction that reads one key and, in the branch that is never taken, the whole range: etcd checks the
   * permission of both branches, and looks at one key, however large the range.
   */
  readRevision(token: string, range: KeyRange | null, revision: number, handler: RevisionReadHandler): void {
    const { key, rangeEnd } = range?.toRequest() ?? { key: FIRST_KEY, rangeEnd: new Uint8Array(0) };
    const options = { serializable: true, keysOnly: true, limit: 1n };
    const first = {
      request: { case: "requestRange", value: { ...options, key, revision: BigInt(revision) } },
    } as const;
    const whole = { request: { case: "requestRange", value: { ...options, key, rangeEnd } } } as const;
    const message = toBinary(
      TxnRequestSchema,
      create(TxnRequestSchema, { success: [first], failure: [whole] }),
    );
    const call = new HeaderCall(new CallHead(TXN_PATH, credentials(token)), handler);
    new SingleRequestForward(call, this.#channel, this.#limits, true);
    call.request(message);
  }

  /** The channel has come to use another connection: calls on others are told. */
  onConnected(): void {
    for (const call of [...this.#calls]) call.compareConnection();
  }
}

class ChannelWatchCall implements WatchCall, ChannelCall, ClientCallHandler {
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  readonly #channel: Channel;
  readonly #head: CallHead;
  readonly #handler: WatchCallHandler;
  readonly #calls: Set<ChannelWatchCall>;
  readonly #reader: MessageReader;
  readonly #receiveBytesMax: number;
  readonly #waiting = new ByteWriter();
  #upstreamCall: ClientCall | null = null;
  #ended = false;
  #superseded = false;
  readonly #credit = new MessageCredit();

  constructor(
    channel: Channel,
    head: CallHead,
    receiveBytesMax: number,
    handler: WatchCallHandler,
    calls: Set<ChannelWatchCall>,
  ) {
    this.#channel = channel;
    this.#head = head;
    this.#handler = handler;
    this.#calls = calls;
    this.#receiveBytesMax = receiveBytesMax;
    this.#reader = new MessageReader(receiveBytesMax);
    calls.add(this);
    channel.begin(this);
  }

  send(request: Uint8Array): void {
    if (this.#ended) return;
    const framed = this.#upstreamCall === null ? this.#waiting : new ByteWriter();
    framed.reserve(MESSAGE_PREFIX_BYTES + request.length);
    framed.writeByte(0);
    framed.writeUint32(request.length);
    framed.write(request);
    this.#upstreamCall?.sendMessageBytes(framed.bytes, 0, framed.length, false);
  }

  consume(bytes: number): void {
    this.#upstreamCall?.consume(this.#credit.due(bytes));
  }

  cancel(): void {
    if (!this.#end()) return;
    this.#channel.forget(this);
    this.#upstreamCall?.cancel();
  }

  compareConnection(): void {
    const upstream = this.#upstreamCall?.upstream;
    if (upstream === undefined || this.#superseded || this.#channel.uses(upstream)) return;
    this.#superseded = true;
    this.#handler.onSuperseded();
  }

  // From the channel.

  get heldBytes(): number {
    return this.#waiting.length;
  }

  avoids(_endpoint: Endpoint): boolean {
    return false;
  }

  onUpstream(upstream: Upstream): void {
    const fields = this.#head.upstreamFields(upstream.endpoint.name, Number.POSITIVE_INFINITY);
    this.#upstreamCall = new ClientCall(upstream, fields, this.#receiveBytesMax, this);
    this.#upstreamCall.sendMessageBytes(this.#waiting.bytes, 0, this.#waiting.length, false);
    this.#waiting.release();
  }

  onWaitedInVain(): void {
    const status = this.#channel.unavailable();
    // The hub hears nothing before it has the call.
    queueMicrotask(() => this.#endWith(status));
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (end) this.onAnswerTrailers(fields);
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    const problem = this.#reader.read(bytes, start, end, (message, from, to) => {
      this.#credit.handedOn(to - from);
      if (!this.#ended) this.#handler.onResponse(message, from, to);
    });
    if (problem !== -1) {
      this.#upstreamCall?.cancel();
      const message = `etcdproxy: ${this.#upstreamCall?.upstream.endpoint.name}: an answer of Watch is compressed or too large`;
      this.#endWith({ code: Code.INTERNAL, message });
      return;
    }
    this.#upstreamCall?.consume(this.#credit.received(end - start));
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    const refusal = memberRefusal(fields);
    if (refusal !== undefined) this.#leave(refusal);
    this.#endWith(readStatus(fields) ?? { code: Code.UNKNOWN, message: "" });
  }

  onFailure(failure: CallFailure): void {
    if (failure.notEtcd) this.#leave(failure.status.message);
    this.#endWith(failure.status);
  }

  onRequestSent(): void {}

  #leave(reason: string): void {
    if (this.#upstreamCall !== null) this.#channel.leave(this.#upstreamCall.upstream, reason);
  }

  #endWith(status: Status): void {
    if (this.#end()) this.#handler.onEnd(status);
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#calls.delete(this);
    return true;
  }
}

function credentials(token: string): HeaderField[] {
  return token === "" ? [] : [headerField("token", token)];
}
