/**
 * What one client stream is still to be sent.
 *
 * Stands between the hub, which hands over answers, and the call. A client that reads gets them at once. For one
 * that does not, references to shared bodies wait here up to a bound, which one message may exceed; then the queue
 * is full, and whoever has events for it must keep them elsewhere. Of what it was given the call itself holds one
 * piece at most, so nothing is copied for a client that does not read.
 */
import { ByteWriter } from "../../base/byte-writer.ts";
import { writeWatchMessage, writeWatchPrefix } from "../../etcd/watch-message.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import { RESPONSE_HEAD } from "../../grpc/status.ts";
import type { EventsBody } from "./events-body.ts";
import type { HeldBodies } from "./held-bodies.ts";
import { NO_WATCH_ID, type Subscriber, type WatchId } from "./subscriber.ts";

/** An answer that is told once, for one watch id. */
interface ControlEntry {
  /** `progress` says that everything before it in the queue has been told: it goes where that goes. */
  readonly kind: "control" | "progress";
  readonly watchId: WatchId;
  readonly body: Uint8Array;
}

/** Events for some watches of the stream. */
interface EventsEntry {
  readonly kind: "events";
  readonly body: EventsBody;
  readonly subscribers: readonly Subscriber[];
  /** The first of `subscribers` that has not been sent them. */
  at: number;
  /** What a single subscriber is sent instead of `body`, one message behind the other; null: the body. */
  readonly pieces: readonly EventsBody[] | null;
  /** What it counts in the queue for its body: nothing if the entry before has the same. */
  readonly bodyBytes: number;
  /** The first of `pieces` that has not been sent. */
  pieceAt: number;
  /** The first of `pieces` has been sent: the others have to follow, or the client would wait for them. */
  begun: boolean;
}

type Entry = ControlEntry | EventsEntry;

/** What an entry costs besides its body, about. */
const ENTRY_BYTES = 64;
/** Messages are put together up to this size before the call is given them. */
const PIECE_BYTES = 64 * 1024;
/** A body above this size is handed to the call as it is, in pieces, instead of being copied. */
const COPIED_BODY_BYTES_MAX = 16 * 1024;

export class ClientQueue {
  readonly #call: ServerCall;
  readonly #held: HeldBodies;
  readonly #bytesMax: number;
  readonly #entries: Entry[] = [];
  #head = 0;
  /** Bytes of distinct bodies that wait, and of the entries. */
  #bytes = 0;
  #lastBody: EventsBody | null = null;
  /** Bytes given to the call that have not left it. */
  #leavingBytes = 0;
  #headSent = false;
  #closed = false;
  /** The rest of a large message whose beginning the call was given. */
  #rest: { body: Uint8Array; at: number } | null = null;

  constructor(call: ServerCall, held: HeldBodies, bytesMax: number) {
    this.#call = call;
    this.#held = held;
    this.#bytesMax = bytesMax;
  }

  /** No events are taken any more. */
  get full(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  /** Beyond what even a watch that waits for its readers may add. */
  get overfull(): boolean {
    return this.#bytes >= this.#bytesMax * 2;
  }

  /** Half of it is free: watches that lag may go on. */
  get roomy(): boolean {
    return this.#bytes * 2 <= this.#bytesMax;
  }

  get heldBytes(): number {
    return this.#bytes;
  }

  /** All it was given has left the call. */
  get idle(): boolean {
    return this.#leavingBytes === 0 && this.#rest === null && this.#head === this.#entries.length;
  }

  /** An answer about one watch, or the stream (-1), behind everything before it. */
  sendControl(watchId: WatchId, body: Uint8Array, kind: "control" | "progress" = "control"): void {
    if (this.#closed) return;
    const wasIdle = this.idle;
    this.#push({ kind, watchId, body }, body.length);
    if (wasIdle) this.#pump();
  }

  /** The same events for each of `subscribers`; the list may change afterwards. */
  sendEvents(body: EventsBody, subscribers: readonly Subscriber[]): void {
    let at = 0;
    if (this.idle && body.bytes.length <= COPIED_BODY_BYTES_MAX) {
      at = this.#sendNow(body, subscribers, 0, null);
      if (at >= subscribers.length) return;
    }
    this.#pushEvents(body, subscribers.slice(at), null);
  }

  /** The same events for one watch, in several messages with nothing between them. */
  sendPieces(body: EventsBody, pieces: readonly EventsBody[], subscriber: Subscriber): void {
    this.#pushEvents(body, [subscriber], pieces);
  }

  /** The call reports that `bytes` bytes have left. */
  onSent(bytes: number): void {
    this.#leavingBytes -= bytes;
    if (this.#leavingBytes <= 0) this.#pump();
  }

  /**
   * Gives back the events that wait: `onDropped` is told each watch of them and the first revision it will not
   * be sent. Answers to creates and cancels stay, and so does what has been begun; what tells of progress would not
   * be true any more. Returns whether an answer about the whole stream's progress was dropped.
   */
  dropEvents(onDropped: (subscriber: Subscriber, revision: number) => void): boolean {
    let progressDropped = false;
    const waiting = this.#waiting();
    this.#entries.length = 0;
    this.#head = 0;
    this.#bytes = 0;
    this.#lastBody = null;
    for (const entry of waiting) {
      if (entry.kind === "control") {
        this.#push(entry, entry.body.length);
      } else if (entry.kind === "events" && entry.begun) {
        this.#lastBody = entry.body;
        this.#push(entry, entry.bodyBytes);
      } else if (entry.kind === "events") {
        for (let at = entry.at; at < entry.subscribers.length; at++) {
          onDropped(entry.subscribers[at]!, entry.body.firstRevision);
        }
        this.#held.release(entry.body);
      } else if (entry.watchId === NO_WATCH_ID) {
        progressDropped = true;
      }
    }
    return progressDropped;
  }

  /** The call is over. */
  clear(): void {
    this.#closed = true;
    for (const entry of this.#waiting()) if (entry.kind === "events") this.#held.release(entry.body);
    this.#entries.length = 0;
    this.#head = 0;
    this.#rest = null;
    this.#bytes = 0;
  }

  #waiting(): readonly Entry[] {
    return this.#entries.slice(this.#head);
  }

  #pushEvents(
    body: EventsBody,
    subscribers: readonly Subscriber[],
    pieces: readonly EventsBody[] | null,
  ): void {
    if (this.#closed) return;
    const wasIdle = this.idle;
    const bodyBytes = body === this.#lastBody ? 0 : body.bytes.length;
    this.#lastBody = body;
    this.#held.take(body);
    const entry: EventsEntry = {
      kind: "events",
      body,
      subscribers,
      at: 0,
      pieces,
      pieceAt: 0,
      begun: false,
      bodyBytes,
    };
    this.#push(entry, bodyBytes);
    if (wasIdle) this.#pump();
  }

  #push(entry: Entry, bodyBytes: number): void {
    this.#entries.push(entry);
    this.#bytes += ENTRY_BYTES + bodyBytes;
  }

  #shift(entry: Entry): void {
    // The call may have ended meanwhile, and with it the queue.
    if (this.#entries[this.#head] !== entry) return;
    this.#head++;
    this.#bytes -= ENTRY_BYTES;
    if (entry.kind !== "events") {
      this.#bytes -= entry.body.length;
    } else {
      this.#held.release(entry.body);
      this.#bytes -= entry.bodyBytes;
      if (this.#head === this.#entries.length) this.#lastBody = null;
    }
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head >= 256) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Gives the call what waits until it holds something that has not left. */
  #pump(): void {
    while (this.#leavingBytes === 0 && !this.#call.finished) {
      if (this.#rest !== null) {
        this.#sendRest(this.#rest);
        continue;
      }
      const entry = this.#entries[this.#head];
      if (entry === undefined) return;
      if (entry.kind !== "events") {
        this.#sendControls();
      } else if (entry.pieces !== null) {
        this.#sendPiece(entry, entry.pieces);
      } else if (entry.body.bytes.length > COPIED_BODY_BYTES_MAX) {
        this.#sendLarge(entry);
      } else {
        this.#sendNow(entry.body, entry.subscribers, entry.at, entry);
        if (entry.at === entry.subscribers.length) this.#shift(entry);
      }
    }
  }

  /**
   * Sends copies of a small body until all have it or the call holds some back. Returns who is next. `entry`, if it
   * waits in the queue, is kept up to date: sending may make the process give back what waits.
   */
  #sendNow(
    body: EventsBody,
    subscribers: readonly Subscriber[],
    from: number,
    entry: EventsEntry | null,
  ): number {
    let at = from;
    while (at < subscribers.length && this.#leavingBytes === 0 && !this.#closed) {
      if (entry !== null && this.#entries[this.#head] !== entry) break;
      const piece = takePiece();
      while (at < subscribers.length && piece.length < PIECE_BYTES) {
        const subscriber = subscribers[at++]!;
        if (!subscriber.muted) writeWatchMessage(piece, subscriber.id, body.bytes);
      }
      if (entry !== null) entry.at = at;
      this.#give(piece);
    }
    return at;
  }

  #sendControls(): void {
    const piece = takePiece();
    for (;;) {
      const entry = this.#entries[this.#head];
      if (entry === undefined || entry.kind === "events" || piece.length >= PIECE_BYTES) break;
      writeWatchMessage(piece, entry.watchId, entry.body);
      this.#shift(entry);
    }
    this.#give(piece);
  }

  #sendLarge(entry: EventsEntry): void {
    const subscriber = entry.subscribers[entry.at++]!;
    const done = entry.at === entry.subscribers.length;
    if (!subscriber.muted) this.#begin(subscriber, entry.body.bytes);
    if (done) this.#shift(entry);
  }

  #sendPiece(entry: EventsEntry, pieces: readonly EventsBody[]): void {
    const subscriber = entry.subscribers[0]!;
    const piece = pieces[entry.pieceAt++]!;
    const done = entry.pieceAt === pieces.length;
    if (!subscriber.muted || entry.begun) {
      entry.begun = true;
      this.#begin(subscriber, piece.bytes);
    }
    if (done) this.#shift(entry);
  }

  /** Begins a message that is not copied. */
  #begin(subscriber: Subscriber, body: Uint8Array): void {
    const piece = takePiece();
    writeWatchPrefix(piece, subscriber.id, body.length);
    this.#rest = { body, at: 0 };
    this.#give(piece);
  }

  #sendRest(rest: { body: Uint8Array; at: number }): void {
    const end = Math.min(rest.body.length, rest.at + PIECE_BYTES);
    const sentBytes = this.#call.sendMessageBytes(rest.body, rest.at, end);
    this.#leavingBytes += end - rest.at - sentBytes;
    rest.at = end;
    if (end === rest.body.length) this.#rest = null;
  }

  #give(piece: ByteWriter): void {
    if (piece.length === 0) return;
    if (!this.#headSent) {
      this.#headSent = true;
      this.#call.sendHead(RESPONSE_HEAD);
    }
    // Sending makes room for other streams, whose queues go on meanwhile and need a piece of their own.
    sharedPiece = null;
    const sentBytes = this.#call.sendMessageBytes(piece.bytes, 0, piece.length);
    this.#leavingBytes += piece.length - sentBytes;
    // What has not left may be kept as a view: then the storage is the call's.
    if (sentBytes === piece.length) sharedPiece = piece;
  }
}

let sharedPiece: ByteWriter | null = null;

/** An empty writer; its content is valid until the next one is taken. */
function takePiece(): ByteWriter {
  sharedPiece ??= new ByteWriter();
  sharedPiece.clear();
  return sharedPiece;
}
