/**
 * Runs the keepalive of one connection on the timer that all connections share.
 *
 * It comes up when the keepalive has something to look at, about once for each of its intervals, never for a frame.
 */
import { DeadlineEntry, DeadlineTimer } from "../base/deadline-wheel.ts";
import type { Connection } from "../http2/connection.ts";
import { Keepalive, type KeepalivePolicy } from "../http2/keepalive.ts";

/** How late a look may come, in milliseconds: intervals are seconds and hours, and each tick wakes the process. */
const LOOK_TICK_MS = 250;

/** A timer for `KeepaliveRun`s. */
export function keepaliveTimer(): DeadlineTimer {
  return new DeadlineTimer(LOOK_TICK_MS);
}

export class KeepaliveRun extends DeadlineEntry {
  override deadlineMs = Number.POSITIVE_INFINITY;
  readonly #keepalive: Keepalive;
  readonly #timer: DeadlineTimer;

  /** Starts. The owner calls `stop` when the connection ends. */
  constructor(connection: Connection, policy: KeepalivePolicy, timer: DeadlineTimer) {
    super();
    const nowMs = performance.now();
    this.#keepalive = new Keepalive(connection, policy, nowMs);
    this.#timer = timer;
    this.#look(nowMs);
  }

  /** The peer did not answer, and the connection was ended for that. */
  get gaveUp(): boolean {
    return this.#keepalive.gaveUp;
  }

  /** A stream has opened while the keepalive rested. */
  awake(): void {
    this.#timer.remove(this);
    this.#look(performance.now());
  }

  stop(): void {
    this.#timer.remove(this);
  }

  override onDeadline(): void {
    this.#look(performance.now());
  }

  #look(nowMs: number): void {
    this.deadlineMs = this.#keepalive.check(nowMs);
    this.#timer.add(this);
  }
}
