/**
 * What can happen to the members behind a proxy, and how soon its clients are to get on again.
 *
 * Each outage is brought about, held until all clients get on although it lasts, or for as long as `HOLD_MAX_MS`, and
 * made good again. The bounds are what etcdproxy promises: etcd's proxies are measured, not judged.
 */
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import type { EtcdMember } from "../../harness/etcd-member.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { CALL_DEADLINE_MS } from "./paced-client.ts";
import type { Contender, Product } from "./contenders.ts";
import { type Findings, type OutageStage, REFRESH_SECONDS } from "./outage-stage.ts";

/** How soon a member is left that answers no more: the promise of the health checks. */
const LEFT_WITHIN_MS = 3_000;
/**
 * How long a write may take that was on its way to a leader as that died: etcd has forgotten it, and its client waits
 * until its deadline, whatever is between them.
 */
const FORGOTTEN_MS = CALL_DEADLINE_MS;
/** How soon another leader is elected: a follower waits for up to two election timeouts, and votes may be split. */
const ELECTED_WITHIN_MS = 4_000;
/** What a busy machine may take longer, and a client until it has connected again. */
const SLACK_MS = 3_000;

/** How long an outage is held in spite of which clients get on: longer than a call's deadline, and than all that is promised. */
export const HOLD_MAX_MS = 12_000;
/** How long one is held that cannot be seen. A lease lives longer, whenever its last heartbeat was. */
export const UNSEEN_HOLD_MS = 3_000;

/** Keys that make the database large. */
const BALLAST = { key: "ballast/", values: 64, valueBytes: 1024 * 1024 } as const;
/** How late all that goes to a slow member arrives, either way. */
const SLOW_MS = 200;

/** A member that is in use, and what can be done to it. */
export interface OutageScene {
  readonly stage: OutageStage;
  /** The member that the proxy uses, or uses most. */
  readonly inUse: EtcdMember;
  /** Lets the outage go on until all clients get on again, or have had enough time to. */
  hold(): Promise<void>;
}

export interface Outage {
  /** What `scripts/faults --only` calls it. */
  readonly id: string;
  /** What happens, as a sentence about the member in use. */
  readonly title: string;
  /** What the member in use is before; whatever it is, when absent. */
  readonly inUse?: "leader" | "follower";
  /** How the proxy finds the members; it is told of their endpoints when absent. */
  readonly findings?: Findings;
  /** Who can take part; everybody when absent. */
  readonly suits?: (contender: Contender) => boolean;
  /** Done before the load begins. */
  readonly prepare?: (stage: OutageStage) => Promise<void>;
  /** Resolves, once all is made good, to how long etcd itself could not serve, in milliseconds, where that is known. */
  readonly happen: (scene: OutageScene) => Promise<number | void>;
  /** The longest that a client may go without an answer, in milliseconds, beyond what etcd itself could not serve. */
  readonly silenceMaxMs: number;
  /** Whether calls may fail at all. */
  readonly callsFail: boolean;
  /**
   * The products that can see it: all when absent. With one that cannot, clients get on when it is over; it is held for
   * no longer than `UNSEEN_HOLD_MS`, so that leases have time enough.
   */
  readonly seenBy?: readonly Product[];
  /** Calls of every client that show that it gets on; some twenty when absent. */
  readonly callsMeanwhile?: number;
}

export const outages: readonly Outage[] = [
  {
    id: "nothing",
    title: "nothing happens, as a control",
    happen: ({ hold }) => hold(),
    silenceMaxMs: SLACK_MS,
    callsFail: false,
  },
  {
    id: "kill-follower",
    title: "a follower is killed (`kill -9`), and started again",
    inUse: "follower",
    happen: killed,
    silenceMaxMs: SLACK_MS,
    callsFail: true,
  },
  {
    id: "kill-leader",
    title: "the leader is killed (`kill -9`), and started again",
    inUse: "leader",
    happen: killed,
    silenceMaxMs: FORGOTTEN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "stop-follower",
    title: "a follower stands still (SIGSTOP), and goes on (SIGCONT)",
    inUse: "follower",
    happen: stopped,
    silenceMaxMs: LEFT_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "stop-leader",
    title: "the leader stands still (SIGSTOP), and goes on (SIGCONT)",
    inUse: "leader",
    happen: stopped,
    silenceMaxMs: LEFT_WITHIN_MS + ELECTED_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "unreachable",
    title: "a member cannot be reached: the network swallows all between the proxy and it",
    happen: async ({ stage, inUse, hold }) => {
      await stage.cutOff(inUse);
      await hold();
      await stage.reconnect(inUse);
    },
    silenceMaxMs: LEFT_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "isolate-follower",
    title: "a follower is cut off from the others, not from the proxy",
    inUse: "follower",
    happen: isolated,
    seenBy: ["grpc-proxy"], // For a gateway, the member speaks HTTP/2 as well as ever.
    silenceMaxMs: LEFT_WITHIN_MS + ELECTED_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "isolate-leader",
    title: "the leader is cut off from the others, not from the proxy",
    inUse: "leader",
    happen: isolated,
    seenBy: ["grpc-proxy"], // For a gateway, the member speaks HTTP/2 as well as ever.
    silenceMaxMs: LEFT_WITHIN_MS + ELECTED_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "transfer",
    title: "the leader hands over to another member",
    inUse: "leader",
    happen: async ({ stage, inUse, hold }) => {
      await stage.cluster.lead(stage.anotherThan(inUse));
      await hold();
    },
    silenceMaxMs: ELECTED_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "slow",
    title: `a follower is slow: all takes ${SLOW_MS} ms more, either way`,
    inUse: "follower",
    happen: async ({ stage, inUse, hold }) => {
      stage.relayOf(inUse).delay(SLOW_MS);
      await hold();
      stage.relayOf(inUse).pass();
    },
    silenceMaxMs: SLACK_MS,
    callsFail: false,
    callsMeanwhile: 6,
  },
  {
    id: "restart-all",
    title: "all members are killed at once, and started again",
    happen: async ({ stage, hold }) => {
      const { members } = stage.cluster;
      await Promise.all(members.map((member) => member.kill()));
      for (const member of members) member.restart();
      const restartedMs = await durationOf(stage.cluster.waitHealthy());
      await hold();
      return restartedMs;
    },
    silenceMaxMs: SLACK_MS,
    callsFail: true,
  },
  {
    id: "replace",
    title: "a member is removed for good, and an empty one added in its place, on its address",
    happen: async ({ stage, inUse, hold }) => {
      await stage.cluster.replaceMember(inUse);
      await hold();
    },
    silenceMaxMs: LEFT_WITHIN_MS + ELECTED_WITHIN_MS + SLACK_MS,
    callsFail: true,
  },
  {
    id: "defrag",
    title: `a member with ${(BALLAST.values * BALLAST.valueBytes) / 1024 ** 2} MiB is defragmented`,
    prepare: loadBallast,
    happen: async ({ inUse, hold }) => {
      using client = new GrpcClient(inUse.endpoint);
      const defragmentedMs = await durationOf(client.unary(Maintenance.method.defragment, {}));
      await hold();
      return defragmentedMs;
    },
    silenceMaxMs: SLACK_MS,
    callsFail: true,
  },
  {
    id: "records",
    title: "SRV records named one member, and name the two others from now on; the first is killed",
    inUse: "follower",
    findings: "name server",
    suits: ({ maker }) => maker === "etcdproxy", // etcd's ask the system's name servers only, and once.
    happen: async (scene) => {
      const { stage, inUse } = scene;
      await stage.name(stage.cluster.members.filter((member) => member !== inUse));
      await killed(scene);
    },
    silenceMaxMs: REFRESH_SECONDS * 1_000 + SLACK_MS,
    callsFail: true,
  },
  {
    id: "replace-all",
    title: "all members are replaced, one after the other, by others on other addresses",
    findings: "member list",
    suits: ({ product }) => product === "grpc-proxy", // A gateway cannot ask for the list.
    happen: async ({ stage, hold }) => {
      const { cluster } = stage;
      for (const member of cluster.members) {
        await cluster.addMember();
        await cluster.removeMember(member);
      }
      await hold();
    },
    silenceMaxMs: FORGOTTEN_MS + SLACK_MS,
    callsFail: true,
  },
];

async function durationOf(work: Promise<unknown>): Promise<number> {
  const begunMs = performance.now();
  await work;
  return performance.now() - begunMs;
}

async function killed({ inUse, hold }: OutageScene): Promise<void> {
  await inUse.kill();
  await hold();
  inUse.restart();
}

async function stopped({ inUse, hold }: OutageScene): Promise<void> {
  inUse.stop();
  await hold();
  inUse.continue();
}

async function isolated({ stage, inUse, hold }: OutageScene): Promise<void> {
  await stage.cluster.isolate(inUse);
  await hold();
  stage.cluster.rejoin(inUse);
}

/** Makes the database so large that it takes a while to write it anew. */
async function loadBallast({ cluster }: OutageStage): Promise<void> {
  using client = new GrpcClient(cluster.member(0).endpoint);
  const value = new Uint8Array(BALLAST.valueBytes).fill(1);
  for (let index = 0; index < BALLAST.values; index++) {
    await client.unary(KV.method.put, { key: Buffer.from(`${BALLAST.key}${index}`), value });
  }
}
