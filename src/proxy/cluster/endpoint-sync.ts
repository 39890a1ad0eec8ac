/**
 * `--endpoints-auto-sync-interval`: the endpoints as the cluster's own member list has them.
 *
 * Stands between Cluster.MemberList, asked through the channel and linearizably as etcd's Go client asks, and the list
 * in use. Learners and members that have not started are no endpoints. An answer that leaves none, and a call that fails,
 * change nothing.
 *
 * Members may advertise addresses that do not lead to them from here. So when all endpoints fail those that were known
 * before are used as well, until the cluster's members change.
 */
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { Timers } from "../../base/clock.ts";
import { type Endpoint, EndpointError, parseEndpoints } from "../../endpoints/endpoint.ts";
import type { EndpointList, EndpointLog } from "../../endpoints/endpoint-list.ts";
import { NewsOnly } from "../../endpoints/news-only.ts";
import type { Cluster, Member } from "../../gen/etcdserverpb/cluster_pb.ts";
import { inOwnName } from "../auth/own-call.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";

export interface EndpointSyncOptions {
  readonly members: Pick<Client<typeof Cluster>, "memberList">;
  /** In whose name it is asked; null: in nobody's. */
  readonly own: OwnIdentity | null;
  readonly list: EndpointList;
  readonly intervalMs: number;
  /** Those of them that can be used. */
  readonly usable: (endpoints: readonly Endpoint[]) => Promise<readonly Endpoint[]>;
  readonly clock: Timers;
  readonly log: EndpointLog;
}

const TIMES = { timeoutMs: 5000, tokenPatienceMs: 500 };
/** Endpoints that are taken from one answer: clusters have seven members at most, by etcd's own advice. */
const ENDPOINTS_MAX = 100;

export class EndpointSync {
  readonly #options: EndpointSyncOptions;
  readonly #news: NewsOnly;
  #cancelTimer: (() => void) | null = null;
  #closed = false;
  /** The last answer that was taken. */
  #taken: readonly Endpoint[] = [];

  constructor(options: EndpointSyncOptions) {
    this.#options = options;
    this.#news = new NewsOnly(options.log);
  }

  /** The first time is after one interval, as with etcd's Go client. */
  start(): void {
    if (this.#closed) return;
    const { clock, intervalMs } = this.#options;
    this.#cancelTimer = clock.after(intervalMs, () => void this.#sync());
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  /** `known`, and those of the last answer that are not among them. */
  with(known: readonly Endpoint[]): readonly Endpoint[] {
    const names = new Set(known.map(({ name }) => name));
    return [...known, ...this.#taken.filter(({ name }) => !names.has(name))];
  }

  async #sync(): Promise<void> {
    const warnings: string[] = [];
    try {
      const members = await this.#memberList();
      await this.#take(members, warnings);
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      warnings.push(
        `the member list cannot be had, the endpoints stay as they are: ${rawMessage || Code[code]}`,
      );
    }
    if (this.#closed) return;
    this.#news.tell(warnings);
    this.start();
  }

  async #memberList(): Promise<readonly Member[]> {
    const { members, own } = this.#options;
    const answer = await inOwnName(own, TIMES, (options) =>
      members.memberList({ linearizable: true }, options),
    );
    return answer.members;
  }

  async #take(members: readonly Member[], warnings: string[]): Promise<void> {
    const { list, usable } = this.#options;
    const endpoints = await usable(endpointsOf(members, warnings));
    if (this.#closed) return;
    if (endpoints.length === 0) {
      warnings.push("the member list names no endpoint that can be used: the endpoints stay as they are");
      return;
    }
    // An answer that was taken already, and given up since all of it failed, is not taken again.
    if (sameEndpoints(endpoints, this.#taken)) return;
    this.#taken = endpoints;
    list.replace(endpoints, "member list");
  }
}

/** The client URLs of members that serve; what can be dialled of them, each once. */
export function endpointsOf(members: readonly Member[], warnings: string[]): Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const { name, clientURLs, isLearner } of members) {
    // One without a name has not started.
    if (name === "" || isLearner) continue;
    for (const url of clientURLs) {
      for (const endpoint of endpointOf(url, name, warnings)) {
        if (!endpoints.has(endpoint.name)) endpoints.set(endpoint.name, endpoint);
      }
    }
  }
  if (endpoints.size > ENDPOINTS_MAX)
    warnings.push(`the member list names ${endpoints.size} endpoints: only ${ENDPOINTS_MAX} are used`);
  return [...endpoints.values()].slice(0, ENDPOINTS_MAX);
}

function endpointOf(url: string, member: string, warnings: string[]): readonly Endpoint[] {
  try {
    return parseEndpoints([url], `the client URL of member ${member}`);
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    warnings.push(`a client URL of the member list is left out: ${error.message}`);
    return [];
  }
}

function sameEndpoints(some: readonly Endpoint[], others: readonly Endpoint[]): boolean {
  const urls = (endpoints: readonly Endpoint[]): string =>
    endpoints
      .map(({ scheme, name }) => `${scheme}://${name}`)
      .toSorted()
      .join();
  return urls(some) === urls(others);
}
