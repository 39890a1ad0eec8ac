/**
 * Which heartbeats were answered, and how late.
 *
 * Answers to one lease come in the order of its heartbeats; a heartbeat that has waited for more than `LATE_MICROS`
 * is missing, and the next answer belongs to the one behind it: some answers may never come. If it comes after all,
 * there is one more than heartbeats wait, which is then no surplus. Only heartbeats sent while the tally is measuring
 * are counted; the others are kept in mind so that their answers are not taken for those of measured ones.
 */
import { LatencyHistogram } from "../load/latency-histogram.ts";

/** A lease of 3 seconds that has heard nothing for so long has expired. */
export const LATE_MICROS = 3_000_000;
/** Heartbeats of a lease that may wait for their answers. A power of two. */
const WAITING_MAX = 64;

export class LeaseTally {
  /** While true, heartbeats count. */
  measuring = false;
  /** Heartbeats sent while measuring. */
  sent = 0;
  /** Those of them that were answered in time. */
  answered = 0;
  /** Answers to no heartbeat. */
  surplus = 0;
  /** Answers that say a lease is gone. */
  dead = 0;
  readonly latencies = new LatencyHistogram();
  /** When each waiting heartbeat was sent, by lease; those not measured as -1 - micros. */
  readonly #sentAt: Int32Array;
  readonly #sentOf: Int32Array;
  readonly #settledOf: Int32Array;
  /** Heartbeats that were given up, whose answers may yet come. */
  readonly #givenUpOf: Int32Array;
  #unsettled = 0;

  constructor(leases: number) {
    this.#sentAt = new Int32Array(leases * WAITING_MAX);
    this.#sentOf = new Int32Array(leases);
    this.#settledOf = new Int32Array(leases);
    this.#givenUpOf = new Int32Array(leases);
  }

  /** Heartbeats sent and neither answered nor known to be missing. */
  get waiting(): number {
    return this.#unsettled;
  }

  /** A heartbeat for the lease of this index is sent. */
  noteSent(lease: number, nowMicros: number): void {
    const number = this.#sentOf[lease]!++;
    // The oldest one gives up its place.
    if (number - WAITING_MAX === this.#settledOf[lease]) this.#giveUp(lease);
    const at = lease * WAITING_MAX + (number & (WAITING_MAX - 1));
    this.#sentAt[at] = this.measuring ? nowMicros : -1 - nowMicros;
    this.#unsettled++;
    if (this.measuring) this.sent++;
  }

  /** An answer for the lease of this index came. */
  noteAnswer(lease: number, ttlSeconds: number, nowMicros: number): void {
    if (ttlSeconds <= 0) this.dead++;
    while (this.#settledOf[lease]! < this.#sentOf[lease]!) {
      const at = lease * WAITING_MAX + (this.#settledOf[lease]! & (WAITING_MAX - 1));
      const mark = this.#sentAt[at]!;
      const measured = mark >= 0;
      const micros = nowMicros - (measured ? mark : -1 - mark);
      if (micros > LATE_MICROS) {
        this.#giveUp(lease);
        continue;
      }
      this.#settle(lease);
      if (measured && ttlSeconds > 0) {
        this.answered++;
        this.latencies.add(micros);
      }
      return;
    }
    if (this.#givenUpOf[lease]! > 0) this.#givenUpOf[lease]! -= 1;
    else this.surplus++;
  }

  #giveUp(lease: number): void {
    this.#settle(lease);
    this.#givenUpOf[lease]! += 1;
  }

  #settle(lease: number): void {
    this.#settledOf[lease]! += 1;
    this.#unsettled--;
  }
}
