/**
 * The heartbeats of one lease under one identity that are under way: at most one in flight, and one behind it.
 *
 * What counts as the same lease is the whole request, unknown fields included: it goes upstream as it came.
 */
import type { LeaseIdReader } from "../../etcd/lease-keep-alive.ts";
import type { UpstreamHeartbeat } from "./upstream-heartbeat.ts";

export class LeaseTurn {
  /** The request message, one UTF-16 unit for each byte. */
  readonly message: string;
  /** In flight on the stream that new heartbeats take. */
  inFlight: UpstreamHeartbeat | null = null;
  /** Not sent yet: who comes now may share it. */
  unsent: UpstreamHeartbeat | null = null;
  readonly #low: number;
  readonly #middle: number;
  readonly #high: number;

  constructor(message: string, id: LeaseIdReader) {
    this.message = message;
    this.#low = id.low;
    this.#middle = id.middle;
    this.#high = id.high;
  }

  /** Whether it is about the lease with this id. */
  isOf(id: LeaseIdReader): boolean {
    return this.#low === id.low && this.#middle === id.middle && this.#high === id.high;
  }
}
