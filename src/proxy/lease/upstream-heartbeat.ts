/**
 * One heartbeat to be sent to a member, or sent to it, for all clients that asked for the same before it was sent.
 *
 * Invariant: `waiting` counts those that still want its answer. One that nobody waits for is not sent, be it the
 * first time or again.
 */
import type { ClientHeartbeat } from "./client-heartbeat.ts";
import type { LeaseTurn } from "./lease-turn.ts";

const NEVER_SENT = -1;

export class UpstreamHeartbeat {
  turn: LeaseTurn;
  /** It is in the list of those to be sent. */
  ready = false;
  /** How many clients' heartbeats wait for the answer. */
  waiting = 0;
  /** When it was sent for the first time. */
  sentMs = NEVER_SENT;
  /** Since when nothing but its stream keeps it from being sent. */
  readyMs = 0;
  /** Times that it was under way on a stream that was lost. */
  losses = 0;
  #first: ClientHeartbeat | null = null;
  #last: ClientHeartbeat | null = null;

  constructor(turn: LeaseTurn) {
    this.turn = turn;
  }

  get wasSent(): boolean {
    return this.sentMs !== NEVER_SENT;
  }

  /** It is at a member, whose answer is to come. */
  get inFlight(): boolean {
    return this.turn.inFlight === this;
  }

  /** Lets a client's heartbeat share it. */
  add(heartbeat: ClientHeartbeat): void {
    heartbeat.carrier = this;
    heartbeat.previousSharer = this.#last;
    if (this.#last === null) this.#first = heartbeat;
    else this.#last.nextSharer = heartbeat;
    this.#last = heartbeat;
    this.waiting++;
  }

  /** Nobody waits for this client's heartbeat any more. */
  remove(heartbeat: ClientHeartbeat): void {
    const { previousSharer, nextSharer } = heartbeat;
    if (previousSharer === null) this.#first = nextSharer;
    else previousSharer.nextSharer = nextSharer;
    if (nextSharer === null) this.#last = previousSharer;
    else nextSharer.previousSharer = previousSharer;
    heartbeat.detach();
    this.waiting--;
  }

  /** Takes over all that share `other`, which is not sent any more. */
  absorb(other: UpstreamHeartbeat): void {
    for (const sharer of other.sharers()) {
      other.remove(sharer);
      this.add(sharer);
    }
    this.losses = Math.max(this.losses, other.losses);
    if (!other.wasSent) return;
    this.sentMs = this.wasSent ? Math.min(this.sentMs, other.sentMs) : other.sentMs;
  }

  /** Those that share it now. */
  sharers(): ClientHeartbeat[] {
    const sharers: ClientHeartbeat[] = [];
    for (let sharer = this.#first; sharer !== null; sharer = sharer.nextSharer) sharers.push(sharer);
    return sharers;
  }

  /** Gives everyone the answer. */
  deliver(answer: Uint8Array): void {
    let sharer = this.#first;
    this.#first = null;
    this.#last = null;
    this.waiting = 0;
    while (sharer !== null) {
      const next: ClientHeartbeat | null = sharer.nextSharer;
      sharer.detach();
      sharer.answer = answer;
      sharer.stream.onAnswered();
      sharer = next;
    }
  }
}
