/**
 * Connections to members that are not the one in use: one for each, made when somebody wants it.
 *
 * Stands beside the channel, which lends them to those who check members, takes one of them when it turns to that member,
 * so that nobody waits for a dial, and sends calls there where these are spread. A connection that is lost is made again
 * when it is wanted next.
 */
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { DialFailure } from "../net/dial-error.ts";
import type { Upstream, UpstreamOwner } from "./upstream.ts";

/** Somebody who wants a connection; is told once of one of the two, unless he gives up. */
export interface StandbyUse {
  /** The connection takes calls now. */
  onReady(upstream: Upstream): void;
  /** There is none; `failure` as an `UpstreamOwner` is told. */
  onFailed(reason: string, failure: DialFailure | null): void;
}

/** What the channel has to do with them. */
export interface StandbyOwner {
  dial(endpoint: Endpoint, owner: UpstreamOwner): Upstream;
  /** A connection could not be made, or was lost; not for want of files here. */
  onStandbyFailed(endpoint: Endpoint, reason: string): void;
}

interface Standby {
  readonly upstream: Upstream;
  readonly waiting: Set<StandbyUse>;
}

export class StandbyConnections implements UpstreamOwner {
  readonly #owner: StandbyOwner;
  readonly #byName = new Map<string, Standby>();

  constructor(owner: StandbyOwner) {
    this.#owner = owner;
  }

  /**
   * The connection to `endpoint` if it takes a call now, else null; one is made then. One stream is left to checks: a member
   * that is busy shall not seem to be silent.
   */
  ready(endpoint: Endpoint): Upstream | null {
    const { upstream } = this.#of(endpoint);
    return upstream.canOpen && upstream.connection.streamsFree > 1 ? upstream : null;
  }

  /** Hands a connection to `user` as soon as it takes calls. Returns what ends the wait. */
  use(endpoint: Endpoint, user: StandbyUse): () => void {
    const { upstream, waiting } = this.#of(endpoint);
    if (upstream.canOpen) {
      user.onReady(upstream);
      return () => {};
    }
    // Where all its streams are taken, until a call has ended.
    waiting.add(user);
    return () => waiting.delete(user);
  }

  has(upstream: Upstream): boolean {
    return this.#byName.get(upstream.endpoint.name)?.upstream === upstream;
  }

  /** Gives a connection that takes calls away, to `owner`; null when there is none. */
  take(endpoint: Endpoint, owner: UpstreamOwner): Upstream | null {
    const standby = this.#byName.get(endpoint.name);
    if (standby === undefined || !standby.upstream.canOpen) return null;
    if (standby.upstream.endpoint.scheme !== endpoint.scheme) return null;
    this.#byName.delete(endpoint.name);
    standby.upstream.owner = owner;
    return standby.upstream;
  }

  /** Retires connections to any other endpoint. */
  keepOnly(endpoints: readonly Endpoint[]): void {
    for (const { upstream } of this.#byName.values()) {
      if (!endpoints.some(({ name }) => name === upstream.endpoint.name)) this.retire(upstream.endpoint);
    }
  }

  /** Keeps nothing for `endpoint` but the calls that are under way. */
  retire(endpoint: Endpoint): void {
    const standby = this.#byName.get(endpoint.name);
    if (standby === undefined) return;
    this.#byName.delete(endpoint.name);
    standby.upstream.retire();
  }

  /** Ends the connection to `endpoint`; calls on it fail for this reason. */
  forget(endpoint: Endpoint, reason: string): void {
    const standby = this.#byName.get(endpoint.name);
    if (standby === undefined) return;
    this.#byName.delete(endpoint.name);
    standby.upstream.abandon(reason);
  }

  close(): void {
    for (const { upstream } of this.#byName.values()) upstream.abandon();
    this.#byName.clear();
  }

  #of(endpoint: Endpoint): Standby {
    const known = this.#byName.get(endpoint.name);
    if (known !== undefined) {
      const { upstream } = known;
      const usable = upstream.endpoint.scheme === endpoint.scheme && !(upstream.ready && retires(upstream));
      if (usable) return known;
      upstream.retire();
    }
    const standby: Standby = {
      upstream: this.#owner.dial(endpoint, this),
      waiting: known?.waiting ?? new Set(),
    };
    this.#byName.set(endpoint.name, standby);
    return standby;
  }

  #drop(upstream: Upstream): Standby | undefined {
    const standby = this.#byName.get(upstream.endpoint.name);
    if (standby?.upstream !== upstream) return undefined;
    this.#byName.delete(upstream.endpoint.name);
    return standby;
  }

  // From the connections.

  onReady(upstream: Upstream): void {
    this.#serveWaiting(upstream);
  }

  onFailed(upstream: Upstream, reason: string, failure: DialFailure | null): void {
    const standby = this.#drop(upstream);
    if (standby !== undefined && failure !== "exhausted")
      this.#owner.onStandbyFailed(upstream.endpoint, reason);
    for (const user of standby?.waiting ?? []) user.onFailed(reason, failure);
  }

  onGoaway(upstream: Upstream, reason: string): void {
    for (const user of this.#drop(upstream)?.waiting ?? []) user.onFailed(reason, null);
  }

  onLost(upstream: Upstream, reason: string, expected: boolean): void {
    const standby = this.#drop(upstream);
    if (standby !== undefined && !expected) this.#owner.onStandbyFailed(upstream.endpoint, reason);
    for (const user of standby?.waiting ?? []) user.onFailed(reason, null);
  }

  onCallEnded(upstream: Upstream): void {
    this.#serveWaiting(upstream);
  }

  #serveWaiting(upstream: Upstream): void {
    const standby = this.#byName.get(upstream.endpoint.name);
    if (standby?.upstream !== upstream) return;
    for (const user of standby.waiting) {
      if (!upstream.canOpen) return;
      standby.waiting.delete(user);
      user.onReady(upstream);
    }
  }

  onLimit(): void {}
}

/** Takes no more calls, now or soon: the next one goes to another connection. */
function retires({ connection }: Upstream): boolean {
  return connection.goingAway || connection.retiring;
}
