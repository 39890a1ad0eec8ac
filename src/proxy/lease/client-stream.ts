/**
 * One client's LeaseKeepAlive stream: its heartbeats in their order, and the answers that it is still to be sent.
 *
 * It behaves as a stream of its own at etcd: answers come in the order of the requests, and a status ends it behind
 * the answers to what was asked before. A request counts as under way until its answer has left; beyond a bound,
 * further ones are kept as they came, and the credit for both comes back only then: a client that does not read its
 * answers is not listened to.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { credentialOf, requiresLeader } from "../../etcd/identity.ts";
import { LeaseIdReader } from "../../etcd/lease-keep-alive.ts";
import { COMPRESSED_MESSAGE, MessageReader } from "../../grpc/message-reader.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import type { CallReceiver, ServerCall } from "../../grpc/server-call.ts";
import { Code, RESPONSE_HEAD, type Status } from "../../grpc/status.ts";
import { latin1Text } from "../../hpack/latin1.ts";
import { ClientHeartbeat } from "./client-heartbeat.ts";
import type { EndlessCall } from "../endless-calls.ts";
import type { LeaseGroup } from "./lease-group.ts";
import { RequestBacklog } from "./request-backlog.ts";

/** What a stream needs of the hub. */
export interface ClientStreamOwner {
  readonly clientHeartbeatsMax: number;
  /** How long answers wait for more, in milliseconds; 0: not at all. */
  readonly holdMs: number;
  /** The largest request message, in bytes. */
  readonly requestBytesMax: number;
  nowMs(): number;
  /** The group of streams with this identity, which requires a leader or not. */
  groupOf(identity: string, requiresLeader: boolean): LeaseGroup;
  /** Answers have come: `pump` at the end of the turn. */
  pumpSoon(stream: ClientStream): void;
  /** More are about to come: `pump` in a moment. */
  pumpLater(stream: ClientStream): void;
  onClosed(stream: ClientStream): void;
}

/** What a heartbeat costs besides its request, its answer among that, about. */
const HEARTBEAT_BYTES = 384;
/** Requests are put off up to this size: the heartbeats of some sixty leases. */
const UNREAD_BYTES_MAX = 1024;
/** Answers are put together up to this size before the call is given them. */
const PIECE_BYTES = 16 * 1024;

const OK: Status = { code: Code.OK, message: "" };
const requestId = new LeaseIdReader();

export class ClientStream implements CallReceiver, EndlessCall {
  readonly group: LeaseGroup;
  closed = false;
  /** It is to be pumped at the end of this turn, or in a moment. */
  pumping = false;
  held = false;
  readonly #call: ServerCall;
  readonly #owner: ClientStreamOwner;
  readonly #reader: MessageReader;
  /** What has come while heartbeats are gathered: it is read together with what other clients send. */
  readonly #unread = new ByteWriter();
  /** Heartbeats whose answers the call has not been given, in their order. */
  #first: ClientHeartbeat | null = null;
  #last: ClientHeartbeat | null = null;
  /** Heartbeats whose answers have not left. */
  #heartbeats = 0;
  /** Requests beyond the bound. */
  readonly #backlog = new RequestBacklog();
  /** Length of all requests whose answers have not left. */
  #requestBytes = 0;
  /** What has come of a request that is not whole. */
  #unfinishedBytes = 0;
  /** What that takes, which counts for the process's buffers. */
  #gatheredBytes = 0;
  /** Received, and the client has no new credit for it. */
  #owedBytes = 0;
  #retainedBytes = 0;
  /** Answers that the call was given and that have not left: their bytes, their number, their requests' length. */
  #leavingBytes = 0;
  #leavingHeartbeats = 0;
  #leavingRequestBytes = 0;
  /** How it ends once all is answered; no further request counts. */
  #ending: Status | null = null;
  #headSent = false;

  constructor(call: ServerCall, owner: ClientStreamOwner) {
    this.#call = call;
    this.#owner = owner;
    this.group = owner.groupOf(credentialOf(call.head), requiresLeader(call.head));
    this.#reader = new MessageReader(owner.requestBytesMax);
    call.receiver = this;
  }

  // From the client.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.#ending !== null) return;
    if (!this.group.gathering || this.#unread.length + end - start > UNREAD_BYTES_MAX) {
      this.readUnread();
      this.#read(bytes, start, end);
      return;
    }
    this.group.readLater(this, this.#unread.length === 0, end - start);
    this.#unread.write(bytes, start, end);
  }

  /** Reads what was put off. */
  readUnread(): void {
    const { bytes, length } = this.#unread;
    if (length === 0 || this.closed) return;
    this.#unread.clear();
    this.#read(bytes, 0, length);
  }

  #read(bytes: Uint8Array, start: number, end: number): void {
    const nowMs = this.#owner.nowMs();
    this.#unfinishedBytes += end - start;
    this.#owedBytes += end - start;
    const problem = this.#reader.read(bytes, start, end, (message, from, to) => {
      this.#onRequest(message, from, to, nowMs);
    });
    if (!this.closed) this.#retain(this.#reader.heldBytes - this.#gatheredBytes);
    this.#gatheredBytes = this.#reader.heldBytes;
    if (problem === COMPRESSED_MESSAGE) this.#endWith({ code: Code.INTERNAL, message: COMPRESSED });
    else if (problem !== -1) {
      const message = `grpc: received message larger than max (${problem} vs. ${this.#owner.requestBytesMax})`;
      this.#call.limitReached("messageSize", message);
      this.#endWith({ code: Code.RESOURCE_EXHAUSTED, message });
    }
    this.#giveCredit();
  }

  onRequestEnd(): void {
    this.readUnread();
    if (this.#ending !== null) return;
    if (this.#unfinishedBytes === 0) this.#endWith(OK);
    else this.#endWith({ code: Code.INTERNAL, message: CUT_SHORT });
  }

  onAnswerSent(bytes: number): void {
    this.#leavingBytes -= bytes;
    if (this.#leavingBytes > 0 || this.closed) return;
    this.#onLeft(this.#leavingHeartbeats, this.#leavingRequestBytes);
    this.pump();
  }

  onCancel(): void {
    this.#close();
  }

  // From what carries its heartbeats.

  /** A heartbeat of it has its answer. */
  onAnswered(): void {
    if (this.pumping) return;
    this.pumping = true;
    this.#owner.pumpSoon(this);
  }

  /** A heartbeat of it ends with a status, and with it the stream: behind the answers to those before it. */
  fail(heartbeat: ClientHeartbeat, status: Status): void {
    // An earlier heartbeat of the stream may have ended the same way, and this one with it.
    if (this.closed || heartbeat.carrier === null) return;
    let before: ClientHeartbeat | null = null;
    for (let each = this.#first; each !== null && each !== heartbeat; each = each.next) before = each;
    this.#dropBehind(before);
    this.#ending = status;
    this.pump();
  }

  /** Ends the stream behind the answers to all that has been asked; what is asked later is not. */
  dismiss(status: Status): void {
    this.readUnread();
    if (!this.closed && this.#ending === null) this.#endWith(status);
  }

  /** Ends the stream now. */
  end(status: Status): void {
    if (this.closed) return;
    this.pump();
    this.#finish(status);
  }

  /** Sends the answers whose turn it is, unless more are about to come. */
  pumpIfWhole(): void {
    if (this.#owner.holdMs === 0 || !this.#awaitsMore()) {
      this.pump();
      return;
    }
    this.pumping = false;
    if (!this.held) this.#owner.pumpLater(this);
  }

  /** Sends the answers whose turn it is, as far as the client reads. */
  pump(): void {
    this.pumping = false;
    while (this.#leavingBytes === 0 && !this.closed && this.#first !== null && this.#first.answer !== null) {
      this.#sendAnswers();
    }
    this.#endIfDone();
  }

  #onRequest(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    const size = MESSAGE_PREFIX_BYTES + end - start;
    this.#unfinishedBytes -= size;
    if (this.closed || this.#ending !== null) return;
    try {
      requestId.readRequest(bytes, start, end);
    } catch (error) {
      const message = `grpc: failed to unmarshal the received message ${(error as Error).message}`;
      this.#endWith({ code: Code.INTERNAL, message });
      return;
    }
    this.#requestBytes += size;
    if (this.#heartbeats >= this.#owner.clientHeartbeatsMax) {
      this.#retain(size);
      if (!this.closed) this.#backlog.add(bytes, start, end);
    } else {
      this.#retain(size + HEARTBEAT_BYTES);
      if (!this.closed) this.#take(bytes, start, end, nowMs);
    }
  }

  /** Has a request sent to a member; its id has been read. */
  #take(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    const heartbeat = new ClientHeartbeat(this, MESSAGE_PREFIX_BYTES + end - start, nowMs);
    if (this.#last === null) this.#first = heartbeat;
    else this.#last.next = heartbeat;
    this.#last = heartbeat;
    this.#heartbeats++;
    this.group.ask(heartbeat, latin1Text(bytes, start, end), requestId);
  }

  /** Behind the answers that are there, further heartbeats are in flight. */
  #awaitsMore(): boolean {
    let each = this.#first;
    while (each !== null && each.answer !== null) each = each.next;
    return each !== null && each.carrier !== null && each.carrier.inFlight;
  }

  #sendAnswers(): void {
    const piece = takePiece();
    let heartbeats = 0;
    let requestBytes = 0;
    let each = this.#first;
    while (each !== null && each.answer !== null && piece.length < PIECE_BYTES) {
      piece.writeByte(0);
      piece.writeUint32(each.answer.length);
      piece.write(each.answer);
      heartbeats++;
      requestBytes += each.bytes;
      each = each.next;
    }
    this.#first = each;
    if (each === null) this.#last = null;
    if (!this.#headSent) {
      this.#headSent = true;
      this.#call.sendHead(RESPONSE_HEAD);
    }
    this.#leavingHeartbeats = heartbeats;
    this.#leavingRequestBytes = requestBytes;
    const sentBytes = this.#call.sendMessageBytes(piece.bytes, 0, piece.length);
    if (sentBytes === piece.length) sparePiece = piece;
    if (this.closed) return;
    this.#leavingBytes = piece.length - sentBytes;
    if (this.#leavingBytes === 0) this.#onLeft(heartbeats, requestBytes);
  }

  /** The answers to `heartbeats` heartbeats have left. */
  #onLeft(heartbeats: number, requestBytes: number): void {
    this.#heartbeats -= heartbeats;
    this.#requestBytes -= requestBytes;
    this.#retain(-(heartbeats * HEARTBEAT_BYTES + requestBytes));
    if (!this.#backlog.empty) this.#takeBacklog();
    this.#giveCredit();
  }

  #takeBacklog(): void {
    const nowMs = this.#owner.nowMs();
    while (!this.#backlog.empty && this.#heartbeats < this.#owner.clientHeartbeatsMax) {
      this.#backlog.take((bytes, start, end) => {
        requestId.readRequest(bytes, start, end);
        this.#retain(HEARTBEAT_BYTES);
        if (!this.closed) this.#take(bytes, start, end, nowMs);
      });
    }
  }

  #giveCredit(): void {
    if (this.closed) return;
    // A request may be larger than the window. It is let in beyond that when nothing else is under way.
    const withheldBytes = this.#requestBytes === 0 ? 0 : this.#requestBytes + this.#unfinishedBytes;
    const bytes = this.#owedBytes - withheldBytes;
    if (bytes <= 0) return;
    this.#owedBytes -= bytes;
    this.#call.consume(bytes);
  }

  /** The stream ends so once all before is answered. */
  #endWith(status: Status): void {
    this.#ending = status;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#ending === null || this.#first !== null || !this.#backlog.empty) return;
    this.#finish(this.#ending);
  }

  #finish(status: Status): void {
    if (this.closed) return;
    this.#close();
    this.#call.finishWithStatus(status);
  }

  /** Gives up all heartbeats behind `last`, all of them when it is null, and the requests behind those. */
  #dropBehind(last: ClientHeartbeat | null): void {
    const dropped = last === null ? this.#first : last.next;
    if (last === null) this.#first = null;
    else last.next = null;
    this.#last = last;
    for (let each = dropped; each !== null; each = each.next) {
      this.#heartbeats--;
      this.#requestBytes -= each.bytes;
      this.#retain(-(HEARTBEAT_BYTES + each.bytes));
      if (each.carrier !== null) this.group.drop(each);
    }
    const backlogBytes = this.#backlog.clear();
    this.#requestBytes -= backlogBytes;
    this.#retain(-backlogBytes);
  }

  /** Forgets everything; the call is over or about to be. */
  #close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#dropBehind(null);
    this.#retain(-this.#retainedBytes);
    this.#owner.onClosed(this);
  }

  #retain(bytes: number): void {
    this.#retainedBytes += bytes;
    this.#call.retain(bytes);
  }
}

/** grpc-go's own words, which are etcd's. */
const COMPRESSED = "grpc: compressed flag set with identity or empty encoding";
const CUT_SHORT = "unexpected EOF";

let sparePiece: ByteWriter | null = null;

/** An empty writer. It is nobody else's: sending lets other streams go on meanwhile. */
function takePiece(): ByteWriter {
  const piece = sparePiece ?? new ByteWriter();
  sparePiece = null;
  piece.clear();
  return piece;
}
