/**
 * Caches of several workers under any interleaving of what they do: nobody is given an answer that is older than what
 * was shown to anybody, at whatever worker. Rings are so small that workers are overtaken now and then.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { KeyRange } from "../../src/etcd/key-range.ts";
import { UNKNOWN_REVISION } from "../../src/etcd/answer-revision.ts";
import { CacheNotices, noticeMemory } from "../../src/proxy/kv/cache-notices.ts";
import { CachedRead, type CachedReadTable } from "../../src/proxy/kv/cached-read.ts";
import { SharedReadCache } from "../../src/proxy/kv/shared-read-cache.ts";
import { FakeClock } from "../harness/fake-clock.ts";
import { runs } from "./runs.ts";

const WORKERS = 2;
/** Room for five records or so, and for all there are. */
const RING_BYTES = [256, 16 * 1024] as const;
const BOUNDS = { bytesMax: 100_000, entriesMax: 100, maxAgeMs: 1000, scannedMax: 10 };
const KEYS = ["a", "b", "c"];
const RANGES = [...KEYS.map((key) => [key, ""] as const), ["b", "\0"], ["a", "c"]] as const;

interface Fill {
  readonly worker: number;
  readonly range: KeyRange;
  readonly text: string;
  readonly revision: number;
  readonly epoch: number;
  readonly askedAt: number;
  readonly floor: number;
  readonly linearizable: boolean;
}

/** The workers' caches, the store behind them, and what has been shown of it. */
class World {
  readonly clock = new FakeClock();
  readonly #memory: SharedArrayBuffer;
  readonly #workers: { cache: SharedReadCache; table: CachedReadTable }[];
  #revision = 10;
  /** The newest revision of each key, and the newest one that was shown. */
  readonly #changed = new Map<string, number>();
  readonly #shown = new Map<string, number>();
  /** When a write of each key was lost last, and when each answer that is kept was asked for; in steps. */
  readonly #lost = new Map<string, number>();
  readonly #askedAt = new WeakMap<CachedRead, number>();
  #time = 0;
  readonly #fills: Fill[] = [];
  hits = 0;

  constructor(ringBytes: number) {
    this.#memory = noticeMemory(WORKERS, ringBytes);
    this.#workers = Array.from({ length: WORKERS }, (_, worker) => this.#start(worker));
  }

  #start(worker: number): { cache: SharedReadCache; table: CachedReadTable } {
    const notices = new CacheNotices(this.#memory, WORKERS, worker);
    return { cache: new SharedReadCache({ ...BOUNDS, clock: this.clock }, notices), table: new Map() };
  }

  #change(range: KeyRange, show: boolean): number {
    this.#revision++;
    for (const key of KEYS.filter((each) => range.contains(each))) {
      this.#changed.set(key, this.#revision);
      if (show) this.#shown.set(key, this.#revision);
    }
    return this.#revision;
  }

  acknowledge(worker: number, range: KeyRange): void {
    this.#workers[worker]!.cache.onAcknowledged(range, this.#change(range, true));
  }

  /** A write past the proxy, which a watch of that worker tells of. */
  tellEvent(worker: number, range: KeyRange): void {
    const key = range.start;
    const revision = this.#change(KeyRange.ofKey(key), true);
    const place = { keyStart: 0, keyEnd: 1, prevKvStart: 0, prevKvEnd: 0 };
    const event = { start: 0, end: 1, revision, isDelete: false, ...place };
    this.#workers[worker]!.cache.onEvents(Buffer.from(key), [event]);
  }

  /** A write whose client hears of a failure; it happened, or not. */
  lose(worker: number, range: KeyRange, happened: boolean): void {
    if (happened) this.#change(range, false);
    for (const key of KEYS.filter((each) => range.contains(each))) this.#lost.set(key, ++this.#time);
    this.#workers[worker]!.cache.onUncertain(range);
  }

  /** Something that may have changed everything, of which nobody knows the revision. */
  changeAnything(worker: number, range: KeyRange): void {
    this.#change(range, true);
    this.#workers[worker]!.cache.onShown(UNKNOWN_REVISION);
    this.#workers[worker]!.cache.clear();
  }

  /** A read is sent to a member, which may be `behind` when it is not to be linearizable. */
  ask(worker: number, range: KeyRange, behind: number): void {
    const { epoch, floorRevision: floor } = this.#workers[worker]!.cache;
    const revision = this.#revision - behind;
    const linearizable = behind === 0;
    const askedAt = ++this.#time;
    this.#fills.push({ worker, range, text: range.id, revision, epoch, floor, linearizable, askedAt });
  }

  /** One of the answers arrives. */
  answer(pick: number): void {
    const [fill] = this.#fills.splice(pick % Math.max(1, this.#fills.length), 1);
    if (fill === undefined) return;
    const { cache, table } = this.#workers[fill.worker]!;
    const { revision, epoch, text, range } = fill;
    if (fill.linearizable) cache.onLinearizable(revision, epoch, fill.floor);
    if (!cache.admits(revision, epoch)) return;
    const answer = { head: [], bytes: new Uint8Array(10), start: 0, end: 10, trailers: [] };
    const known = table.get(text);
    if (known === undefined) {
      cache.keep(new CachedRead(table, text, range, 0, answer, revision, this.clock.nowMs()));
    } else if (known.revision >= revision) cache.renew(known, revision, this.clock.nowMs());
    else cache.replace(known, answer, revision, this.clock.nowMs());
    const entry = table.get(text);
    if (entry !== undefined && entry.revision === revision) this.#askedAt.set(entry, fill.askedAt);
  }

  /** The worker is replaced by a new one. */
  die(worker: number): void {
    this.#workers[worker] = this.#start(worker);
    for (let index = this.#fills.length - 1; index >= 0; index--) {
      if (this.#fills[index]!.worker === worker) this.#fills.splice(index, 1);
    }
  }

  /** What is wrong with what the worker answers out of its cache now; empty when nothing is. */
  read(worker: number, range: KeyRange): string {
    const { cache, table } = this.#workers[worker]!;
    if (cache.find(table, range.id) === null) return "";
    this.hits++;
    const entry = table.get(range.id)!;
    const keys = KEYS.filter((key) => range.contains(key));
    const newer = keys.filter((key) => (this.#shown.get(key) ?? 0) > entry.revision);
    if (newer.length > 0) return `worker ${worker} answers ${newer.join()} of ${entry.revision}`;
    const lost = keys.filter((key) => (this.#lost.get(key) ?? 0) > this.#askedAt.get(entry)!);
    return lost.length === 0 ? "" : `worker ${worker} answers ${lost.join()} from before a lost write`;
  }
}

/** A step of any worker; its text tells what it is. */
interface Step {
  readonly run: (world: World) => string | void;
  readonly text: string;
}

const worker = fc.nat(WORKERS - 1);
const range = fc
  .constantFrom(...RANGES)
  .map(([key, end]) => KeyRange.of(Buffer.from(key), Buffer.from(end, "latin1"))!);
const behind = fc.constantFrom(0, 0, 0, 1, 2);

function by(name: "acknowledge" | "tellEvent" | "changeAnything" | "read"): fc.Arbitrary<Step> {
  return fc
    .tuple(worker, range)
    .map(([w, r]) => ({ run: (world: World) => world[name](w, r), text: `${name} ${w} ${r.id}` }));
}

const lose = fc.tuple(worker, range, fc.boolean());
const ask = fc.tuple(worker, range, behind);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: by("acknowledge") },
  { weight: 4, arbitrary: by("tellEvent") },
  {
    weight: 3,
    arbitrary: lose.map(([w, r, happened]) => ({
      run: (world: World) => world.lose(w, r, happened),
      text: `lose ${w} ${r.id} ${happened}`,
    })),
  },
  { weight: 1, arbitrary: by("changeAnything") },
  {
    weight: 24,
    arbitrary: ask.map(([w, r, back]) => ({
      run: (world: World) => world.ask(w, r, back),
      text: `ask ${w} ${r.id} ${back}`,
    })),
  },
  {
    weight: 24,
    arbitrary: fc
      .nat(3)
      .map((pick) => ({ run: (world: World) => world.answer(pick), text: `answer ${pick}` })),
  },
  { weight: 30, arbitrary: by("read") },
  { weight: 1, arbitrary: worker.map((w) => ({ run: (world: World) => world.die(w), text: `die ${w}` })) },
  {
    weight: 2,
    arbitrary: fc
      .nat(600)
      .map((ms) => ({ run: (world: World) => world.clock.advance(ms), text: `wait ${ms} ms` })),
  },
);

test.each(RING_BYTES)(
  "with rings of %d bytes no worker answers what is older than something shown",
  (bytes) => {
    let hits = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 200, size: "max" }), (steps) => {
        const world = new World(bytes);
        for (const { run } of steps) expect(run(world) ?? "").toBe("");
        hits += world.hits;
      }),
      { numRuns: runs(400) },
    );
    expect(hits).toBeGreaterThan(200);
  },
  120_000,
);
