/**
 * A real etcd cluster on loopback, for one test file: started, healthy, and gone without a trace afterwards.
 *
 * Works with etcd 3.4 to 3.7. Members take ports that were free a moment ago; when another process was
 * faster the whole cluster starts over on others.
 */
import { freePorts } from "./free-ports.ts";
import { EtcdMember, type EtcdTls } from "./etcd-member.ts";
import { etcdBinary, etcdVersion, isSince } from "./etcd-version.ts";
import { PeerNetwork } from "./peer-network.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { waitFor } from "./wait-for.ts";

const START_TRIES_MAX = 5;

export interface EtcdClusterOptions {
  readonly members: 1 | 3;
  /** Further flags for every member, such as `--quota-backend-bytes=…`. */
  readonly flags?: readonly string[];
  /** Lets the members reach each other through relays, so that `isolate` works. */
  readonly relayedPeers?: boolean;
  /** TLS towards clients, the same for every member; none when absent. Peers speak without. */
  readonly tls?: EtcdTls;
}

export class EtcdCluster implements AsyncDisposable {
  readonly members: readonly EtcdMember[];
  readonly #folder: TemporaryFolder;
  readonly #network: PeerNetwork | undefined;
  /** Ids, in decimal, of the members that are cut off from the others. */
  readonly #isolated = new Map<EtcdMember, string>();

  constructor(members: readonly EtcdMember[], folder: TemporaryFolder, network?: PeerNetwork) {
    this.members = members;
    this.#folder = folder;
    this.#network = network;
  }

  /** `host:port` of every member, in the order of `members`. */
  get endpoints(): readonly string[] {
    return this.members.map((member) => member.endpoint);
  }

  /** The URL of every member, in the order of `members`. */
  get urls(): readonly string[] {
    return this.members.map((member) => member.url);
  }

  /** The member at `index`. @throws Error when the cluster has fewer. */
  member(index: number): EtcdMember {
    const member = this.members[index];
    if (member === undefined)
      throw new Error(`this cluster has ${this.members.length} members, no #${index}`);
    return member;
  }

  /** Waits until every member that runs answers linearizable reads. */
  async waitHealthy(deadlineMs?: number): Promise<void> {
    const running = this.members.filter((member) => member.running);
    await Promise.all(running.map((member) => member.waitHealthy(deadlineMs)));
  }

  /** The member that leads, as soon as one running member names a running one. */
  leader(deadlineMs?: number): Promise<EtcdMember> {
    return waitFor(
      "a leader",
      async () => {
        for (const member of this.members.filter((candidate) => candidate.running)) {
          const { memberId, leaderId } = await member.status();
          if (memberId === leaderId) return member;
        }
        return undefined;
      },
      deadlineMs === undefined ? {} : { deadlineMs },
    );
  }

  /** Cuts a running member off from the others, not from its clients. For clusters with `relayedPeers`. */
  async isolate(member: EtcdMember): Promise<void> {
    const { memberId } = await member.status();
    this.#isolated.set(member, memberId);
    this.#peers().isolate(this.members.indexOf(member), memberId);
  }

  /** Lets an isolated member reach the others again. */
  rejoin(member: EtcdMember): void {
    const memberId = this.#isolated.get(member);
    if (memberId === undefined) throw new Error(`${member.name} is not isolated`);
    this.#isolated.delete(member);
    this.#peers().rejoin(this.members.indexOf(member), memberId);
  }

  #peers(): PeerNetwork {
    if (this.#network === undefined) throw new Error("only a cluster with relayedPeers can isolate a member");
    return this.#network;
  }

  /** Kills every member and removes all files. */
  async dispose(): Promise<void> {
    await Promise.all(this.members.filter((member) => member.running).map((member) => member.kill()));
    this.#network?.[Symbol.dispose]();
    this.#folder[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Starts a cluster and waits until every member is healthy. */
export async function startEtcdCluster(options: EtcdClusterOptions): Promise<EtcdCluster> {
  for (let tries = 1; ; tries++) {
    const cluster = launch(options);
    try {
      await cluster.waitHealthy(60_000);
      return cluster;
    } catch (error) {
      await cluster.dispose();
      const portTaken = error instanceof Error && error.message.includes("address already in use");
      if (!portTaken || tries === START_TRIES_MAX) throw error;
    }
  }
}

function launch(options: EtcdClusterOptions): EtcdCluster {
  const folder = new TemporaryFolder("etcd");
  const ports = freePorts(options.members * 2);
  const endpoints = Array.from({ length: options.members }, (_, index) => ({
    client: `127.0.0.1:${ports[index * 2]}`,
    peer: `127.0.0.1:${ports[index * 2 + 1]}`,
  }));
  const network =
    options.relayedPeers === true ? new PeerNetwork(endpoints.map(({ peer }) => peer)) : undefined;
  const plans = endpoints.map(({ client, peer }, index) => ({
    name: `member${index + 1}`,
    endpoint: client,
    peerListener: `http://${peer}`,
    peerUrl: network?.peerUrl(index) ?? `http://${peer}`,
  }));
  const scheme = options.tls === undefined ? "http" : "https";
  const initialCluster = plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  const members = plans.map(({ name, endpoint, peerListener, peerUrl }) => {
    const dataFolder = folder.file(`${name}.etcd`);
    const command = [
      etcdBinary("etcd"),
      `--name=${name}`,
      `--data-dir=${dataFolder}`,
      `--listen-client-urls=${scheme}://${endpoint}`,
      `--advertise-client-urls=${scheme}://${endpoint}`,
      `--listen-peer-urls=${peerListener}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=${initialCluster}`,
      "--initial-cluster-state=new",
      "--logger=zap",
      "--log-outputs=stderr",
      ...timing(options.members),
      ...(isSince(etcdVersion(), [3, 5, 0]) ? ["--unsafe-no-fsync"] : []),
      ...tlsFlags(options.tls),
      ...(options.flags ?? []),
    ];
    const logFile = folder.file(`${name}.log`);
    const tls = options.tls === undefined ? {} : { tls: options.tls };
    return new EtcdMember({ name, endpoint, dataFolder, logFile, command, ...tls });
  });
  return new EtcdCluster(members, folder, network);
}

/** A lone member elects itself: nothing is won by letting it wait for others. */
function timing(members: number): string[] {
  return members === 1 ? ["--heartbeat-interval=20", "--election-timeout=200"] : [];
}

function tlsFlags(tls: EtcdTls | undefined): string[] {
  if (tls === undefined) return [];
  const { server, clients } = tls;
  const shown = [`--cert-file=${server.certificateFile}`, `--key-file=${server.keyFile}`];
  return clients === undefined
    ? shown
    : [...shown, "--client-cert-auth", `--trusted-ca-file=${clients.caFile}`];
}
