import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { ConversationError } from "../../src/workers/conversation.ts";
import type { HangLimits } from "../../src/workers/hang-watch.ts";
import { type ClosablePool, WorkerPool } from "../../src/workers/worker-pool.ts";
import { RecordedLog } from "../gateway/recorded-log.ts";
import { waitFor } from "../harness/wait-for.ts";
import type { TestOrder, TestQuestion } from "./pool-worker.ts";

setDefaultTimeout(60_000);

type Pool = WorkerPool<TestQuestion, string>;

const PATIENCE_MS = 20_000;
const pools: Pool[] = [];
let log: RecordedLog;
let deaths: number[];
let early: ClosablePool | null = null;
/** A worker that the machine holds up for a second and a half is none that hangs. */
const HANG_LIMITS: HangLimits = { lookEveryMs: 100, silentLooksMax: 15 };

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close(ask("close"));
});

function ask(what: Exclude<TestQuestion["ask"], "start">): TestQuestion {
  return { ask: what };
}

/** @param fail what a worker does instead of starting, in its first, second, … life; undefined: it starts */
async function startPool(
  count: number,
  fail: (worker: number, life: number) => TestOrder["fail"] = () => undefined,
  entry = "pool-worker.ts",
): Promise<Pool> {
  log = new RecordedLog();
  deaths = [];
  const lives = Array.from({ length: count }, () => 0);
  const pool = await WorkerPool.start<TestQuestion, string>({
    count,
    entry: new URL(entry, import.meta.url).href,
    order: (worker, first) => ({
      ask: "start",
      order: { worker, first, fail: fail(worker, ++lives[worker]!) },
    }),
    alive: ask("name"),
    hangLimits: HANG_LIMITS,
    onFirst: (started) => (early = started),
    answer: async (worker, question) => `${String(question)} ${worker}`,
    onDeath: (worker) => deaths.push(worker),
    log,
  });
  pools.push(pool);
  return pool;
}

const names = (pool: Pool): Promise<(string | null)[]> => pool.askAll<string>(ask("name"), PATIENCE_MS);
const FIRST = "worker 0, after null";
const SECOND = `worker 1, after ${FIRST}`;

test("what is said to a worker that does not listen yet is not lost", async () => {
  const pool = await startPool(2, undefined, "late-pool-worker.ts");
  expect(await names(pool)).toEqual([FIRST, SECOND]);
});

test("the first worker is started alone, and the others know what it answered", async () => {
  const pool = await startPool(3);
  expect(pool.first).toBe(FIRST);
  expect(await names(pool)).toEqual([FIRST, SECOND, `worker 2, after ${FIRST}`]);
});

test("workers ask the main thread, too", async () => {
  const pool = await startPool(2);
  expect(await pool.askAll<string>(ask("ask back"), PATIENCE_MS)).toEqual(["who am I? 0", "who am I? 1"]);
});

test("a worker that does not answer in time is told of, and answers what it is asked later", async () => {
  const pool = await startPool(2);
  expect(await pool.ask<string>(1, ask("hang"), 10).catch((error: Error) => error.message)).toBe(
    "no answer in time",
  );
  expect(await names(pool)).toEqual([FIRST, SECOND]);
});

test("what the first worker refuses is for the operator, and no worker is left", async () => {
  const error: unknown = await startPool(2, (worker) => (worker === 0 ? "refuse" : undefined)).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConversationError);
  expect(error).toMatchObject({ message: "refused", line: "etcdproxy: what the operator is to do" });
});

test.each(["refuse", "die"] as const)("so it is when a later one cannot start: %s", async (fail) => {
  const error: unknown = await startPool(3, (worker) => (worker === 2 ? fail : undefined)).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConversationError);
});

test.each(["throw", "exit"] as const)(
  "a worker that dies (%s) is told of and replaced, while the others go on",
  async (way) => {
    const pool = await startPool(2);
    await pool.ask(1, ask(way), PATIENCE_MS).catch(() => {});
    await waitFor("its death", () => deaths.length > 0);
    expect(deaths).toEqual([1]);
    expect(await pool.ask<string>(0, ask("name"), PATIENCE_MS)).toBe(FIRST);
    await waitFor("its successor", async () => (await names(pool))[1] === SECOND);
    expect(log.fieldsOf("a worker has died, and another one takes its place")).toMatchObject([
      { worker: 1, ...(way === "throw" ? { error: "error: thrown in a worker" } : {}) },
    ]);
    expect(log.fieldsOf("a worker has started again")).toEqual([{ worker: 1 }]);
  },
);

test("a worker that dies while others still start is replaced as well", async () => {
  const pool = await startPool(2, (worker, life) =>
    life > 1 ? undefined : worker === 0 ? "die afterwards" : "be slow",
  );
  await waitFor("its successor", async () => (await names(pool))[0] === `worker 0, after ${FIRST}`);
  expect(deaths).toEqual([0]);
});

test("the first worker is replaced, too", async () => {
  const pool = await startPool(2);
  await pool.ask(0, ask("exit"), PATIENCE_MS).catch(() => {});
  await waitFor("its successor", async () => (await names(pool))[0] === `worker 0, after ${FIRST}`);
});

test("what a worker was asked when it dies is refused", async () => {
  const pool = await startPool(2);
  const hanging = pool.ask(1, ask("hang"), PATIENCE_MS).catch((error: Error) => error.message);
  await pool.ask(1, ask("throw"), PATIENCE_MS);
  expect(await hanging).toBe("the worker has died");
});

test.each(["refuse", "die"] as const)(
  "a successor that cannot start (%s) is replaced again",
  async (fail) => {
    const pool = await startPool(2, (worker, life) =>
      worker === 1 && (life === 2 || life === 3) ? fail : undefined,
    );
    await pool.ask(1, ask("exit"), PATIENCE_MS).catch(() => {});
    await waitFor("the third one", async () => (await names(pool))[1] === SECOND);
    expect(deaths).toEqual([1, 1, 1]);
  },
);

test("a pool is closed when all have answered, a dead one among them", async () => {
  const pool = await startPool(3);
  await pool.ask(2, ask("exit"), PATIENCE_MS).catch(() => {});
  await pool.close(ask("close"));
  expect(await names(pool)).toEqual([null, null, null]);
  expect(log.fieldsOf("a worker has started again")).toEqual([]);
});

test("a successor that is still starting when the pool is closed is no failure", async () => {
  const lives: number[] = [];
  const pool = await startPool(2, (worker, life) => {
    if (worker === 1) lives.push(life);
    return worker === 1 && life === 2 ? "be slow" : undefined;
  });
  await pool.ask(1, ask("exit"), PATIENCE_MS).catch(() => {});
  await waitFor("its successor's start", () => lives.length === 2);
  await pool.close(ask("close"));
  // The successor's end is told in a later turn.
  expect(await pool.ask(1, ask("name"), PATIENCE_MS).catch((error: Error) => error.message)).toBe(
    "the worker has died",
  );
  await Bun.sleep(0);
  expect(log.fieldsOf("a worker cannot start")).toEqual([]);
});

test("a worker in an endless loop is ended and replaced, while the others go on", async () => {
  const pool = await startPool(2);
  const looping = pool.ask(1, ask("loop"), PATIENCE_MS).catch((error: Error) => error.message);
  await waitFor("its end", () => deaths.length > 0);
  expect(await looping).toBe("the worker has died");
  expect(await pool.ask<string>(0, ask("name"), PATIENCE_MS)).toBe(FIRST);
  await waitFor("its successor", async () => (await names(pool))[1] === SECOND);
  expect(deaths).toEqual([1]);
  expect(log.fieldsOf("a worker hangs, and is ended")).toEqual([{ worker: 1 }]);
  expect(pool.isStuck).toBe(false);
});

test("one that cannot be ended is told of, until it is", async () => {
  const pool = await startPool(2);
  expect(pool.isStuck).toBe(false);
  const sleeping = pool.ask(0, ask("sleep"), PATIENCE_MS).catch(() => null);
  await waitFor("the pool to be stuck", () => pool.isStuck);
  expect(deaths).toEqual([]);
  await sleeping;
  await waitFor("its successor", async () => (await names(pool))[0] === `worker 0, after ${FIRST}`);
  expect(deaths).toEqual([0]);
  expect(pool.isStuck).toBe(false);
});

test("a worker that hangs does not hold up a stop", async () => {
  const pool = await startPool(2);
  const looping = pool.ask(1, ask("loop"), PATIENCE_MS).catch((error: Error) => error.message);
  await pool.close(ask("close"));
  expect(await looping).toBe("the worker has died");
  expect(deaths).toEqual([]);
});

test("a pool is closed while workers still start: those that serve are asked, the others are ended", async () => {
  early = null;
  const starting = startPool(3, (worker) => (worker === 0 ? undefined : "never")).catch(
    (error: Error) => error,
  );
  const first = await waitFor("the first", () => early);
  await first.close(ask("close"));
  expect(await starting).toBeInstanceOf(ConversationError);
});
