/**
 * The checkers of tests/faults, put before a proxy of several workers: what clients of all workers are told together is what
 * one proxy has promised.
 */
import { expect, test } from "bun:test";
import { cachedReadRun } from "../faults/cached-reads/cached-read-run.ts";
import { ClusterHistory } from "../faults/cluster-history.ts";
import { resolveUnknown } from "../faults/history-recorder.ts";
import { HotKeyClients } from "../faults/hot-key-clients.ts";
import { check } from "../faults/linearizability/checker.ts";
import { describeVerdict } from "../faults/linearizability/excerpt.ts";
import { KvState } from "../faults/linearizability/kv-model.ts";
import { chosenSeed } from "../faults/seeded-random.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy } from "../harness/etcdproxy-process.ts";

const long = process.env["ETCDPROXY_TEST_LONG"] === "1";
const DURATION_MS = long ? 60_000 : 5_000;
const SHOWN_MAX = 10;
/** Answers before a member dies, while it is dead, and after it has come back. */
const ANSWERS = long ? 20_000 : 1_500;
const WORKERS = "--workers=3";

test.each([true, false])(
  "serializable reads keep the proxy's promise across workers, with watches: %p",
  async (watch) => {
    const seed = chosenSeed();
    // One member: all workers' reads are of it, so that each is held to what any worker has shown.
    await using cluster = await startEtcdCluster({ members: 1 });
    await using judged = await startGrpcProxy(cluster.endpoints, [WORKERS]);
    await using other = await startGrpcProxy(cluster.endpoints);
    const { violations, failures, counts } = await cachedReadRun({
      cluster,
      proxy: judged.address,
      otherProxy: other.address,
      watch,
      durationMs: DURATION_MS,
      seed,
    });
    const story = `ETCDPROXY_TEST_SEED=${seed}; ${JSON.stringify(counts)}; ${violations.length} violations`;
    expect(violations.slice(0, SHOWN_MAX), story).toEqual([]);
    expect(failures.slice(0, SHOWN_MAX), story).toEqual([]);
    expect(counts.reads, story).toBeGreaterThan(500);
    expect(counts.writes, story).toBeGreaterThan(100);
    if (watch) expect(counts.watchedRevision, story).toBeGreaterThan(0);
  },
  DURATION_MS + 90_000,
);

test(
  "linearizable calls through all workers and directly, while a member dies, are linearizable together",
  async () => {
    const seed = chosenSeed();
    await using cluster = await startEtcdCluster({ members: 3 });
    await using proxy = await startGrpcProxy(cluster.endpoints, [WORKERS]);
    const truth = await ClusterHistory.begin(cluster.member(0).endpoint);
    const initial = new KvState(truth.lastRevision);
    const targets = [
      { name: "workers", addresses: [proxy.address] },
      { name: "members", addresses: cluster.endpoints },
    ];
    await using clients = new HotKeyClients(targets, 6, seed);
    await clients.progress(ANSWERS);
    const member = await cluster.leader();
    await member.kill();
    await clients.progress(ANSWERS);
    member.restart();
    await cluster.waitHealthy();
    await clients.progress(ANSWERS);
    await clients.stop();
    await truth.extend(cluster.member(0).endpoint);

    const { operations, unexpected, failures } = clients.recorder;
    const story = `ETCDPROXY_TEST_SEED=${seed}; failures: ${JSON.stringify([...failures])}`;
    expect(unexpected.slice(0, SHOWN_MAX), story).toEqual([]);
    const history = resolveUnknown(operations, truth.changes);
    const verdict = check(history, { detail: "revisions", initial });
    if (verdict.kind !== "linearizable") throw new Error(`${describeVerdict(verdict)}\n${story}`);
    expect(operations.filter(({ target }) => target === "workers").length, story).toBeGreaterThan(
      ANSWERS / 2,
    );
  },
  long ? 600_000 : 180_000,
);
