/**
 * Which endpoint to use: one picked at random at the start and kept until it fails, then another.
 *
 * Stands between the list of endpoints and those who dial; it reads no clock and dials nothing. A failed endpoint is
 * set aside for the retry delay. When all are set aside, all are candidates again at once, the one that failed
 * longest ago first: nobody is turned away only because time has to pass.
 */
import type { Endpoint } from "./endpoint.ts";

export interface StickyChoiceOptions {
  /** How long a failed endpoint is set aside. */
  readonly retryDelayMs: number;
  /** From 0 up to but not including 1. Always 0 keeps the given order, as SRV priorities want it. */
  readonly random: () => number;
}

/** What is known of one endpoint. */
export interface EndpointReport {
  readonly endpoint: Endpoint;
  /** Why it failed last; undefined when it never did, or has worked since. */
  readonly reason: string | undefined;
}

interface Failure {
  readonly reason: string;
  readonly failedMs: number;
  /** Failures in the same millisecond keep their order. */
  readonly sequence: number;
}

export class StickyChoice {
  readonly #retryDelayMs: number;
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];
  #failures = new Map<string, Failure>();
  #failureCount = 0;
  #chosen: Endpoint;

  /** `endpoints` must not be empty, nor name an address twice. */
  constructor(endpoints: readonly Endpoint[], options: StickyChoiceOptions) {
    this.#retryDelayMs = options.retryDelayMs;
    this.#random = options.random;
    this.#endpoints = requireSome(endpoints);
    this.#chosen = this.#pick(this.#endpoints);
  }

  /** The endpoint to use now. */
  current(nowMs: number): Endpoint {
    // The usual case costs one look-up: the chosen endpoint has not failed.
    if (!this.#isSetAside(this.#chosen, nowMs)) return this.#chosen;
    this.#chooseFrom(this.#active(nowMs));
    return this.#chosen;
  }

  /** Every endpoint once, in the order to try them: the current one, other active ones, those set aside. */
  candidates(nowMs: number): Endpoint[] {
    const current = this.current(nowMs);
    const others = this.#endpoints.filter((endpoint) => endpoint !== current);
    const active = others.filter((endpoint) => !this.#isSetAside(endpoint, nowMs));
    const setAside = others.filter((endpoint) => this.#isSetAside(endpoint, nowMs));
    return [current, ...this.#shuffled(active), ...this.#oldestFailureFirst(setAside)];
  }

  /** Sets `endpoint` aside. True when nothing spoke against it before, so that a log tells of it once. */
  failed(endpoint: Endpoint, reason: string, nowMs: number): boolean {
    if (!this.#endpoints.some(({ name }) => name === endpoint.name)) return false;
    const news = !this.#failures.has(endpoint.name);
    this.#failures.set(endpoint.name, { reason, failedMs: nowMs, sequence: this.#failureCount++ });
    if (endpoint.name === this.#chosen.name) {
      this.#chooseFrom(this.#active(nowMs).filter(({ name }) => name !== endpoint.name));
    }
    return news;
  }

  /**
   * Takes the mark off `endpoint`; where the current one bears a mark, this one takes its place.
   * True when it bore one.
   */
  succeeded(endpoint: Endpoint): boolean {
    if (!this.#failures.delete(endpoint.name)) return false;
    if (this.#failures.has(this.#chosen.name)) {
      this.#chosen = this.#endpoints.find(({ name }) => name === endpoint.name) ?? this.#chosen;
    }
    return true;
  }

  /** Every endpoint with the reason of its last failure. */
  describe(): readonly EndpointReport[] {
    return this.#endpoints.map((endpoint) => ({
      endpoint,
      reason: this.#failures.get(endpoint.name)?.reason,
    }));
  }

  /** Another list; what is known of endpoints on both lists stays, and so does the current one if it is on it. */
  replace(endpoints: readonly Endpoint[]): void {
    this.#endpoints = requireSome(endpoints);
    const names = new Set(endpoints.map(({ name }) => name));
    this.#failures = new Map([...this.#failures].filter(([name]) => names.has(name)));
    const kept = endpoints.find(({ name }) => name === this.#chosen.name);
    const healthy = endpoints.filter(({ name }) => !this.#failures.has(name));
    this.#chosen = kept ?? this.#pick(healthy.length > 0 ? healthy : endpoints);
  }

  #active(nowMs: number): Endpoint[] {
    return this.#endpoints.filter((endpoint) => !this.#isSetAside(endpoint, nowMs));
  }

  /** One of `active` by chance; without any, whichever failed longest ago. */
  #chooseFrom(active: readonly Endpoint[]): void {
    const [fallback = this.#chosen] = this.#oldestFailureFirst(this.#endpoints);
    this.#chosen = active.length > 0 ? this.#pick(active) : fallback;
  }

  #isSetAside(endpoint: Endpoint, nowMs: number): boolean {
    if (this.#failures.size === 0) return false;
    const failure = this.#failures.get(endpoint.name);
    return failure !== undefined && nowMs - failure.failedMs < this.#retryDelayMs;
  }

  #pick(endpoints: readonly Endpoint[]): Endpoint {
    return endpoints[Math.floor(this.#random() * endpoints.length)] ?? this.#chosen;
  }

  #shuffled(endpoints: readonly Endpoint[]): Endpoint[] {
    const left = [...endpoints];
    return endpoints.flatMap(() => left.splice(Math.floor(this.#random() * left.length), 1));
  }

  #oldestFailureFirst(endpoints: readonly Endpoint[]): Endpoint[] {
    const sequenceOf = ({ name }: Endpoint): number => this.#failures.get(name)?.sequence ?? -1;
    return endpoints.toSorted((a, b) => sequenceOf(a) - sequenceOf(b));
  }
}

function requireSome(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  if (endpoints.length === 0) throw new RangeError("a choice needs at least one endpoint");
  return endpoints;
}
