/**
 * What has happened to endpoints lately, for people: the newest events, on the page `/proxy/endpoints`.
 *
 * Stands beside the log, which is told of the same, for whoever has no log at hand. Bounded in number and in bytes, whatever
 * members say: an event that is too many takes the place of the oldest.
 */
import type { Endpoint } from "./endpoint.ts";
import type { Verdict } from "./endpoint-report.ts";

/**
 * - `connected`: a connection to it is up again, or the first; the grpc-proxy's calls go there from then on
 * - `failed`: a dial or a connection failed, it is set aside
 * - `fit`, `unfit`, `silent`: what checks think of it, when that has changed
 * - `added`, `removed`: it came onto the list, or left it
 */
export type EndpointEventKind = "connected" | "failed" | Verdict["kind"] | "added" | "removed";

/** An event as the page tells it. */
export interface EndpointEvent {
  /** ISO 8601, in UTC. */
  readonly time: string;
  /** `host:port`. */
  readonly endpoint: string;
  readonly kind: EndpointEventKind;
  /** Why, where there is something to say. */
  readonly reason?: string;
  /** Which worker tells it, counted from 0; absent where there is one only. */
  readonly worker?: number;
}

export const EVENTS_MAX = 100;
/** Characters of a reason: a member can choose its words. */
export const EVENT_REASON_MAX = 300;

export class EndpointEvents {
  readonly #nowMs: () => number;
  /** Oldest first. */
  readonly #events: EndpointEvent[] = [];

  /** @param nowMs the time of day, in milliseconds since 1970 */
  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  connected(endpoint: Endpoint): void {
    this.#add(endpoint.name, "connected");
  }

  failed(endpoint: Endpoint, reason: string): void {
    this.#add(endpoint.name, "failed", reason);
  }

  /** Checks think otherwise of it than before. */
  judged(endpoint: Endpoint, verdict: Verdict): void {
    this.#add(endpoint.name, verdict.kind, verdict.kind === "fit" ? "" : verdict.reason);
  }

  /** Another list is in use; `source`: what it is from. */
  replaced(before: readonly Endpoint[], after: readonly Endpoint[], source: string): void {
    const known = new Set(before.map(({ name }) => name));
    const listed = new Set(after.map(({ name }) => name));
    for (const name of known) if (!listed.has(name)) this.#add(name, "removed", source);
    for (const name of listed) if (!known.has(name)) this.#add(name, "added", source);
  }

  /** Newest first. */
  get newest(): readonly EndpointEvent[] {
    return this.#events.toReversed();
  }

  #add(endpoint: string, kind: EndpointEventKind, reason = ""): void {
    const told =
      reason.length > EVENT_REASON_MAX ? `${reason.slice(0, EVENT_REASON_MAX - 1).toWellFormed()}…` : reason;
    const time = new Date(this.#nowMs()).toISOString();
    this.#events.push({ time, endpoint, kind, ...(told === "" ? {} : { reason: told }) });
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
  }
}

/** What several workers tell, together: the newest of all, newest first, each with its worker. */
export function eventsOfAll(told: readonly (readonly EndpointEvent[] | null)[]): EndpointEvent[] {
  const all = told.flatMap((events, worker) => (events ?? []).map((event) => ({ ...event, worker })));
  return all.toSorted((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0)).slice(0, EVENTS_MAX);
}
