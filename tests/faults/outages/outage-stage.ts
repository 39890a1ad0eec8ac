/**
 * Where outages happen: a cluster of three members that can be cut off from each other, and a relay in front of each
 * for what a proxy has to say to it.
 */
import { member } from "../../e2e/endpoints/dns-records.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import type { EtcdMember } from "../../harness/etcd-member.ts";
import { TcpRelay } from "../../harness/tcp-relay.ts";
import { type DnsServer, startDnsServer } from "../../net/dns-server.ts";
import type { PrivateNetwork } from "./private-network.ts";

/** How a proxy is told of the members: by endpoints, by SRV records, or by some endpoints and the cluster's own list. */
export const FINDINGS = ["endpoints", "name server", "member list"] as const;
export type Findings = (typeof FINDINGS)[number];

/** How often a proxy looks up again who the members are. */
export const REFRESH_SECONDS = 1;
const DOMAIN = "outage.test";

export class OutageStage implements AsyncDisposable {
  readonly cluster: EtcdCluster;
  readonly network: PrivateNetwork | undefined;
  readonly #relays: readonly TcpRelay[];
  readonly #findings: Findings;
  #nameServer: DnsServer | undefined;

  private constructor(cluster: EtcdCluster, findings: Findings, network: PrivateNetwork | undefined) {
    this.cluster = cluster;
    this.network = network;
    this.#findings = findings;
    this.#relays = cluster.endpoints.map((endpoint, index) => {
      const where = network === undefined ? {} : { hostname: network.hostOf(index) };
      return new TcpRelay(endpoint, { ...where, listensAsTarget: true });
    });
  }

  /**
   * @param findings how proxies find the members here.
   * @param network where proxies that are told of endpoints are to live; on loopback when absent.
   */
  static async start(findings: Findings, network?: PrivateNetwork): Promise<OutageStage> {
    const cluster = await startEtcdCluster({ members: 3, relayedPeers: findings !== "member list" });
    return new OutageStage(cluster, findings, findings === "endpoints" ? network : undefined);
  }

  /** The flags by which a proxy finds the members, whoever made it. */
  async findingFlags(): Promise<string[]> {
    switch (this.#findings) {
      case "endpoints":
        return [`--endpoints=${this.#relays.map(({ endpoint }) => endpoint).join(",")}`];
      case "name server":
        await this.name([this.cluster.member(0)]);
        return [
          `--discovery-srv=${DOMAIN}`,
          `--dns-server=${this.#nameServer!.address}`,
          `--discovery-refresh=${REFRESH_SECONDS}s`,
        ];
      case "member list":
        return [
          `--endpoints=${this.cluster.endpoints.join(",")}`,
          `--endpoints-auto-sync-interval=${REFRESH_SECONDS}s`,
        ];
    }
  }

  /** Lets the name server name these members, and no others. */
  async name(members: readonly EtcdMember[]): Promise<void> {
    const records = members.flatMap((named) =>
      member("etcd-client", DOMAIN, named.name, this.relayOf(named).endpoint),
    );
    if (this.#nameServer === undefined) this.#nameServer = await startDnsServer(...records);
    else await this.#nameServer.setRecords(...records);
  }

  relayOf(member: EtcdMember): TcpRelay {
    return this.#relays[this.#indexOf(member)]!;
  }

  /**
   * From now on nothing gets through between the proxy and `member`. In a network of our own packets are lost; on
   * loopback connections are taken and carry nothing.
   */
  async cutOff(member: EtcdMember): Promise<void> {
    if (this.network === undefined) this.relayOf(member).stall();
    else await this.network.pull(this.#indexOf(member));
  }

  /** Ends that. */
  async reconnect(member: EtcdMember): Promise<void> {
    if (this.network === undefined) this.relayOf(member).pass();
    else await this.network.plugIn(this.#indexOf(member));
  }

  /** The member that most goes to while `work` is done: with our proxies, all but the checks of the others. */
  async memberInUse(work: () => Promise<unknown>): Promise<EtcdMember> {
    const before = this.#relays.map(({ carriedBytes }) => carriedBytes);
    await work();
    const carried = this.#relays.map(({ carriedBytes }, index) => carriedBytes - before[index]!);
    return this.cluster.member(carried.indexOf(Math.max(...carried)));
  }

  /** Makes `member` the leader, or a follower. */
  async takesPart(member: EtcdMember, part: "leader" | "follower"): Promise<void> {
    if (part === "leader") return this.cluster.lead(member);
    if ((await this.cluster.leader()) === member) await this.cluster.lead(this.anotherThan(member));
  }

  anotherThan(member: EtcdMember): EtcdMember {
    return this.cluster.members.find((other) => other !== member)!;
  }

  #indexOf(member: EtcdMember): number {
    return this.cluster.members.indexOf(member);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.#relays) relay[Symbol.dispose]();
    await this.#nameServer?.stop();
    await this.cluster.dispose();
  }
}
