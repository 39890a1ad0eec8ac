/**
 * Calls that wait for a connection to a member.
 *
 * Each waits at most `waitMs`, or until `marginMs` before its deadline if that is sooner, so that a client hears
 * UNAVAILABLE while it can still turn to another proxy. The bytes they hold are bounded; a call beyond the
 * bound is turned away at once.
 */
export interface WaitingCall {
  /** The client's deadline, in milliseconds of `performance.now()`; `Infinity` for none. */
  readonly deadlineMs: number;
  /** What the call holds while it waits. */
  readonly heldBytes: number;
  /** Nobody will come: `why` is for people. */
  onWaitedInVain(why: "time" | "full"): void;
}

export interface WaitingLimits {
  readonly waitMs: number;
  readonly marginMs: number;
  readonly heldBytesMax: number;
}

/** Architecture §4 "Endpoints and retries" and §6. */
export const WAITING_LIMITS: WaitingLimits = {
  waitMs: 5000,
  marginMs: 100,
  heldBytesMax: 64 * 1024 * 1024,
};

/** What a waiting call costs besides its request. */
const CALL_BYTES = 1024;

export class WaitingCalls<Call extends WaitingCall> {
  readonly #limits: WaitingLimits;
  /** Each call, in order of arrival. */
  readonly #calls = new Map<Call, { readonly giveUpMs: number; readonly heldBytes: number }>();
  #heldBytes = 0;

  constructor(limits: WaitingLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#calls.size;
  }

  add(call: Call, nowMs: number): void {
    const bytes = call.heldBytes + CALL_BYTES;
    if (this.#heldBytes + bytes > this.#limits.heldBytesMax) {
      call.onWaitedInVain("full");
      return;
    }
    this.#heldBytes += bytes;
    const giveUpMs = Math.min(nowMs + this.#limits.waitMs, call.deadlineMs - this.#limits.marginMs);
    this.#calls.set(call, { giveUpMs, heldBytes: bytes });
  }

  remove(call: Call): void {
    const waiting = this.#calls.get(call);
    if (waiting === undefined) return;
    this.#calls.delete(call);
    this.#heldBytes -= waiting.heldBytes;
  }

  /** The calls, the one that has waited longest first; calls may be removed meanwhile. */
  [Symbol.iterator](): Iterator<Call> {
    return this.#calls.keys();
  }

  /** Turns away the calls that have waited long enough. */
  expire(nowMs: number): void {
    for (const [call, { giveUpMs }] of this.#calls) {
      if (giveUpMs > nowMs) continue;
      this.remove(call);
      call.onWaitedInVain("time");
    }
  }
}
