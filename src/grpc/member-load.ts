/**
 * What the connections of a channel carry together, for who counts: their bytes, and the calls that are open on them.
 * Connections that are retired, or stand by, are among them for as long as they live.
 */
import { ByteCounts } from "./byte-counts.ts";
import type { Upstream } from "./upstream.ts";

export class MemberLoad {
  /** From and to members, of calls and of whatever else there is to say. */
  readonly bytes = new ByteCounts();
  readonly #alive = new Set<Upstream>();

  /** A connection is up, as far as TCP and TLS go. */
  begin(upstream: Upstream): void {
    this.#alive.add(upstream);
  }

  end(upstream: Upstream): void {
    this.#alive.delete(upstream);
  }

  /** Calls that are open at members, those of the proxy's own among them; counted when asked. */
  get callsOpen(): number {
    let calls = 0;
    for (const { connection } of this.#alive) calls += connection.streams.size;
    return calls;
  }
}
