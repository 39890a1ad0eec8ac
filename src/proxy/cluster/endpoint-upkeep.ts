/**
 * The grpc-proxy's endpoints while it runs: looked up again, read from the cluster's member list, or as they were named.
 *
 * Stands between those who find endpoints and the channel. What leads back to this process never gets on the list. Where
 * the member list is read it says who the endpoints are; what was discovered or named is for the start, and for when all
 * that the member list names has failed.
 */
import type { Client } from "@connectrpc/connect";
import type { Timers } from "../../base/clock.ts";
import { type Endpoint, withScheme } from "../../endpoints/endpoint.ts";
import { EndpointList, type EndpointLog } from "../../endpoints/endpoint-list.ts";
import {
  EndpointRefresh,
  type EndpointSource,
  type FoundEndpoints,
} from "../../endpoints/endpoint-refresh.ts";
import { withoutOwnEndpoints } from "../../endpoints/own-address.ts";
import type { Cluster } from "../../gen/etcdserverpb/cluster_pb.ts";
import type { Address } from "../../net/address.ts";
import type { DnsResolver } from "../../net/resolver.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import { EndpointSync } from "./endpoint-sync.ts";

export interface EndpointUpkeepOptions {
  /** What is in use now. */
  readonly endpoints: readonly Endpoint[];
  /** How they were discovered; null: they were named. */
  readonly discovery: EndpointSource | null;
  /** `--endpoints-auto-sync-interval`; 0: never. */
  readonly autoSyncIntervalMs: number;
  /** How members are dialled whose client URL has no scheme. */
  readonly unstatedScheme: "http" | "https";
  readonly members: Pick<Client<typeof Cluster>, "memberList">;
  readonly own: OwnIdentity | null;
  /** Where this process listens. */
  readonly listening: readonly Address[];
  readonly resolver: DnsResolver;
  /** Takes over another list. */
  readonly onChange: (endpoints: readonly Endpoint[], source: string) => void;
  readonly clock: Timers;
  readonly log: EndpointLog;
}

export class EndpointUpkeep {
  readonly #options: EndpointUpkeepOptions;
  readonly #refresh: EndpointRefresh | null;
  readonly #sync: EndpointSync | null;
  /** What led back to this process the last time, and was told of. */
  #ownNames = "";

  constructor(options: EndpointUpkeepOptions) {
    this.#options = options;
    const { endpoints, discovery, autoSyncIntervalMs, members, own, clock, log } = options;
    const list = new EndpointList(endpoints, { log, onChange: options.onChange });
    this.#sync =
      autoSyncIntervalMs === 0
        ? null
        : new EndpointSync({
            members,
            own,
            list,
            intervalMs: autoSyncIntervalMs,
            usable: (found) => this.#withoutOwn(this.#asNamed(found)),
            clock,
            log,
          });
    const source = this.#source(discovery);
    this.#refresh = source === null ? null : new EndpointRefresh({ source, list, clock, log });
  }

  start(): void {
    this.#refresh?.start();
    this.#sync?.start();
  }

  /** All endpoints fail. May be told as often as they do. */
  allFailed(): void {
    this.#refresh?.allFailed();
  }

  close(): void {
    this.#refresh?.close();
    this.#sync?.close();
  }

  #source(discovery: EndpointSource | null): EndpointSource | null {
    const sync = this.#sync;
    if (sync !== null) {
      const first = { endpoints: this.#options.endpoints, warnings: [], incomplete: false };
      const known = discovery ?? { name: "flags", lookUp: async () => first, first };
      return {
        name: known.name,
        lookUp: async () => {
          const { endpoints, warnings } = await this.#lookUp(known);
          return { endpoints: sync.with(endpoints), warnings, incomplete: false };
        },
        refreshMs: 0,
        first: { ...known.first, incomplete: false },
      };
    }
    return discovery && { ...discovery, lookUp: () => this.#lookUp(discovery) };
  }

  async #lookUp(source: Pick<EndpointSource, "lookUp">): Promise<FoundEndpoints> {
    const found = await source.lookUp();
    return { ...found, endpoints: await this.#withoutOwn(found.endpoints) };
  }

  /** Endpoints of the member list, with what the flags say of those that they name. */
  #asNamed(found: readonly Endpoint[]): readonly Endpoint[] {
    const { endpoints, discovery, unstatedScheme } = this.#options;
    const weights = new Map(endpoints.map(({ name, weight }) => [name, weight]));
    return withScheme(found, unstatedScheme).map((endpoint) => {
      const weight = discovery === null ? weights.get(endpoint.name) : undefined;
      return weight === undefined ? endpoint : { ...endpoint, weight };
    });
  }

  /** A proxy in front of itself would forward each call for ever. */
  async #withoutOwn(endpoints: readonly Endpoint[]): Promise<readonly Endpoint[]> {
    const { listening, resolver, log } = this.#options;
    const { others, own } = await withoutOwnEndpoints(endpoints, listening, resolver);
    const names = own.join();
    if (names !== "" && names !== this.#ownNames)
      log.warn("an endpoint is this proxy itself, left out", { endpoints: own });
    this.#ownNames = names;
    return others;
  }
}
