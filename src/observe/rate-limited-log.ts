/**
 * Keeps what repeats from filling the log: at most one line for each key in an interval, with a count of those left out.
 * Stands between places that a peer or a broken endpoint can make log at will, and the logger. Time is a parameter.
 *
 * Invariant: however many keys there are, at most `keysMax` + 1 lines are let through in an interval, and no more than
 * `keysMax` + 1 keys are remembered.
 */
import type { Logger, LogLevel } from "./log.ts";

const intervalMsDefault = 1_000;
const keysMaxDefault = 256;

/** Once so many keys are in use, all further ones count as this one. */
const overflowKey = "\u0000further keys";

interface KeyState {
  lastLineMs: number;
  suppressedLines: number;
}

/** Decides which lines are written. */
export class LineRateLimiter {
  readonly #intervalMs: number;
  readonly #keysMax: number;
  /** In the order of their last line, oldest first. */
  readonly #states = new Map<string, KeyState>();

  constructor({ intervalMs = intervalMsDefault, keysMax = keysMaxDefault } = {}) {
    this.#intervalMs = intervalMs;
    this.#keysMax = keysMax;
  }

  /**
   * Asks to write a line now.
   *
   * @returns how many lines of this key were left out since its last one, or undefined when this one is to be left out
   */
  admit(key: string, nowMs: number): number | undefined {
    const ownKey = this.#states.has(key) || this.#hasRoom(nowMs) ? key : overflowKey;
    const state = this.#states.get(ownKey);
    if (state !== undefined && nowMs - state.lastLineMs < this.#intervalMs) {
      state.suppressedLines++;
      return undefined;
    }
    this.#states.delete(ownKey);
    this.#states.set(ownKey, { lastLineMs: nowMs, suppressedLines: 0 });
    return state?.suppressedLines ?? 0;
  }

  /** Whether a line of this key would be left out now. */
  holdsBack(key: string, nowMs: number): boolean {
    const state = this.#states.get(key) ?? (this.#hasRoom(nowMs) ? undefined : this.#states.get(overflowKey));
    return state !== undefined && nowMs - state.lastLineMs < this.#intervalMs;
  }

  /** The shortest time between two lines of a key, in milliseconds. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Keys remembered at the moment. */
  get keyCount(): number {
    return this.#states.size;
  }

  /** Room for a new key is made by forgetting those that hold no line back any more. */
  #hasRoom(nowMs: number): boolean {
    for (const [key, state] of this.#states) {
      if (this.#states.size < this.#keysMax || nowMs - state.lastLineMs < this.#intervalMs) break;
      this.#states.delete(key);
    }
    return this.#states.size < this.#keysMax;
  }
}

/** A line that was left out: the newest of its key. */
interface HeldLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/**
 * A logger whose lines of one key are limited; a line after left-out ones tells their number as `suppressed`. What came last
 * is told when the interval is over, so that no burst ends untold.
 */
export class RateLimitedLog {
  readonly #log: Logger;
  readonly #nowMs: () => number;
  readonly #limiter: LineRateLimiter;
  readonly #held = new Map<string, HeldLine>();
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** @param nowMs a monotonic clock, in milliseconds */
  constructor(log: Logger, nowMs: () => number, limiter = new LineRateLimiter()) {
    this.#log = log;
    this.#nowMs = nowMs;
    this.#limiter = limiter;
  }

  /**
   * Writes the line unless one of the same key was written within the interval: then it is written at its end, if no other
   * one of the key comes before that. Returns whether it was written.
   */
  write(level: LogLevel, key: string, message: string, fields: Record<string, unknown> = {}): boolean {
    const suppressed = this.#limiter.admit(key, this.#nowMs());
    if (suppressed === undefined) {
      this.#hold(key, { level, message, fields });
      return false;
    }
    this.#held.delete(key);
    this.#tell({ level, message, fields }, suppressed);
    return true;
  }

  /** Writes what is held and may be written by now. */
  flush(): void {
    for (const [key, line] of this.#held) {
      const nowMs = this.#nowMs();
      if (this.#limiter.holdsBack(key, nowMs)) continue;
      this.#held.delete(key);
      // It was counted itself when it was left out.
      this.#tell(line, (this.#limiter.admit(key, nowMs) ?? 0) - 1);
    }
    if (this.#held.size > 0) this.#flushLater();
  }

  #tell({ level, message, fields }: HeldLine, suppressed: number): void {
    this.#log[level](message, suppressed <= 0 ? fields : { ...fields, suppressed });
  }

  #hold(key: string, line: HeldLine): void {
    const ownKey = this.#held.has(key) || this.#held.size < keysMaxDefault ? key : overflowKey;
    this.#held.set(ownKey, line);
    this.#flushLater();
  }

  #flushLater(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, this.#limiter.intervalMs);
    this.#timer.unref();
  }
}
