/**
 * A LeaseKeepAlive call to a model member: it answers its requests one by one, in their order, when told to.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { LeaseKeepAliveRequestSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Code, type Status } from "../../../src/grpc/status.ts";
import type { LeaseCall, LeaseCallHandler } from "../../../src/proxy/lease/lease-calls.ts";
import type { StreamEnd } from "../../../src/proxy/upstream/member-stream.ts";
import { answerOf } from "./lease-client.ts";

const PREFIX_BYTES = 5;
/** What surrounds an answer in the buffer that it is handed over in. */
const MARGIN_BYTES = 3;

export interface SentHeartbeat {
  readonly id: bigint;
  /** The request, as it came. */
  readonly message: Uint8Array;
  /** The world's count of events when it was sent. */
  readonly at: number;
}

export interface ModelCallOwner {
  /** Counts an event. */
  tick(): number;
  /** A heartbeat is sent on `call`. */
  onHeartbeat(call: ModelLeaseCall, heartbeat: SentHeartbeat): void;
  onViolation(text: string): void;
}

export class ModelLeaseCall implements LeaseCall {
  readonly token: string;
  readonly requiresLeader: boolean;
  reached = false;
  /** It has ended, whoever ended it. */
  over = false;
  cancelled = false;
  halfClosed = false;
  /** All that was sent on it, and how much of that is answered. */
  readonly sent: SentHeartbeat[] = [];
  answered = 0;
  /** Pieces that were handed over. */
  pieces = 0;
  /** Bytes that leave at once; the others wait for `drain`. */
  windowBytes = Number.POSITIVE_INFINITY;
  #queuedBytes = 0;
  #unconsumedBytes = 0;
  readonly #owner: ModelCallOwner;
  readonly #handler: LeaseCallHandler;

  constructor(token: string, requiresLeader: boolean, owner: ModelCallOwner, handler: LeaseCallHandler) {
    this.token = token;
    this.requiresLeader = requiresLeader;
    this.#owner = owner;
    this.#handler = handler;
  }

  /** Ids of the heartbeats without an answer. */
  get inFlight(): bigint[] {
    return this.over ? [] : this.sent.slice(this.answered).map(({ id }) => id);
  }

  sendFramed(bytes: Uint8Array, end: number): number {
    if (this.over) return end;
    if (!this.reached || this.halfClosed)
      this.#owner.onViolation("sent before the member was reached, or after the end");
    if (this.#queuedBytes > 0) this.#owner.onViolation("sent while earlier heartbeats have not left");
    this.pieces++;
    const at = this.#owner.tick();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    let start = 0;
    while (start < end) {
      const messageEnd = start + PREFIX_BYTES + view.getUint32(start + 1);
      const message = bytes.slice(start + PREFIX_BYTES, messageEnd);
      const heartbeat = { id: fromBinary(LeaseKeepAliveRequestSchema, message).ID, message, at };
      this.#owner.onHeartbeat(this, heartbeat);
      this.sent.push(heartbeat);
      start = messageEnd;
    }
    const leaving = Math.min(end, this.windowBytes);
    this.windowBytes -= leaving;
    this.#queuedBytes = end - leaving;
    return leaving;
  }

  halfClose(): void {
    this.halfClosed = true;
  }

  consume(bytes: number): void {
    this.#unconsumedBytes -= bytes;
    if (this.#unconsumedBytes < 0) this.#owner.onViolation("more consumed than was sent");
  }

  cancel(): void {
    this.over = true;
    this.cancelled = true;
  }

  reject(): void {
    this.cancel();
  }

  // What happens to it.

  reach(): void {
    if (this.over || this.reached) return;
    this.reached = true;
    this.#handler.onReached();
  }

  /** What waited leaves. */
  drain(windowBytes = Number.POSITIVE_INFINITY): void {
    const bytes = this.#queuedBytes;
    this.#queuedBytes = 0;
    this.windowBytes = windowBytes;
    if (bytes > 0 && !this.over) this.#handler.onSent(bytes);
  }

  /** Answers the next `count` heartbeats. */
  answer(count = 1): void {
    for (let i = 0; i < count && !this.over; i++) {
      const heartbeat = this.sent[this.answered];
      if (heartbeat === undefined) return;
      this.answered++;
      this.say(answerOf(heartbeat.id, heartbeat.at));
    }
    // etcd ends a stream that was half-closed once it has answered everything.
    if (this.halfClosed && this.answered === this.sent.length) this.end({ code: Code.OK, message: "" });
  }

  /** Sends any message. */
  say(message: Uint8Array): void {
    if (this.over) return;
    const buffer = new Uint8Array(message.length + 2 * MARGIN_BYTES).fill(0xee);
    buffer.set(message, MARGIN_BYTES);
    this.#unconsumedBytes += message.length;
    this.#handler.onResponse(buffer, MARGIN_BYTES, MARGIN_BYTES + message.length);
    buffer.fill(0xdd);
    if (this.#unconsumedBytes !== 0) this.#owner.onViolation("an answer was not consumed");
  }

  end(status: Status, how: StreamEnd = "status"): void {
    if (this.over) return;
    this.over = true;
    this.#handler.onEnd(status, how);
  }

  supersede(): void {
    if (!this.over) this.#handler.onSuperseded();
  }
}
