/**
 * One run of serializable reads through a proxy, with writers at the same proxy, at another one and at the members
 * themselves, compactions through the proxy, and with or without a watch through it; then the judgement of each read.
 */
import { KV, RangeRequest_SortOrder, type RangeResponse } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import * as grpc from "@grpc/grpc-js";
import type { EtcdCluster } from "../../harness/etcd-cluster.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { latin1, pairOf } from "../change.ts";
import { ClusterHistory } from "../cluster-history.ts";
import { KvClient } from "../kv-client.ts";
import { fromLatin1 } from "../kv-wire.ts";
import { EVERY_KEY } from "../linearizability/key-span.ts";
import { type KvRequest, tellsChange } from "../linearizability/kv-operation.ts";
import { SeededRandom } from "../seeded-random.ts";
import { WatchClient } from "../watch-client.ts";
import type { WatchHistory } from "../watch-history.ts";
import { randomColdKey, randomKey, randomRead, randomWrite, WATCHED } from "./key-groups.ts";
import { MemberWords } from "./member-words.ts";
import { PastStates } from "./past-states.ts";
import { type AcknowledgedWrite, type Compaction, ReadJudge, type RecordedRead } from "./read-judge.ts";
import type { ReadAnswer, ReadRequest } from "./read-request.ts";

const READERS = 4;
const BURST_MAX = 5;
const CALL_MS = 5_000;
/** What --cache-max-age is by default. */
const MAX_AGE_MS = 1_000;
/** For the flight of the read that filled the cache, on a busy machine. */
const SLACK_MS = 250;
/** On a busy machine members elect another leader though none of them is ill. */
const ELECTION = /14 UNAVAILABLE: etcdserver: /;
const LEASE_SECONDS = 600;
const LEASED_KEYS = 3;
/** How far reads of the past go back, in which steps. */
const PAST_REVISIONS = 150;
const PAST_STEP = 20;
/** Revisions from one compaction to the next. */
const COMPACTED_EVERY = 150;

export interface CachedReadPlan {
  readonly cluster: EtcdCluster;
  /** Addresses: the proxy that is judged, and another one. */
  readonly proxy: string;
  readonly otherProxy: string;
  readonly watch: boolean;
  readonly durationMs: number;
  readonly seed: number;
}

/** How much was done: a run in which little happened proves little. */
export interface Counts {
  reads: number;
  writes: number;
  revocations: number;
  compactions: number;
  compactedReads: number;
  pastReads: number;
  watchedRevision: number;
}

export interface RunResult {
  readonly violations: readonly string[];
  readonly failures: readonly string[];
  readonly counts: Counts;
}

export async function cachedReadRun(plan: CachedReadPlan): Promise<RunResult> {
  const { cluster } = plan;
  const endpoint = cluster.member(0).endpoint;
  {
    using client = new KvClient(endpoint);
    await client.ask({ kind: "delete", ...EVERY_KEY });
  }
  const truth = await ClusterHistory.begin(endpoint);
  const emptyRevision = truth.lastRevision;
  using words = await MemberWords.of(cluster);
  using watcher = plan.watch ? new WatchClient(plan.proxy) : undefined;
  const watch = watcher?.open(WATCHED);
  await watcher?.opened();

  const run = new Run(plan, truth, watch);
  await run.work();
  await truth.extend(endpoint);
  const states = new PastStates(emptyRevision, truth.changes);
  const { reads, writes, compactions, failures } = run;
  const judge = new ReadJudge({
    states,
    writes,
    compactions,
    words: words.words,
    watched: watch === undefined ? undefined : { span: WATCHED, memberId: run.homeMemberId },
    maxAgeMs: MAX_AGE_MS,
    slackMs: SLACK_MS,
  });
  const violations = reads.map((read) => judge.violation(read)).filter((each) => each !== undefined);
  return {
    violations: [...violations, ...(watcher?.violations ?? [])],
    failures,
    counts: {
      reads: reads.length,
      writes: writes.length,
      revocations: writes.filter(({ leaseId }) => leaseId !== undefined).length,
      compactions: compactions.length,
      compactedReads: reads.filter(({ outcome }) => outcome.kind === "compacted").length,
      pastReads: reads.filter(({ request }) => request.revision !== undefined).length,
      watchedRevision: watch?.lastChange ?? 0,
    },
  };
}

class Run {
  readonly reads: RecordedRead[] = [];
  readonly writes: AcknowledgedWrite[] = [];
  readonly compactions: Compaction[] = [];
  readonly failures: string[] = [];
  /** The member that the proxy goes to, as its first answer tells: while all are healthy it goes to no other. */
  homeMemberId = "";
  readonly #plan: CachedReadPlan;
  readonly #truth: ClusterHistory;
  readonly #watch: WatchHistory | undefined;
  readonly #untilMs: number;
  /** The newest revision of a write through the proxy; 0 before the first. */
  #newestRevision = 0;
  #values = 0;

  constructor(plan: CachedReadPlan, truth: ClusterHistory, watch: WatchHistory | undefined) {
    this.#plan = plan;
    this.#truth = truth;
    this.#watch = watch;
    this.#untilMs = performance.now() + plan.durationMs;
  }

  /** All clients at once, until the time is over. */
  async work(): Promise<void> {
    const { seed, proxy, otherProxy, cluster } = this.#plan;
    const randoms = (count: number, offset: number): SeededRandom[] =>
      Array.from({ length: count }, (_, index) => new SeededRandom(seed + offset + index));
    await Promise.all([
      ...randoms(READERS, 0).map((random) => this.#readOn(random)),
      ...randoms(2, 100).map((random) => this.#writeThrough(random)),
      this.#writeElsewhere(otherProxy, new SeededRandom(seed + 200)),
      ...cluster.endpoints.map((each, index) =>
        this.#writeElsewhere(each, new SeededRandom(seed + 300 + index)),
      ),
      this.#lease(new SeededRandom(seed + 400)),
      this.#compactNowAndThen(new SeededRandom(seed + 500), proxy),
    ]);
  }

  get #over(): boolean {
    return performance.now() >= this.#untilMs;
  }

  async #readOn(random: SeededRandom): Promise<void> {
    using client = new GrpcClient(this.#plan.proxy);
    while (!this.#over) {
      const latest = randomRead(random);
      const ofThePast = this.#newestRevision > 0 && random.chance(0.15);
      const request = ofThePast ? { ...latest, revision: this.#pastRevision(random) } : latest;
      await Promise.all(
        Array.from({ length: 1 + random.below(BURST_MAX) }, () => this.#read(client, request)),
      );
    }
  }

  /** One that the proxy's member has, and of few, so that the same one is asked for again. */
  #pastRevision(random: SeededRandom): number {
    const oldest = this.#truth.firstRevision - 1;
    const back = random.below(PAST_REVISIONS);
    return Math.max(oldest, Math.floor((this.#newestRevision - back) / PAST_STEP) * PAST_STEP);
  }

  async #read(client: GrpcClient, request: ReadRequest): Promise<void> {
    const begun = {
      request,
      watchedRevision: this.#watch?.lastChange ?? 0,
      startMs: performance.now(),
    };
    try {
      const response = await client.unary(KV.method.range, rangeRequest(request), { timeoutMs: CALL_MS });
      const memberId = String(response.header?.memberId);
      if (this.homeMemberId === "") this.homeMemberId = memberId;
      const revision = Number(response.header?.revision);
      const outcome = { kind: "answered", revision, memberId, answer: answerOf(response) } as const;
      this.reads.push({ ...begun, endMs: performance.now(), outcome });
    } catch (error) {
      const { code, details } = error as grpc.ServiceError;
      if (code === grpc.status.OUT_OF_RANGE && details.includes("required revision has been compacted")) {
        this.reads.push({ ...begun, endMs: performance.now(), outcome: { kind: "compacted" } });
      } else this.#failed("read", error);
    }
  }

  /** Writes through the proxy; what was written is often read at once, by another client. */
  async #writeThrough(random: SeededRandom): Promise<void> {
    using client = new KvClient(this.#plan.proxy);
    using reader = new GrpcClient(this.#plan.proxy);
    while (!this.#over) {
      const request = randomWrite(random, this.#value());
      await this.#write(client, request);
      const key = request.kind === "txn" ? randomKey(random) : request.key;
      if (random.chance(0.6)) await this.#read(reader, { key });
      if (random.chance(0.2)) await this.#read(reader, WATCHED);
    }
  }

  async #write(client: KvClient, request: KvRequest): Promise<void> {
    try {
      const { revision, memberId, answer } = await client.ask(request, { timeoutMs: CALL_MS });
      if (tellsChange(answer)) this.#acknowledged({ ackMs: performance.now(), revision, memberId });
    } catch (error) {
      this.#failed("write", error);
    }
  }

  #acknowledged(write: AcknowledgedWrite): void {
    this.writes.push(write);
    this.#newestRevision = Math.max(this.#newestRevision, write.revision);
  }

  /** Writes past the proxy: one key after the other, and now and then a cold one. */
  async #writeElsewhere(address: string, random: SeededRandom): Promise<void> {
    using client = new KvClient(address);
    while (!this.#over) {
      const key = random.chance(0.06) ? randomColdKey(random) : randomKey(random);
      const request: KvRequest = random.chance(0.8)
        ? { kind: "put", key, value: this.#value() }
        : { kind: "delete", key };
      await client.ask(request, { timeoutMs: CALL_MS }).catch((error) => this.#failed("write", error));
      // Reads between the writes, so that these do not follow each other too closely.
      for (let pause = 0; pause < 8 && !this.#over; pause++) {
        await client
          .ask({ kind: "range", key }, { timeoutMs: CALL_MS })
          .catch((error) => this.#failed("pause", error));
      }
    }
  }

  /** Attaches keys to a lease, past the proxy too, and revokes it through the proxy. */
  async #lease(random: SeededRandom): Promise<void> {
    using client = new GrpcClient(this.#plan.proxy);
    while (!this.#over) {
      try {
        const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: BigInt(LEASE_SECONDS) });
        for (let count = 0; count < LEASED_KEYS; count++) {
          const key = fromLatin1(random.chance(0.02) ? randomColdKey(random) : randomKey(random));
          await client.unary(KV.method.put, { key, value: fromLatin1(this.#value()), lease: ID });
        }
        for (let count = 0; count < 10; count++) await this.#read(client, randomRead(random));
        const { header } = await client.unary(Lease.method.leaseRevoke, { ID });
        this.#acknowledged({
          ackMs: performance.now(),
          revision: Number(header?.revision),
          memberId: String(header?.memberId),
          leaseId: String(ID),
        });
        for (let count = 0; count < 10; count++) await this.#read(client, randomRead(random));
      } catch (error) {
        this.#failed("lease", error);
      }
    }
  }

  /** Each time the writers have got on. */
  async #compactNowAndThen(random: SeededRandom, proxy: string): Promise<void> {
    using client = new GrpcClient(proxy);
    let last = this.#truth.lastRevision;
    while (!this.#over) {
      await waitFor("writes", () => this.#over || this.#newestRevision > last + COMPACTED_EVERY);
      if (this.#over) return;
      await this.#truth.extend(this.#plan.cluster.member(0).endpoint);
      const revision = Math.min(this.#truth.lastRevision, this.#newestRevision) - random.below(60);
      last = this.#newestRevision;
      const callMs = performance.now();
      try {
        await client.unary(KV.method.compact, { revision: BigInt(revision) });
        this.compactions.push({ revision, callMs, ackMs: performance.now() });
      } catch (error) {
        this.#failed("compaction", error);
      }
    }
  }

  #value(): string {
    return `v${this.#values++}`;
  }

  #failed(what: string, error: unknown): void {
    if (!ELECTION.test(String(error))) this.failures.push(`${what}: ${String(error)}`);
  }
}

function rangeRequest(request: ReadRequest) {
  const { key, rangeEnd = "", limit = 0, revision = 0, keysOnly = false, countOnly = false } = request;
  return {
    key: fromLatin1(key),
    rangeEnd: fromLatin1(rangeEnd),
    serializable: true,
    limit: BigInt(limit),
    revision: BigInt(revision),
    keysOnly,
    countOnly,
    sortOrder: request.descending === true ? RangeRequest_SortOrder.DESCEND : RangeRequest_SortOrder.NONE,
  };
}

function answerOf({ kvs, count, more }: RangeResponse): ReadAnswer {
  const pairs = kvs.map((pair) => ({ key: latin1(pair.key), pair: pairOf(pair) }));
  return { pairs, count: Number(count), more };
}
