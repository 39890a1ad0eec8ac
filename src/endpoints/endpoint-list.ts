/**
 * The endpoints in use, as they come and go while the product runs.
 *
 * Stands between those who find endpoints (a lookup that is repeated, the cluster's member list) and whoever uses them.
 * The list is never empty; its user hears of it only when it differs, whatever order it came in.
 */
import type { Endpoint } from "./endpoint.ts";

/** Where the finding of endpoints is told of. */
export interface EndpointLog {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

export interface EndpointListOptions {
  readonly log: EndpointLog;
  /** Takes over the whole new list. `source`: what it is from, in a word or two. */
  readonly onChange: (endpoints: readonly Endpoint[], source: string) => void;
}

export class EndpointList {
  readonly #options: EndpointListOptions;
  #endpoints: readonly Endpoint[];

  /** `endpoints` is not empty and names none twice: what is in use at the start. */
  constructor(endpoints: readonly Endpoint[], options: EndpointListOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** Another list from `source`, in words for the log; an empty one is not taken. True when it differs. */
  replace(endpoints: readonly Endpoint[], source: string): boolean {
    if (endpoints.length === 0) return false;
    const before = new Map(this.#endpoints.map((endpoint) => [endpoint.name, endpoint]));
    const after = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint]));
    const added = [...after.keys()].filter((name) => !before.has(name));
    const removed = [...before.keys()].filter((name) => !after.has(name));
    const changed = [...after].flatMap(([name, endpoint]) => {
      const known = before.get(name);
      return known === undefined || sameUse(known, endpoint) ? [] : [name];
    });
    if (added.length + removed.length + changed.length === 0) return false;
    this.#endpoints = endpoints;
    this.#options.log.info("the endpoints have changed", { source, added, removed, changed });
    this.#options.onChange(endpoints, source);
    return true;
  }
}

/** Whether two endpoints of one address are dialled and chosen in the same way. */
function sameUse(one: Endpoint, other: Endpoint): boolean {
  return (
    one.scheme === other.scheme &&
    one.priority === other.priority &&
    one.weight === other.weight &&
    one.serverName === other.serverName
  );
}
