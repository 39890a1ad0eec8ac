/**
 * Reads and writes of a few hot keys through two proxies and directly, while members die: what all clients are told
 * is what one store could have told them, one operation after the other.
 */
import { expect, test } from "bun:test";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { ClusterHistory } from "./cluster-history.ts";
import { resolveUnknown } from "./history-recorder.ts";
import { HotKeyClients } from "./hot-key-clients.ts";
import { check } from "./linearizability/checker.ts";
import { verdictByValues } from "./linearizability/close-up.ts";
import { describeVerdict } from "./linearizability/excerpt.ts";
import { isAnswered, type Operation } from "./linearizability/history.ts";
import { KvState } from "./linearizability/kv-model.ts";
import { chosenSeed, SeededRandom } from "./seeded-random.ts";

const long = process.env["ETCDPROXY_TEST_LONG"] === "1";
/** Each: a member dies, comes back, and is healthy again. */
const ROUNDS = long ? 40 : 2;
const CLIENTS_PER_TARGET = 4;
/** Answers before a member dies, while it is dead, and after it has come back. */
const ANSWERS = 2_000;

test(
  "linearizable calls through two proxies and directly, while members die, are linearizable together",
  async () => {
    const seed = chosenSeed();
    const random = new SeededRandom(seed);
    await using cluster = await startEtcdCluster({ members: 3 });
    await using first = await startGrpcProxy(cluster.endpoints);
    await using second = await startGrpcProxy(cluster.endpoints);
    const truth = await ClusterHistory.begin(cluster.member(0).endpoint);
    const initial = new KvState(truth.lastRevision);
    const targets = [
      { name: "proxy 1", addresses: [first.address] },
      { name: "proxy 2", addresses: [second.address] },
      { name: "members", addresses: cluster.endpoints },
    ];
    await using clients = new HotKeyClients(targets, CLIENTS_PER_TARGET, seed);
    await clients.progress(ANSWERS);
    for (let round = 0; round < ROUNDS; round++) {
      const member = random.chance(0.5) ? await cluster.leader() : random.pick(cluster.members);
      await member.kill();
      await clients.progress(ANSWERS);
      member.restart();
      await cluster.waitHealthy();
      await clients.progress(ANSWERS);
    }
    await clients.stop();
    await truth.extend(cluster.member(0).endpoint);

    const { operations, unexpected, failures } = clients.recorder;
    const story = `ETCDPROXY_TEST_SEED=${seed} repeats it; failures: ${JSON.stringify([...failures])}`;
    expect(unexpected.slice(0, 10), story).toEqual([]);
    const history = resolveUnknown(operations, truth.changes);
    const verdict = check(history, { detail: "revisions", initial });
    if (verdict.kind !== "linearizable") {
      const byValues = verdictByValues(verdict, history, initial);
      throw new Error(`${describeVerdict(verdict)}\nby values alone: ${byValues}\n${story}`);
    }
    for (const { name } of targets) expect(answersOf(name, operations), story).toBeGreaterThan(ANSWERS / 2);
  },
  long ? 1_200_000 : 120_000,
);

function answersOf(target: string, operations: readonly Operation[]): number {
  return operations.filter((operation) => operation.target === target && isAnswered(operation)).length;
}
