/**
 * A LeaseKeepAlive call to a member, and the heartbeats that wait for its answers.
 *
 * Stands between the call, which carries messages, and its group. The member answers requests one by one in their
 * order, so an answer belongs to the oldest heartbeat without one; its id must say the same, or the member is at
 * fault and nothing it says is believed.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { LeaseIdReader } from "../../etcd/lease-keep-alive.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { StreamEnd } from "../upstream/member-stream.ts";
import type { LeaseCall, LeaseCallHandler, LeaseCalls } from "./lease-calls.ts";
import type { UpstreamHeartbeat } from "./upstream-heartbeat.ts";

export interface UpstreamStreamOwner {
  /** A member was reached: heartbeats can be sent. */
  onReached(stream: UpstreamStream): void;
  /** The member has answered `heartbeat`, with `bytes[start, end)`, valid during this call only. */
  onAnswer(
    stream: UpstreamStream,
    heartbeat: UpstreamHeartbeat,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void;
  /** What had to wait has left: more can be sent. */
  onRoom(stream: UpstreamStream): void;
  /** The call is over; `takeUnanswered` tells what it leaves. */
  onEnded(stream: UpstreamStream, status: Status, end: StreamEnd): void;
  onSuperseded(stream: UpstreamStream): void;
}

/** Heartbeats of one turn are put together up to this size before the call is given them. */
const PIECE_BYTES = 16 * 1024;

export class UpstreamStream implements LeaseCallHandler {
  /** Takes no further heartbeats. */
  retiring = false;
  ended = false;
  /** The member has answered a heartbeat. */
  answered = false;
  readonly #owner: UpstreamStreamOwner;
  readonly #call: LeaseCall;
  /** Heartbeats without an answer from `#head` on, first come first. */
  #unanswered: UpstreamHeartbeat[] = [];
  #head = 0;
  /** Bytes given to the call that have not left. */
  #leavingBytes = 0;

  constructor(calls: LeaseCalls, token: string, requiresLeader: boolean, owner: UpstreamStreamOwner) {
    this.#owner = owner;
    this.#call = calls.open(token, requiresLeader, this);
  }

  get reached(): boolean {
    return this.#call.reached;
  }

  /** Heartbeats without an answer. */
  get inFlight(): number {
    return this.#unanswered.length - this.#head;
  }

  /** What it is given now leaves now. */
  get roomy(): boolean {
    return !this.ended && !this.retiring && this.#leavingBytes === 0 && this.#call.reached;
  }

  /** Puts a heartbeat into the piece that `sendPiece` sends; false: that one is large enough now. */
  append(piece: ByteWriter, heartbeat: UpstreamHeartbeat): boolean {
    this.#unanswered.push(heartbeat);
    writeFramed(piece, heartbeat.turn.message);
    return piece.length < PIECE_BYTES;
  }

  sendPiece(piece: ByteWriter): void {
    const sentBytes = this.#call.sendFramed(piece.bytes, piece.length);
    this.#leavingBytes += piece.length - sentBytes;
    if (sentBytes === piece.length) sparePiece = piece;
  }

  /** Takes no further heartbeats; the member answers what it has got, and then ends the call. */
  retire(): void {
    this.retiring = true;
    this.#call.halfClose();
  }

  /** The heartbeats without an answer, in their order. */
  get unanswered(): readonly UpstreamHeartbeat[] {
    return this.#unanswered.slice(this.#head);
  }

  /** As `unanswered`; the stream does not know them any more. */
  takeUnanswered(): readonly UpstreamHeartbeat[] {
    const { unanswered } = this;
    this.#unanswered = [];
    this.#head = 0;
    return unanswered;
  }

  /** Ends the call; nothing more comes of it. */
  cancel(): void {
    if (this.ended) return;
    this.ended = true;
    this.#call.cancel();
  }

  // From the call.

  onReached(): void {
    if (!this.ended) this.#owner.onReached(this);
  }

  onResponse(bytes: Uint8Array, start: number, end: number): void {
    this.#call.consume(end - start);
    if (this.ended) return;
    const heartbeat = this.#unanswered[this.#head];
    const problem = problemOf(heartbeat, bytes, start, end);
    if (heartbeat === undefined || problem !== "") {
      const message = `etcdproxy: the member's answer to a heartbeat is ${problem}`;
      this.ended = true;
      this.#call.reject(null, message);
      this.#owner.onEnded(this, { code: Code.INTERNAL, message }, "lost");
      return;
    }
    this.#shift();
    this.answered = true;
    this.#owner.onAnswer(this, heartbeat, bytes, start, end);
  }

  onSent(bytes: number): void {
    this.#leavingBytes -= bytes;
    if (this.#leavingBytes === 0 && !this.ended) this.#owner.onRoom(this);
  }

  onEnd(status: Status, end: StreamEnd): void {
    if (this.ended) return;
    this.ended = true;
    this.#owner.onEnded(this, status, end);
  }

  onSuperseded(): void {
    if (!this.ended) this.#owner.onSuperseded(this);
  }

  #shift(): void {
    this.#head++;
    if (this.#head === this.#unanswered.length) {
      this.#unanswered.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024) {
      this.#unanswered.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

const answerId = new LeaseIdReader();

/** Why `bytes[start, end)` cannot be the answer to `heartbeat`; "" when it can. */
function problemOf(
  heartbeat: UpstreamHeartbeat | undefined,
  bytes: Uint8Array,
  start: number,
  end: number,
): string {
  if (heartbeat === undefined) return "one too many";
  try {
    answerId.readAnswer(bytes, start, end);
  } catch (error) {
    return `malformed: ${(error as Error).message}`;
  }
  return heartbeat.turn.isOf(answerId) ? "" : "about another lease";
}

/** Appends a message, given with one UTF-16 unit for each byte, behind its prefix. */
function writeFramed(writer: ByteWriter, message: string): void {
  const { length } = message;
  writer.reserve(MESSAGE_PREFIX_BYTES + length);
  writer.writeByte(0);
  writer.writeUint32(length);
  const { bytes } = writer;
  let at = writer.length;
  for (let i = 0; i < length; i++) bytes[at++] = message.charCodeAt(i);
  writer.length = at;
}

let sparePiece: ByteWriter | null = null;

/** An empty writer, the caller's until `sendPiece` has it. */
export function takePiece(): ByteWriter {
  const piece = sparePiece ?? new ByteWriter();
  sparePiece = null;
  piece.clear();
  return piece;
}
