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
import { waitFor, withDeadline } from "./wait-for.ts";

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
  #members: readonly EtcdMember[];
  readonly #folder: TemporaryFolder;
  readonly #options: EtcdClusterOptions;
  readonly #network: PeerNetwork | undefined;
  /** Ids, in decimal, of the members that are cut off from the others. */
  readonly #isolated = new Map<EtcdMember, string>();
  /** Members there have been: a name is not used twice. */
  #named: number;

  constructor(
    members: readonly EtcdMember[],
    folder: TemporaryFolder,
    options: EtcdClusterOptions,
    network?: PeerNetwork,
  ) {
    this.#members = members;
    this.#folder = folder;
    this.#options = options;
    this.#network = network;
    this.#named = members.length;
  }

  /** Those that have been started and not removed. */
  get members(): readonly EtcdMember[] {
    return this.#members;
  }

  /** Adds a member and starts it; a voting one is healthy then. Not for clusters with `relayedPeers`. */
  async addMember(as: "voter" | "learner" = "voter"): Promise<EtcdMember> {
    const member = (await this.announceMember(as)).start();
    if (as === "voter") await member.waitHealthy();
    return member;
  }

  /**
   * Adds a member that does not run until it is started: it has no name and no client URL in the member list. While a voting
   * one is announced it counts for the quorum.
   */
  async announceMember(as: "voter" | "learner" = "voter"): Promise<AnnouncedMember> {
    if (this.#network !== undefined) throw new Error("a cluster with relayedPeers cannot grow");
    const [client, peer] = freePorts(2);
    const plan = memberPlan(++this.#named, `127.0.0.1:${client}`, `127.0.0.1:${peer}`);
    // etcd takes nobody before its members have been connected for five seconds.
    const { members } = (await waitFor("the cluster to take a member", () =>
      this.#anybody().call("/v3/cluster/member/add", {
        peerURLs: [plan.peerUrl],
        isLearner: as === "learner",
      }),
    )) as { members: { name?: string; peerURLs: string[] }[] };
    await this.#allKnow(plan.peerUrl);
    const initialCluster = members
      .map(({ name, peerURLs }) => `${name ?? plan.name}=${peerURLs[0]}`)
      .join(",");
    return {
      start: () => {
        const member = startMember(plan, { initialCluster, state: "existing" }, this.#folder, this.#options);
        this.#members = [...this.#members, member];
        return member;
      },
    };
  }

  /** Takes a member out of the cluster; its process ends. */
  async removeMember(member: EtcdMember): Promise<void> {
    const { memberId } = await member.status();
    await waitFor("the cluster to let a member go", async () => {
      await this.#anybody(member).call("/v3/cluster/member/remove", { ID: memberId });
      return true;
    });
    this.#members = this.#members.filter((other) => other !== member);
    await member.kill();
  }

  /** Makes a learner a voting member, as soon as it has caught up. */
  async promoteMember(member: EtcdMember): Promise<void> {
    // It is in the member list, by its name, a moment before it answers.
    const { memberId } = await waitFor("a learner to answer", () => member.status());
    await waitFor("a learner to be promoted", async () => {
      await this.#anybody(member).call("/v3/cluster/member/promote", { ID: memberId });
      return true;
    });
    await member.waitHealthy();
  }

  /** Waits until every member that runs knows a member by this URL: the new one asks any, and ends when that does not. */
  async #allKnow(peerUrl: string): Promise<void> {
    await waitFor("all members to know the new one", async () => {
      const lists = await Promise.all(this.#members.filter(({ running }) => running).map(listedBy));
      return lists.every((listed) => listed.some(({ peerURLs }) => peerURLs[0] === peerUrl));
    });
  }

  /** One that runs, and is not `except`. */
  #anybody(except?: EtcdMember): EtcdMember {
    const member = this.#members.find((other) => other !== except && other.running);
    if (member === undefined) throw new Error("no other member runs");
    return member;
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

  /** Lets `member` lead. */
  async lead(member: EtcdMember): Promise<void> {
    const { memberId } = await member.status();
    await waitFor(`${member.name} to lead`, async () => {
      const leader = await this.leader();
      if (leader === member) return true;
      await leader.call("/v3/maintenance/transfer-leadership", { targetID: memberId });
      return (await this.leader()) === member;
    });
  }

  /**
   * Takes a running member out of the cluster for good, and adds one without data that has its name and its addresses;
   * does not wait until that is healthy.
   */
  async replaceMember(member: EtcdMember): Promise<void> {
    const { memberId } = await member.status();
    // What a leader that goes has not passed on is never answered, done or not: each try looks first.
    const listed = (): Promise<readonly ListedMember[]> => listedBy(this.#anybody(member));
    const peerURLs = (await listed()).find(({ ID }) => ID === memberId)!.peerURLs;
    await waitFor(`the cluster to let ${member.name} go`, async () => {
      if (!(await listed()).some(({ ID }) => ID === memberId)) return true;
      await this.#anybody(member).call("/v3/cluster/member/remove", { ID: memberId });
      return true;
    });
    await withDeadline(member.exited, () => `${member.name} to end`);
    await waitFor(`the cluster to take another ${member.name}`, async () => {
      if ((await listed()).some((other) => other.peerURLs[0] === peerURLs[0])) return true;
      await this.#anybody(member).call("/v3/cluster/member/add", { peerURLs });
      return true;
    });
    await this.#allKnow(peerURLs[0]!);
    member.startAnew();
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

/** A member as the member list tells of it. */
interface ListedMember {
  readonly ID: string;
  readonly peerURLs: readonly string[];
}

/** The member list, as one member tells it. */
async function listedBy(member: EtcdMember): Promise<readonly ListedMember[]> {
  const answer = await member.call("/v3/cluster/member/list", {});
  return (answer as { readonly members: readonly ListedMember[] }).members;
}

/** A member that the cluster knows of, and that has not been started. */
export interface AnnouncedMember {
  /** Does not wait until it is healthy. */
  start(): EtcdMember;
}

interface MemberPlan {
  readonly name: string;
  /** `host:port` that clients connect to. */
  readonly endpoint: string;
  readonly peerListener: string;
  readonly peerUrl: string;
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
  const plans = endpoints.map(({ client, peer }, index) =>
    memberPlan(index + 1, client, peer, network?.peerUrl(index)),
  );
  const initialCluster = plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  const members = plans.map((plan) => startMember(plan, { initialCluster, state: "new" }, folder, options));
  return new EtcdCluster(members, folder, options, network);
}

function memberPlan(number: number, client: string, peer: string, peerUrl = `http://${peer}`): MemberPlan {
  return { name: `member${number}`, endpoint: client, peerListener: `http://${peer}`, peerUrl };
}

function startMember(
  { name, endpoint, peerListener, peerUrl }: MemberPlan,
  { initialCluster, state }: { initialCluster: string; state: "new" | "existing" },
  folder: TemporaryFolder,
  options: EtcdClusterOptions,
): EtcdMember {
  const scheme = options.tls === undefined ? "http" : "https";
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
    `--initial-cluster-state=${state}`,
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
