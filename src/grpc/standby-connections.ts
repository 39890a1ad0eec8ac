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

interface Standby {
  readonly upstream: Upstream;
  readonly waiting: Set<StandbyUse>;
}

export class StandbyConnections implements UpstreamOwner {
  readonly #dial: (endpoint: Endpoint, owner: UpstreamOwner) => Upstream;
  readonly #byName = new Map<string, Standby>();

  constructor(dial: (endpoint: Endpoint, owner: UpstreamOwner) => Upstream) {
    this.#dial = dial;
  }

  /** The connection to `endpoint` if it takes a call now, else null; one is made then. */
  ready(endpoint: Endpoint): Upstream | null {
    const { upstream } = this.#of(endpoint);
    return upstream.canOpen ? upstream : null;
  }

  /** Hands a connection to `user` as soon as it takes calls. Returns what ends the wait. */
  use(endpoint: Endpoint, user: StandbyUse): () => void {
    const { upstream, waiting } = this.#of(endpoint);
    if (upstream.canOpen) {
      user.onReady(upstream);
      return () => {};
    }
    if (upstream.ready) {
      // All its streams are taken: so somebody is served there.
      user.onFailed("takes no more calls at once", null);
      return () => {};
    }
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
    const standby = { upstream: this.#dial(endpoint, this), waiting: new Set<StandbyUse>() };
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
    const standby = this.#byName.get(upstream.endpoint.name);
    if (standby?.upstream !== upstream) return;
    const waiting = [...standby.waiting];
    standby.waiting.clear();
    for (const user of waiting) {
      if (upstream.canOpen) user.onReady(upstream);
      else user.onFailed("takes no calls", null);
    }
  }

  onFailed(upstream: Upstream, reason: string, failure: DialFailure | null): void {
    for (const user of this.#drop(upstream)?.waiting ?? []) user.onFailed(reason, failure);
  }

  onGoaway(upstream: Upstream): void {
    this.#drop(upstream);
  }

  onLost(upstream: Upstream): void {
    this.#drop(upstream);
  }

  onCallEnded(): void {}

  onLimit(): void {}
}

/** Takes no more calls, now or soon: the next one goes to another connection. */
function retires({ connection }: Upstream): boolean {
  return connection.goingAway || connection.retiring;
}
