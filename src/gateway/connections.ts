/**
 * The connections that are live, and what was counted for the member that each has reached.
 *
 * Stands between the connections and those who care for them as a whole: the metrics page, the timers, the checks of
 * endpoints. A live connection counts its bytes itself, so that a chunk costs no look-up; they are added to its member's
 * when it closes.
 */
import type { Logger } from "../observe/log.ts";
import { type EndpointTraffic, noTraffic } from "./endpoint-traffic.ts";

/** A connection, from its client's accept to its close. */
export interface LiveConnection {
  /** Its member's; null until one is reached. */
  readonly traffic: EndpointTraffic | null;
  readonly bytesFromClient: number;
  readonly bytesFromMember: number;
  /** Changes whenever bytes move; closes the connection when it has been the same at `quietMax` calls in a row. */
  sweep(quietMax: number): void;
  /** Its dial of `endpoint`, if it has one, is given up for `reason`, and the next endpoint has its turn. */
  moveOn(endpoint: string, reason: string): void;
  /** Resets both sides at once. */
  reset(): void;
  /** Closes both sides at once and gives up the dial. */
  destroy(): void;
}

/** Bytes that have passed between a member and its clients. */
export interface MemberBytes {
  readonly fromClients: number;
  readonly fromMember: number;
}

export class GatewayConnections {
  readonly #log: Logger;
  readonly #live = new Set<LiveConnection>();
  readonly #traffic = new Map<string, EndpointTraffic>();
  #onEmpty = (): void => {};
  /** Of connections that are closed. */
  #bytesFromClients = 0;
  #bytesFromMembers = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Connections open now. */
  get open(): number {
    return this.#live.size;
  }

  /** Bytes received from clients since the start. */
  get bytesFromClients(): number {
    let bytes = this.#bytesFromClients;
    for (const { bytesFromClient } of this.#live) bytes += bytesFromClient;
    return bytes;
  }

  /** Bytes received from members since the start. */
  get bytesFromMembers(): number {
    let bytes = this.#bytesFromMembers;
    for (const { bytesFromMember } of this.#live) bytes += bytesFromMember;
    return bytes;
  }

  /** A client has connected. */
  opened(connection: LiveConnection): void {
    this.#live.add(connection);
  }

  /** A client's connection has reached the member `endpoint`; returns where it is counted. */
  reached(endpoint: string): EndpointTraffic {
    const traffic = this.#trafficOf(endpoint);
    traffic.connectionsOpen++;
    traffic.connectionsTotal++;
    return traffic;
  }

  /** A connection has closed; told once. */
  closed(connection: LiveConnection): void {
    this.#live.delete(connection);
    if (this.#live.size === 0) this.#onEmpty();
    const { traffic, bytesFromClient, bytesFromMember } = connection;
    this.#bytesFromClients += bytesFromClient;
    this.#bytesFromMembers += bytesFromMember;
    if (traffic === null) return;
    traffic.connectionsOpen--;
    traffic.bytesToMember += bytesFromClient;
    traffic.bytesToClients += bytesFromMember;
  }

  /**
   * Resets every connection to the member `endpoint`, which was found dead for `reason`, and has those who still dial it
   * dial another: a client that waits for an answer waits in vain, and connects anew. A reset, as it would have got from the member had that been killed: it overtakes
   * what the client has not read, so that bytes that are missing are never taken for the end of an answer.
   *
   * @returns how many were reset
   */
  closeAll(endpoint: string, reason: string): number {
    for (const connection of [...this.#live]) connection.moveOn(endpoint, reason);
    const traffic = this.#traffic.get(endpoint);
    if (traffic === undefined || traffic.connectionsOpen === 0) return 0;
    const stuck = [...this.#live].filter((connection) => connection.traffic === traffic);
    for (const connection of stuck) connection.reset();
    traffic.resetAsDead += stuck.length;
    this.#log.warn("endpoint is dead, its clients are reset", {
      endpoint,
      reason,
      connections: stuck.length,
    });
    return stuck.length;
  }

  /** Resolves when no connection is open. */
  empty(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    if (this.#live.size === 0) resolve();
    return promise;
  }

  /** Closes every connection. */
  destroyAll(): void {
    for (const connection of this.#live) connection.destroy();
  }

  /** Has every connection look whether it is idle. */
  sweep(quietMax: number): void {
    for (const connection of this.#live) connection.sweep(quietMax);
  }

  /** What has passed between the member `endpoint` and its clients, in bytes. */
  bytesOf(endpoint: string): MemberBytes {
    const traffic = this.#traffic.get(endpoint);
    const bytes = { fromClients: traffic?.bytesToMember ?? 0, fromMember: traffic?.bytesToClients ?? 0 };
    if (traffic === undefined || traffic.connectionsOpen === 0) return bytes;
    for (const connection of this.#live) {
      if (connection.traffic !== traffic) continue;
      bytes.fromClients += connection.bytesFromClient;
      bytes.fromMember += connection.bytesFromMember;
    }
    return bytes;
  }

  /** What was counted for each of the members `endpoints`, and for others that clients are still connected to. */
  traffic(endpoints: readonly string[]): Map<string, EndpointTraffic> {
    this.forgetAllBut(endpoints);
    for (const name of endpoints) this.#trafficOf(name);
    const copies = new Map([...this.#traffic].map(([name, traffic]) => [name, { ...traffic }]));
    for (const { traffic, bytesFromClient, bytesFromMember } of this.#live) {
      const copy = traffic === null ? undefined : copies.get(traffic.endpoint);
      if (copy === undefined) continue;
      copy.bytesToMember += bytesFromClient;
      copy.bytesToClients += bytesFromMember;
    }
    return copies;
  }

  /** Forgets members that no client is connected to and that are not listed any more: names may come and go for ever. */
  forgetAllBut(endpoints: readonly string[]): void {
    for (const [name, { connectionsOpen }] of this.#traffic) {
      if (connectionsOpen === 0 && !endpoints.includes(name)) this.#traffic.delete(name);
    }
  }

  #trafficOf(endpoint: string): EndpointTraffic {
    let traffic = this.#traffic.get(endpoint);
    if (traffic === undefined) {
      traffic = noTraffic(endpoint);
      this.#traffic.set(endpoint, traffic);
    }
    return traffic;
  }
}
