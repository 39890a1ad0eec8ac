/**
 * Counts the frames that cost us more than they cost their sender, and ends the connection that sends too
 * many (ENHANCE_YOUR_CALM). Buckets are made when the first such frame comes: most connections have none.
 */
import { TokenBucket } from "../base/token-bucket.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import type { Http2Limits } from "./limits.ts";

export type FloodKind =
  "resets" | "pings" | "settings" | "emptyData" | "idleFrames" | "lateFrames" | "windowUpdates";

export class FloodGuard {
  readonly #limits: Http2Limits;
  readonly #buckets = new Map<FloodKind, TokenBucket>();

  constructor(limits: Http2Limits) {
    this.#limits = limits;
  }

  /** Notes one such frame. @throws ConnectionError ENHANCE_YOUR_CALM above the rate. */
  note(kind: FloodKind, nowMs: number): void {
    let bucket = this.#buckets.get(kind);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#limits[kind], nowMs);
      this.#buckets.set(kind, bucket);
    }
    if (!bucket.take(nowMs)) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `too many ${kind}`, kind);
    }
  }
}
