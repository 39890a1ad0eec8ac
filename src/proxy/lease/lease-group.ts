/**
 * The client streams of one identity, and the upstream stream that carries their heartbeats.
 *
 * Those that require a leader are a group apart, whose upstream stream requires one, too, and is open even while
 * they are silent: its end is theirs.
 *
 * Invariants: a heartbeat is sent only while a client waits for it, and shared only before it is sent. Of each lease
 * at most one is in flight on the stream that new heartbeats take, and one is unsent; that one is in `#ready` unless
 * it waits for the one in flight.
 */
import { copyBytes } from "../../base/copy-bytes.ts";
import { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import type { LeaseIdReader } from "../../etcd/lease-keep-alive.ts";
import { memberRefusalOf } from "../../etcd/member-refusal.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { StreamEnd } from "../upstream/member-stream.ts";
import type { ClientHeartbeat } from "./client-heartbeat.ts";
import type { ClientStream } from "./client-stream.ts";
import type { LeaseCalls } from "./lease-calls.ts";
import type { LeaseLimits } from "./lease-limits.ts";
import type { LeaseStats } from "./lease-stats.ts";
import { ReadyHeartbeats } from "./ready-heartbeats.ts";
import { LeaseTurn } from "./lease-turn.ts";
import { UpstreamHeartbeat } from "./upstream-heartbeat.ts";
import { SendPace } from "./send-pace.ts";
import { takePiece, UpstreamStream, type UpstreamStreamOwner } from "./upstream-stream.ts";

/** What a group needs of the hub. */
export interface LeaseGroupOwner {
  readonly calls: LeaseCalls;
  readonly clock: Clock;
  readonly limits: LeaseLimits;
  readonly counted: LeaseStats;
  readonly random: () => number;
  /** `flush` at the end of the turn. */
  flushSoon(group: LeaseGroup): void;
  /** Nobody is left. */
  onIdle(group: LeaseGroup): void;
}

/** The least time between two looks at who has waited too long for a member, in milliseconds. */
const WAIT_STEP_MS = 20;
/** What a request takes, about: a lease's id in ten bytes, and what stands before it. */
const REQUEST_BYTES = 16;
/** Leases that are remembered while nothing of them is under way. */
const RESTING_TURNS_MAX = 16_384;

export class LeaseGroup implements UpstreamStreamOwner {
  readonly key: string;
  /** It is to be flushed at the end of this turn. */
  flushing = false;
  readonly #token: string;
  readonly #requiresLeader: boolean;
  readonly #owner: LeaseGroupOwner;
  readonly #clients = new Set<ClientStream>();
  /** By request. Those with nothing under way stay for a while: most leases are heard of again. */
  readonly #turns = new Map<string, LeaseTurn>();
  /** Heartbeats to be sent as soon as a stream takes them. */
  readonly #ready = new ReadyHeartbeats();
  /** The stream that new heartbeats take. */
  #current: UpstreamStream | null = null;
  /** That one, and those that may still answer. */
  readonly #streams = new Set<UpstreamStream>();
  readonly #backoff: Backoff;
  /** How many heartbeats may be in flight on the current stream. */
  #inFlightMax: number;
  #cancelRetry: (() => void) | null = null;
  #cancelWait: (() => void) | null = null;
  readonly #pace: SendPace;
  #nextPiecePlanned = false;
  /** Client streams with requests that nobody has read yet, and how long those are. */
  #unread: ClientStream[] = [];
  #unreadBytes = 0;
  #cancelLinger: (() => void) | null = null;
  #idleSinceMs = 0;
  #closed = false;

  constructor(key: string, token: string, requiresLeader: boolean, owner: LeaseGroupOwner) {
    this.key = key;
    this.#token = token;
    this.#requiresLeader = requiresLeader;
    this.#owner = owner;
    this.#backoff = new Backoff({ firstMs: 50, limitMs: 2000, random: owner.random });
    this.#inFlightMax = owner.limits.inFlightMax;
    this.#pace = new SendPace(owner.limits.sendIntervalMs, owner.limits.manyHeartbeats);
  }

  /** Leases with a heartbeat under way. */
  get leases(): number {
    let leases = 0;
    for (const { unsent, inFlight } of this.#turns.values())
      if (unsent !== null || inFlight !== null) leases++;
    return leases;
  }

  // From client streams.

  add(client: ClientStream): void {
    this.#clients.add(client);
    if (this.#requiresLeader && this.#current === null) this.#owner.flushSoon(this);
  }

  remove(client: ClientStream): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return;
    this.#idleSinceMs = this.#owner.clock.nowMs();
    this.#linger(this.#owner.limits.lingerMs);
  }

  ask(heartbeat: ClientHeartbeat, message: string, id: LeaseIdReader): void {
    const { counted } = this.#owner;
    counted.clientHeartbeats++;
    let turn = this.#turns.get(message);
    if (turn === undefined) {
      turn = new LeaseTurn(message, id);
      this.#turns.set(message, turn);
      this.#forgetOldest();
    }
    if (turn.unsent === null) {
      turn.unsent = new UpstreamHeartbeat(turn);
      if (turn.inFlight === null) this.#makeReady(turn.unsent, heartbeat.arrivedMs);
    } else {
      counted.sharedHeartbeats++;
    }
    turn.unsent.add(heartbeat);
  }

  drop(heartbeat: ClientHeartbeat): void {
    const { carrier } = heartbeat;
    if (carrier === null) return;
    carrier.remove(heartbeat);
    const { turn } = carrier;
    if (carrier.waiting > 0 || turn.unsent !== carrier) return;
    turn.unsent = null;
    this.#ready.remove(carrier);
  }

  /** Heartbeats wait to be sent together: what clients send now need not be read before that. */
  get gathering(): boolean {
    return this.#nextPiecePlanned;
  }

  /** `bytes` bytes of requests wait in the client's stream; `first`: they are the first there. */
  readLater(client: ClientStream, first: boolean, bytes: number): void {
    if (first) this.#unread.push(client);
    this.#unreadBytes += bytes;
    if (this.#enough) this.#owner.flushSoon(this);
  }

  /** Sends what is ready, on a stream that is opened if there is none. */
  flush(): void {
    this.flushing = false;
    if (this.#closed) return;
    if (this.#unread.length > 0 && (!this.gathering || this.#enough)) this.#readUnread();
    const wanted = this.#ready.size > 0 || (this.#requiresLeader && this.#clients.size > 0);
    if (!wanted) return;
    if (this.#cancelRetry === null) this.#current ??= this.#open();
    if (this.#current === null || !this.#current.reached) this.#watchWaiting();
    else if (!this.#tooSoon()) this.#send(this.#current);
  }

  #readUnread(): void {
    const clients = this.#unread;
    this.#unread = [];
    this.#unreadBytes = 0;
    // What they ask for is sent right behind this.
    this.flushing = true;
    for (const client of clients) client.readUnread();
    this.flushing = false;
  }

  /** What waits makes a large piece. */
  get #enough(): boolean {
    const { pieceHeartbeatsGoal } = this.#owner.limits;
    return this.#ready.size + this.#unreadBytes / REQUEST_BYTES >= pieceHeartbeatsGoal;
  }

  /** Many heartbeats come: what is ready waits for more. */
  #tooSoon(): boolean {
    if (this.#enough) return false;
    if (this.#nextPiecePlanned) return true;
    const waitMs = this.#pace.waitMs(this.#owner.clock.nowMs());
    if (waitMs <= 0 || this.#ready.size === 0) return false;
    this.#nextPiecePlanned = true;
    this.#owner.clock.after(waitMs, () => {
      this.#nextPiecePlanned = false;
      this.#owner.flushSoon(this);
    });
    return true;
  }

  /** Ends all calls to members. */
  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
    this.#cancelWait?.();
    this.#cancelLinger?.();
    for (const stream of this.#streams) {
      stream.cancel();
      this.#owner.counted.upstreamStreams--;
    }
    this.#streams.clear();
  }

  #open(): UpstreamStream {
    const stream = new UpstreamStream(this.#owner.calls, this.#token, this.#requiresLeader, this);
    this.#streams.add(stream);
    this.#owner.counted.upstreamStreams++;
    return stream;
  }

  #send(stream: UpstreamStream): void {
    const { counted, clock } = this.#owner;
    const nowMs = clock.nowMs();
    this.#pace.sending(this.#ready.size, nowMs);
    while (this.#ready.size > 0 && stream.roomy && stream.inFlight < this.#inFlightMax) {
      const piece = takePiece();
      let heartbeat = this.#ready.take();
      while (heartbeat !== null) {
        const { turn } = heartbeat;
        turn.unsent = null;
        turn.inFlight = heartbeat;
        counted.upstreamHeartbeats++;
        if (heartbeat.wasSent) counted.resentHeartbeats++;
        else heartbeat.sentMs = nowMs;
        const roomy = stream.append(piece, heartbeat) && stream.inFlight < this.#inFlightMax;
        heartbeat = roomy ? this.#ready.take() : null;
      }
      stream.sendPiece(piece);
    }
  }

  /** Nothing but the stream keeps the heartbeat from being sent. */
  #makeReady(heartbeat: UpstreamHeartbeat, nowMs = this.#owner.clock.nowMs()): void {
    heartbeat.readyMs = nowMs;
    this.#ready.add(heartbeat);
    this.#owner.flushSoon(this);
  }

  /** The heartbeat in flight is no more: the one behind it may be sent. */
  #pass(turn: LeaseTurn): void {
    turn.inFlight = null;
    if (turn.unsent !== null && !turn.unsent.ready) this.#makeReady(turn.unsent);
  }

  /** Leases that nobody has asked for in a long time. */
  #forgetOldest(): void {
    if (this.#turns.size <= RESTING_TURNS_MAX) return;
    for (const [message, { unsent, inFlight }] of this.#turns) {
      if (unsent === null && inFlight === null) this.#turns.delete(message);
      return;
    }
  }

  /** A heartbeat whose stream is gone: it is sent again, with whoever waits behind it, if anybody waits at all. */
  #sendAgain(heartbeat: UpstreamHeartbeat): void {
    if (heartbeat.waiting === 0) return;
    let turn = this.#turns.get(heartbeat.turn.message);
    if (turn === undefined) {
      turn = heartbeat.turn;
      this.#turns.set(turn.message, turn);
    }
    if (turn.unsent === null) {
      heartbeat.turn = turn;
      turn.unsent = heartbeat;
    } else {
      turn.unsent.absorb(heartbeat);
    }
    if (turn.inFlight === null && !turn.unsent.ready) this.#makeReady(turn.unsent);
  }

  // While no member can be reached.

  #watchWaiting(): void {
    if (this.#cancelWait !== null || this.#ready.size === 0) return;
    this.#cancelWait = this.#owner.clock.after(this.#owner.limits.waitMs, () => this.#onWaited());
  }

  /** Ends the client streams with a heartbeat that has waited long enough for a member. */
  #onWaited(): void {
    this.#cancelWait = null;
    if (this.#current !== null && this.#current.reached) return;
    const { clock, limits, calls } = this.#owner;
    const nowMs = clock.nowMs();
    const overdue: ClientHeartbeat[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const heartbeat of this.#ready) {
      for (const sharer of heartbeat.sharers()) {
        const untilMs = Math.max(sharer.arrivedMs, heartbeat.readyMs) + limits.waitMs;
        if (untilMs <= nowMs) overdue.push(sharer);
        else nextMs = Math.min(nextMs, untilMs);
      }
    }
    const status = overdue.length > 0 ? calls.unavailable() : null;
    if (status !== null) for (const heartbeat of overdue) heartbeat.stream.fail(heartbeat, status);
    if (nextMs === Number.POSITIVE_INFINITY || this.#cancelWait !== null) return;
    this.#cancelWait = clock.after(Math.max(WAIT_STEP_MS, nextMs - nowMs), () => this.#onWaited());
  }

  // From the streams.

  onReached(stream: UpstreamStream): void {
    if (stream !== this.#current) return;
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#owner.flushSoon(this);
  }

  onAnswer(
    stream: UpstreamStream,
    heartbeat: UpstreamHeartbeat,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#backoff.reset();
    if (heartbeat.waiting > 0) heartbeat.deliver(copyBytes(bytes, start, end));
    if (heartbeat.turn.inFlight === heartbeat) this.#pass(heartbeat.turn);
    if (stream !== this.#current) return;
    const { inFlightMax } = this.#owner.limits;
    if (this.#inFlightMax < inFlightMax) this.#inFlightMax = Math.min(inFlightMax, this.#inFlightMax * 2);
    if (this.#ready.size > 0) this.#owner.flushSoon(this);
  }

  onRoom(stream: UpstreamStream): void {
    if (stream === this.#current && this.#ready.size > 0) this.#owner.flushSoon(this);
  }

  onEnded(stream: UpstreamStream, status: Status, end: StreamEnd): void {
    this.#leave(stream);
    const { limits, clock } = this.#owner;
    const unanswered = this.#takeUnanswered(stream);
    const refusal = memberRefusalOf(status);
    // What a stream is told that is not used any more says nothing of the one that is.
    const told = end === "status" && status.code !== Code.OK && !(stream.retiring && refusal !== undefined);
    if (told && refusal === NO_LEADER && this.#requiresLeader && !stream.retiring) {
      for (const client of [...this.#clients]) client.end(status);
      this.#resend(unanswered);
      return;
    }
    const patientSinceMs = clock.nowMs() - limits.patienceMs;
    for (const [index, heartbeat] of unanswered.entries()) {
      const failed = told
        ? index === 0 || (speaksOfMember(status) && heartbeat.sentMs <= patientSinceMs)
        : ++heartbeat.losses > limits.resendsMax;
      if (failed) failAll(heartbeat, status);
    }
    if (told) this.#inFlightMax = limits.inFlightAfterStatusMax;
    this.#resend(unanswered);
    if (stream.retiring) return;
    // After a status there is one heartbeat less; anything else may come again and again.
    const progress = stream.answered || (told && unanswered.length > 0);
    if (!progress) this.#retryLater(this.#backoff.next());
    this.#owner.flushSoon(this);
  }

  onSuperseded(stream: UpstreamStream): void {
    if (stream !== this.#current) return;
    this.#retire(stream);
    this.#owner.flushSoon(this);
  }

  #leave(stream: UpstreamStream): void {
    if (this.#streams.delete(stream)) this.#owner.counted.upstreamStreams--;
    if (this.#current === stream) this.#current = null;
  }

  #takeUnanswered(stream: UpstreamStream): readonly UpstreamHeartbeat[] {
    const unanswered = stream.takeUnanswered();
    for (const heartbeat of unanswered) {
      if (heartbeat.turn.inFlight === heartbeat) heartbeat.turn.inFlight = null;
    }
    return unanswered;
  }

  #resend(unanswered: readonly UpstreamHeartbeat[]): void {
    for (const heartbeat of unanswered) {
      this.#sendAgain(heartbeat);
      const { turn } = heartbeat;
      if (turn.inFlight === null) this.#pass(turn);
    }
  }

  /** Lets a stream answer what it can; new heartbeats take another one. */
  #retire(stream: UpstreamStream): void {
    this.#current = null;
    this.#inFlightMax = this.#owner.limits.inFlightMax;
    for (const { turn } of stream.unanswered) this.#pass(turn);
    if (!stream.reached) {
      this.#leave(stream);
      stream.cancel();
      return;
    }
    stream.retire();
    this.#owner.clock.after(this.#owner.limits.retiringMs, () => {
      if (stream.ended) return;
      stream.cancel();
      this.#leave(stream);
      this.#resend(this.#takeUnanswered(stream));
    });
  }

  #retryLater(delayMs: number): void {
    if (this.#cancelRetry !== null) return;
    this.#cancelRetry = this.#owner.clock.after(delayMs, () => {
      this.#cancelRetry = null;
      this.#owner.flushSoon(this);
    });
  }

  #linger(delayMs: number): void {
    if (this.#cancelLinger !== null) return;
    const { clock, limits } = this.#owner;
    this.#cancelLinger = clock.after(delayMs, () => {
      this.#cancelLinger = null;
      if (this.#clients.size > 0) return;
      const leftMs = this.#idleSinceMs + limits.lingerMs - clock.nowMs();
      if (leftMs > 0) this.#linger(leftMs);
      else this.#end();
    });
  }

  /** Nobody has come back. */
  #end(): void {
    if (this.#current !== null) this.#retire(this.#current);
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#owner.onIdle(this);
  }
}

/** The status is about the member, which is in trouble, and not about a single heartbeat. */
function speaksOfMember({ code }: Status): boolean {
  return code === Code.UNAVAILABLE || code === Code.DEADLINE_EXCEEDED;
}

/** Ends the client streams that wait for the heartbeat. */
function failAll(heartbeat: UpstreamHeartbeat, status: Status): void {
  for (const sharer of heartbeat.sharers()) sharer.stream.fail(sharer, status);
}

const NO_LEADER = "etcdserver: no leader";
