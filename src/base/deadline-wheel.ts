/**
 * Deadlines of many short-lived things on one timer.
 *
 * A hashed wheel: joining and leaving are constant-time and allocate nothing, since entries are linked through
 * themselves, so a call with a deadline costs no timer of its own. Deadlines fire at most one tick late,
 * never early. Time is a parameter; `DeadlineTimer` drives the wheel with the real clock.
 */

/** Something with a deadline. `onDeadline` runs once, after the entry has left the wheel. */
export abstract class DeadlineEntry {
  /** In milliseconds of the wheel's clock; `Infinity` when there is none. */
  abstract readonly deadlineMs: number;
  abstract onDeadline(): void;
  /** Links of the wheel; owned by it. */
  wheelPrevious: DeadlineEntry | null = null;
  wheelNext: DeadlineEntry | null = null;
}

class SlotHead extends DeadlineEntry {
  override readonly deadlineMs = Number.POSITIVE_INFINITY;
  override onDeadline(): void {}
}

/** Length of a tick unless told otherwise: how late a deadline may fire, in milliseconds. */
export const TICK_MS = 16;
const SLOTS = 512;

export class DeadlineWheel {
  readonly #slots: SlotHead[] = [];
  readonly #tickMs: number;
  #size = 0;
  #tick: number;

  constructor(nowMs: number, tickMs = TICK_MS) {
    this.#tickMs = tickMs;
    this.#tick = Math.floor(nowMs / tickMs);
    for (let i = 0; i < SLOTS; i++) {
      const head = new SlotHead();
      head.wheelPrevious = head;
      head.wheelNext = head;
      this.#slots.push(head);
    }
  }

  /** Entries waiting. */
  get size(): number {
    return this.#size;
  }

  /** Adds an entry with a finite deadline that is in no wheel. */
  add(entry: DeadlineEntry): void {
    const tick = Math.max(Math.ceil(entry.deadlineMs / this.#tickMs), this.#tick + 1);
    const head = this.#slots[tick % SLOTS]!;
    const last = head.wheelPrevious!;
    last.wheelNext = entry;
    entry.wheelPrevious = last;
    entry.wheelNext = head;
    head.wheelPrevious = entry;
    this.#size++;
  }

  /** Takes an entry out; nothing happens when it is not in. */
  remove(entry: DeadlineEntry): void {
    const previous = entry.wheelPrevious;
    if (previous === null) return;
    const next = entry.wheelNext!;
    previous.wheelNext = next;
    next.wheelPrevious = previous;
    entry.wheelPrevious = null;
    entry.wheelNext = null;
    this.#size--;
  }

  /** Fires what is due at `nowMs`. */
  advance(nowMs: number): void {
    const target = Math.floor(nowMs / this.#tickMs);
    // After a long pause one round visits every slot.
    const first = Math.max(this.#tick + 1, target - SLOTS + 1);
    this.#tick = Math.max(this.#tick, target);
    const due: DeadlineEntry[] = [];
    for (let tick = first; tick <= target; tick++) {
      const head = this.#slots[tick % SLOTS]!;
      let entry = head.wheelNext!;
      while (entry !== head) {
        const next = entry.wheelNext!;
        if (entry.deadlineMs <= nowMs) {
          this.remove(entry);
          due.push(entry);
        }
        entry = next;
      }
    }
    for (const entry of due) entry.onDeadline();
  }
}

/** A wheel on the real clock. Its timer runs only while something waits, and keeps no process alive. */
export class DeadlineTimer {
  readonly #tickMs: number;
  readonly #wheel: DeadlineWheel;
  #timer: ReturnType<typeof setInterval> | null = null;

  /** Long ticks are for what is far away: they wake the process less often. */
  constructor(tickMs = TICK_MS) {
    this.#tickMs = tickMs;
    this.#wheel = new DeadlineWheel(performance.now(), tickMs);
  }

  add(entry: DeadlineEntry): void {
    if (entry.deadlineMs === Number.POSITIVE_INFINITY) return;
    if (this.#wheel.size === 0) this.#wheel.advance(performance.now());
    this.#wheel.add(entry);
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#onTick(), this.#tickMs);
    this.#timer.unref();
  }

  remove(entry: DeadlineEntry): void {
    this.#wheel.remove(entry);
  }

  #onTick(): void {
    this.#wheel.advance(performance.now());
    if (this.#wheel.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
