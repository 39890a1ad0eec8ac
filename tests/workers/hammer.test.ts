/**
 * Writes and cached reads through all workers at once, as fast as they go: no read that began after a write was acknowledged,
 * at whatever worker, shows what was there before it.
 *
 * There is one member, so that it answers no serializable read from the past. Two proxies' worth of caches: one
 * that forgets nothing by itself, and one so small that it forgets all the time.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { bytes } from "../e2e/methods/side.ts";
import { prefixOf, type ReadClient, SERIALIZABLE } from "../e2e/reads/read-client.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { valueOf } from "../harness/exposition.ts";
import { chosenSeed, SeededRandom } from "../faults/seeded-random.ts";
import { WorkerScene } from "./worker-scene.ts";

const WORKERS = 3;
const DURATION_MS = process.env["ETCDPROXY_TEST_LONG"] === "1" ? 60_000 : 5_000;
const KEYS = ["hammer/a", "hammer/b", "hammer/c", "hammer/d"];
const READERS_OF_EACH = 3;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 120_000);
afterAll(() => cluster.dispose());

/** Keys that count, and what was acknowledged of each. */
class Hammer {
  readonly stale: string[] = [];
  reads = 0;
  writes = 0;
  readonly #clients: readonly ReadClient[];
  readonly #acknowledged = new Map<string, number>(KEYS.map((key) => [key, 0]));
  readonly #untilMs = performance.now() + DURATION_MS;

  constructor(clients: readonly ReadClient[]) {
    this.#clients = clients;
  }

  async run(seed: number): Promise<void> {
    const readers = this.#clients.flatMap((_, worker) =>
      Array.from({ length: READERS_OF_EACH }, (__, index) =>
        this.#readThrough(worker, new SeededRandom(seed + worker * READERS_OF_EACH + index)),
      ),
    );
    await Promise.all([
      ...readers,
      ...KEYS.map((key, index) => this.#count(key, new SeededRandom(seed + 1000 + index))),
    ]);
  }

  get #over(): boolean {
    return performance.now() >= this.#untilMs;
  }

  /** Counts a key up, each time through any worker: by a Put, or in a Txn. */
  async #count(key: string, random: SeededRandom): Promise<void> {
    for (let count = 1; !this.#over; count++) {
      const client = this.#clients[random.below(WORKERS)]!;
      if (random.chance(0.5)) await client.put(key, String(count));
      else {
        const put = { key: bytes(key), value: bytes(String(count)) };
        await client.grpc.unary(KV.method.txn, {
          success: [{ request: { case: "requestPut", value: put } }],
        });
      }
      this.#acknowledged.set(key, count);
      this.writes++;
    }
  }

  async #readThrough(worker: number, random: SeededRandom): Promise<void> {
    const client = this.#clients[worker]!;
    while (!this.#over) {
      const key = KEYS[random.below(KEYS.length)]!;
      const before = new Map(this.#acknowledged);
      if (random.chance(0.8)) this.#check(worker, key, await client.get(key, SERIALIZABLE), before);
      else {
        const { kvs } = await client.range(prefixOf("hammer/"), SERIALIZABLE);
        for (const kv of kvs)
          this.#check(worker, Buffer.from(kv.key).toString(), Buffer.from(kv.value).toString(), before);
      }
      this.reads++;
    }
  }

  #check(worker: number, key: string, value: string | undefined, before: ReadonlyMap<string, number>): void {
    const acknowledged = before.get(key)!;
    if (Number(value ?? 0) < acknowledged)
      this.stale.push(`worker ${worker}: ${key} is ${value}, though ${acknowledged} was acknowledged`);
  }
}

test.each([
  ["forgets nothing by itself", ["--cache-max-age=10m"]],
  ["is as small as can be", ["--cache-max-age=10m", "--cache-max-entries=3"]],
])(
  "reads show what was acknowledged at any worker, with a cache that %s",
  async (_, flags) => {
    await using scene = await WorkerScene.start(cluster.endpoints, WORKERS, flags);
    const clients = await scene.clientOfEach();
    await Promise.all(KEYS.map((key) => clients[0]!.put(key, "0")));
    const hammer = new Hammer(clients);
    const seed = chosenSeed();
    await hammer.run(seed);
    const story = `ETCDPROXY_TEST_SEED=${seed}; ${hammer.stale.length} of ${hammer.reads} reads, ${hammer.writes} writes`;
    expect(hammer.stale.slice(0, 5), story).toEqual([]);
    expect(hammer.writes, story).toBeGreaterThan(200);
    expect(hammer.reads, story).toBeGreaterThan(500);
    const hits = valueOf(await scene.metrics(), "etcd_grpc_proxy_cache_hits_total");
    expect(hits, story).toBeGreaterThan(50);
  },
  DURATION_MS + 60_000,
);
