/**
 * Serializable reads through a proxy, which may come from its cache: none is older than was promised, whoever writes,
 * and however. All members stay healthy meanwhile, for one that lags may itself answer such reads from the past.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { cachedReadRun } from "./cached-reads/cached-read-run.ts";
import { chosenSeed } from "./seeded-random.ts";

const long = process.env["ETCDPROXY_TEST_LONG"] === "1";
const DURATION_MS = long ? 60_000 : 4_000;
const VIOLATIONS_SHOWN_MAX = 10;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 3 });
});
afterAll(() => cluster.dispose());

test(
  "serializable reads keep the proxy's promise, with a watch of the keys through it",
  () => keepsPromise(true),
  DURATION_MS + 60_000,
);

test(
  "serializable reads keep the proxy's promise, without any watch",
  () => keepsPromise(false),
  DURATION_MS + 60_000,
);

test(
  "serializable reads keep the proxy's promise, without a cache, as a control",
  () => keepsPromise(true, ["--cache=false"]),
  DURATION_MS + 60_000,
);

async function keepsPromise(watch: boolean, flags: readonly string[] = []): Promise<void> {
  const seed = chosenSeed();
  await using judged = await startGrpcProxy(cluster.endpoints, flags);
  await using other = await startGrpcProxy(cluster.endpoints);
  const { violations, failures, counts } = await cachedReadRun({
    cluster,
    proxy: judged.address,
    otherProxy: other.address,
    watch,
    durationMs: DURATION_MS,
    seed,
  });
  const story = `ETCDPROXY_TEST_SEED=${seed} repeats it; ${JSON.stringify(counts)}; ${violations.length} violations`;
  expect(violations.slice(0, VIOLATIONS_SHOWN_MAX), story).toEqual([]);
  expect(failures.slice(0, VIOLATIONS_SHOWN_MAX), story).toEqual([]);
  expect(counts.reads, story).toBeGreaterThan(1_000);
  expect(counts.writes, story).toBeGreaterThan(100);
  for (const count of ["revocations", "compactions", "compactedReads", "pastReads"] as const) {
    expect(counts[count], story).toBeGreaterThan(0);
  }
  if (watch) expect(counts.watchedRevision, story).toBeGreaterThan(0);
}
