/**
 * A streaming call of the proxy's own to a member: whole messages both ways.
 *
 * Stands between a hub, which deals in messages, and gRPC calls, which deal in bytes. It waits for a member like
 * any call and then ends if there is none; while it waits it holds what was sent. The credit of a message goes back
 * when the hub is done with it; that of an unfinished one at once, since it may be larger than the window. Whatever
 * ends it is told once; opening another one is the hub's business.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { memberRefusal } from "../../etcd/member-refusal.ts";
import { type AnswerMemory, HeldAnswer } from "../../grpc/answer-memory.ts";
import type { CallHead } from "../../grpc/call-head.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { ChannelCall, MemberLimit } from "../../grpc/channel-options.ts";
import { type CallFailure, type ClientCallHandler, MESSAGE_BYTES_UNBOUNDED } from "../../grpc/client-call.ts";
import type { MemberCall } from "../../grpc/member-call.ts";
import { COMPRESSED_MESSAGE, MessageReader } from "../../grpc/message-reader.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { Code, readStatus, type Status } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import { MessageCredit } from "./message-credit.ts";

/**
 * Why a stream is over: the member ended it with a status of its own; it was lost on the way, or the member broke
 * the protocol; or no member was reached at all.
 */
export type StreamEnd = "status" | "lost" | "unreachable";

export interface MemberStreamHandler {
  /** A message of the answer: `bytes[start, end)`, valid during this call only. */
  onResponse(bytes: Uint8Array, start: number, end: number): void;
  /** The stream is over: the member's status, or why it could not be reached. */
  onEnd(status: Status, end: StreamEnd): void;
  /** New streams go to another connection now; this one goes on, but should be opened anew there. */
  onSuperseded(): void;
  /** A member was reached; told only if that was not so from the beginning. */
  onReached?(): void;
  /** `bytes` bytes of messages that had to wait have left. */
  onSent?(bytes: number): void;
}

/** The streams of one hub: all of them are told when the channel turns to another connection. */
export class MemberStreams {
  readonly channel: Channel;
  readonly receiveBytesMax: number;
  readonly memory: AnswerMemory | undefined;
  readonly open = new Set<MemberStream>();
  /** The member that has said last that it cannot serve. */
  refusing: Endpoint | null = null;

  /** `receiveBytesMax` bounds each message of a member, which is gathered whole; `memory` all of them together. */
  constructor(channel: Channel, receiveBytesMax: number, memory?: AnswerMemory) {
    this.channel = channel;
    this.receiveBytesMax = receiveBytesMax;
    this.memory = memory;
  }

  /** The channel has come to use another connection. */
  onConnected(): void {
    this.refusing = null;
    for (const stream of [...this.open]) stream.compareConnection();
  }
}

/** Unfinished messages below this size are not counted: nearly every chunk ends within one. */
const COUNTED_BYTES_MIN = 64 * 1024;

export class MemberStream implements ChannelCall, ClientCallHandler {
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  readonly #streams: MemberStreams;
  readonly #head: CallHead;
  readonly #handler: MemberStreamHandler;
  readonly #reader: MessageReader;
  readonly #waiting = new ByteWriter();
  readonly #credit = new MessageCredit();
  readonly #unfinished: HeldAnswer;
  #upstreamCall: MemberCall | null = null;
  #begun = false;
  #halfClosed = false;
  #ended = false;
  #superseded = false;

  /** Opens the stream. The handler hears nothing before this returns. */
  constructor(streams: MemberStreams, head: CallHead, handler: MemberStreamHandler) {
    this.#streams = streams;
    this.#head = head;
    this.#handler = handler;
    this.#reader = new MessageReader(streams.receiveBytesMax);
    this.#unfinished = new HeldAnswer(streams.memory, () => this.#giveUp());
    streams.open.add(this);
    streams.channel.begin(this);
    this.#begun = true;
  }

  /** There is a connection to a member that carries the stream. */
  get reached(): boolean {
    return this.#upstreamCall !== null;
  }

  /** Sends a message, encoded, without its length prefix. Before the member is reached it waits. */
  send(message: Uint8Array): void {
    if (this.#ended) return;
    const framed = this.#upstreamCall === null ? this.#waiting : new ByteWriter();
    framed.reserve(MESSAGE_PREFIX_BYTES + message.length);
    framed.writeByte(0);
    framed.writeUint32(message.length);
    framed.write(message);
    this.#upstreamCall?.sendMessageBytes(framed.bytes, 0, framed.length, false);
  }

  /**
   * Sends messages with their prefixes, `bytes[0, end)`, once a member is reached. Returns how many bytes have
   * left; `onSent` tells of the others, and until then the storage is the stream's.
   */
  sendFramed(bytes: Uint8Array, end: number): number {
    if (this.#ended || this.#upstreamCall === null) return 0;
    return this.#upstreamCall.sendMessageBytes(bytes, 0, end, false);
  }

  /** Sends no more. */
  halfClose(): void {
    if (this.#ended || this.#halfClosed) return;
    this.#halfClosed = true;
    this.#upstreamCall?.halfClose();
  }

  /** The hub is done with `bytes` bytes of messages (the lengths that `onResponse` told). */
  consume(bytes: number): void {
    this.#upstreamCall?.consume(this.#credit.due(bytes));
  }

  /** Gives the stream up; the handler hears no more. */
  cancel(): void {
    if (!this.#end()) return;
    this.#streams.channel.forget(this);
    this.#upstreamCall?.cancel();
  }

  /**
   * The member does on it what no etcd does: gives the stream up, and the member with it if there is another. The
   * handler hears no more. `limit`: the one that the member has reached, if that is what it does.
   */
  reject(limit: MemberLimit | null, reason: string): void {
    if (this.#ended) return;
    const upstream = this.#upstreamCall?.upstream ?? null;
    if (limit !== null) this.#streams.channel.tellOfLimit(upstream, limit, reason);
    this.cancel();
    this.#leave(reason);
  }

  /** Memory is needed, and the unfinished message takes most of it. */
  #giveUp(): void {
    const reason = `${this.#from}: an answer of ${this.#method} is too large for the buffers there are`;
    this.reject("messageBytes", reason);
    // Whoever needs memory is half-way through something of his own.
    queueMicrotask(() => this.#handler.onEnd({ code: Code.RESOURCE_EXHAUSTED, message: reason }, "lost"));
  }

  compareConnection(): void {
    const upstream = this.#upstreamCall?.upstream;
    if (upstream === undefined || this.#superseded || this.#streams.channel.uses(upstream)) return;
    this.#superseded = true;
    this.#handler.onSuperseded();
  }

  // From the channel.

  get heldBytes(): number {
    return this.#waiting.length;
  }

  avoids(endpoint: Endpoint): boolean {
    return endpoint.name === this.#streams.refusing?.name;
  }

  onUpstream(upstream: Upstream): void {
    const fields = this.#head.upstreamFields(upstream.endpoint.name, Number.POSITIVE_INFINITY);
    this.#upstreamCall = upstream.openCall(this.#head.path, fields, MESSAGE_BYTES_UNBOUNDED, this);
    this.#upstreamCall.sendMessageBytes(this.#waiting.bytes, 0, this.#waiting.length, false);
    this.#waiting.release();
    if (this.#halfClosed) this.#upstreamCall.halfClose();
    if (this.#begun) this.#handler.onReached?.();
  }

  onWaitedInVain(): void {
    const status = this.#streams.channel.unavailable();
    // The hub hears nothing before it has the stream.
    queueMicrotask(() => this.#endWith(status, "unreachable"));
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
      if (this.#ended) return;
      const compressed = problem === COMPRESSED_MESSAGE;
      const reason = `${this.#from}: an answer of ${this.#method} is ${compressed ? "compressed" : `of ${problem} bytes`}`;
      this.reject(compressed ? null : "messageBytes", reason);
      const code = compressed ? Code.INTERNAL : Code.RESOURCE_EXHAUSTED;
      this.#handler.onEnd({ code, message: reason }, "lost");
      return;
    }
    const { heldBytes } = this.#reader;
    this.#unfinished.holds(this.#ended || heldBytes < COUNTED_BYTES_MIN ? 0 : heldBytes);
    this.#upstreamCall?.consume(this.#credit.received(end - start));
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    const refusal = memberRefusal(fields);
    if (refusal !== undefined) this.#leave(refusal);
    this.#endWith(readStatus(fields) ?? { code: Code.UNKNOWN, message: "" }, "status");
  }

  onFailure(failure: CallFailure): void {
    if (failure.notEtcd) this.#leave(failure.status.message);
    this.#endWith(failure.status, "lost");
  }

  onRequestSent(bytes: number): void {
    if (!this.#ended) this.#handler.onSent?.(bytes);
  }

  get #from(): string {
    return `etcdproxy: ${this.#upstreamCall?.upstream.endpoint.name}`;
  }

  get #method(): string {
    return this.#head.path.slice(this.#head.path.lastIndexOf("/") + 1);
  }

  #leave(reason: string): void {
    if (this.#upstreamCall === null) return;
    const { upstream } = this.#upstreamCall;
    this.#streams.refusing = upstream.endpoint;
    this.#streams.channel.leave(upstream, reason);
  }

  #endWith(status: Status, end: StreamEnd): void {
    if (this.#end()) this.#handler.onEnd(status, end);
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#streams.open.delete(this);
    this.#unfinished.holds(0);
    return true;
  }
}
