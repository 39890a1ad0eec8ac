import { describe, expect, test } from "bun:test";
import { createEndpoint, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { EndpointList } from "../../src/endpoints/endpoint-list.ts";
import { EndpointRefresh, type FoundEndpoints } from "../../src/endpoints/endpoint-refresh.ts";
import { RecordedLog } from "../gateway/recorded-log.ts";
import { FakeClock } from "../harness/fake-clock.ts";

const endpoint = (name: string): Endpoint => createEndpoint("http", name, 2379);
const found = (names: string, part: Partial<FoundEndpoints> = {}): FoundEndpoints => ({
  endpoints: names.split("").map(endpoint),
  warnings: [],
  incomplete: false,
  ...part,
});

const CHANGED = "the endpoints have changed";

/** A refresh of a list that begins as `names`, with the pauses as long as they get. */
function refreshed(
  names: string,
  { refreshMs = 30_000, first = {} }: { refreshMs?: number; first?: Partial<FoundEndpoints> } = {},
) {
  const clock = new FakeClock();
  const log = new RecordedLog();
  const told: string[] = [];
  const startedMs = clock.nowMs();
  const list = new EndpointList(found(names).endpoints, {
    log,
    onChange: (endpoints) => told.push(endpoints.map(({ hostname }) => hostname).join("")),
  });
  let lookups: { atMs: number; answer: PromiseWithResolvers<FoundEndpoints> }[] = [];
  const refresh = new EndpointRefresh({
    source: {
      name: "DNS",
      lookUp() {
        const answer = Promise.withResolvers<FoundEndpoints>();
        lookups.push({ atMs: clock.nowMs() - startedMs, answer });
        return answer.promise;
      },
      refreshMs,
      first: found(names, first),
    },
    list,
    clock,
    log,
    random: () => 0.5,
  });
  refresh.start();
  return {
    clock,
    log,
    told,
    refresh,
    /** When lookups began since the start, in seconds. */
    times: () => lookups.map(({ atMs }) => atMs / 1000),
    async answer(answer: FoundEndpoints | Error) {
      const last = lookups.at(-1);
      if (last === undefined) throw new Error("there was no lookup");
      if (answer instanceof Error) last.answer.reject(answer);
      else last.answer.resolve(answer);
      // What was waited for has been seen to once a promise that was made later has.
      await new Promise((resolve) => setImmediate(resolve));
    },
    forget() {
      lookups = [];
    },
  };
}

describe("endpoints that are looked up again", () => {
  test("are looked up at each interval, which begins when the last lookup has ended", async () => {
    const { clock, times, answer } = refreshed("ab");
    clock.advance(29_999);
    expect(times()).toEqual([]);
    clock.advance(1);
    expect(times()).toEqual([30]);
    clock.advance(100_000);
    expect(times()).toEqual([30]);
    await answer(found("ab"));
    clock.advance(30_000);
    expect(times()).toEqual([30, 160]);
  });

  test("are told only when they differ, and the log names what came and went", async () => {
    const { clock, told, log, answer } = refreshed("ab");
    for (const names of ["ba", "bc", "bc", "a"]) {
      clock.advance(30_000);
      await answer(found(names));
    }
    expect(told).toEqual(["bc", "a"]);
    expect(log.fieldsOf(CHANGED)).toEqual([
      { source: "DNS", added: ["c:2379"], removed: ["a:2379"], changed: [] },
      { source: "DNS", added: ["a:2379"], removed: ["b:2379", "c:2379"], changed: [] },
    ]);
  });

  test("are told when only their weight or what is demanded of them differs", async () => {
    const { clock, log, answer } = refreshed("ab");
    const [a = endpoint("a"), b = endpoint("b")] = found("ab").endpoints;
    for (const endpoints of [
      [{ ...a, weight: 3 }, b],
      [
        { ...a, weight: 3 },
        { ...b, serverName: "test" },
      ],
    ]) {
      clock.advance(30_000);
      await answer(found("", { endpoints }));
    }
    expect(log.fieldsOf(CHANGED).map(({ changed }) => changed)).toEqual([["a:2379"], ["b:2379"]]);
  });

  test("stay as they are when a lookup fails or finds nothing, and each reason is told once", async () => {
    const { clock, told, log, answer, times } = refreshed("ab");
    clock.advance(30_000);
    await answer(new Error("no answer"));
    clock.advance(1_500); // The pause is 1 to 2 seconds.
    await answer(new Error("no answer"));
    clock.advance(3_000);
    await answer(new Error("server failed"));
    expect(log.warnings()).toEqual([
      "no answer; the endpoints stay as they are",
      "server failed; the endpoints stay as they are",
    ]);
    clock.advance(6_000);
    await answer(found(""));
    expect(times()).toEqual([30, 31.5, 34.5, 40.5]);
    expect(told).toEqual([]);
    clock.advance(30_000);
    await answer(new Error("no answer"));
    expect(log.warnings()).toHaveLength(3);
  });

  test("warn of what they warn of when it comes up, not each time and not again after the start", async () => {
    const { clock, log, answer } = refreshed("ab", { first: { warnings: ["old"] } });
    for (const warnings of [["old"], ["old", "new"], ["new"], [], ["old"]]) {
      clock.advance(30_000);
      await answer(found("ab", { warnings }));
    }
    expect(log.warnings()).toEqual(["new", "old"]);
  });

  test("are looked up again soon while there is more to find, and then at the interval", async () => {
    const { clock, times, answer } = refreshed("ab", { first: { incomplete: true } });
    clock.advance(1_500);
    await answer(found("ab", { incomplete: true }));
    clock.advance(3_000);
    await answer(found("abc"));
    clock.advance(30_000);
    expect(times()).toEqual([1.5, 4.5, 34.5]);
  });

  test("are not looked up any more after the end, and a late answer changes nothing", async () => {
    const { clock, told, refresh, answer, times } = refreshed("ab");
    clock.advance(30_000);
    refresh.close();
    refresh.allFailed();
    await answer(found("c"));
    clock.advance(100_000);
    expect(times()).toEqual([30]);
    expect(told).toEqual([]);
    expect(clock.timers).toBe(0);
  });
});

describe("when all endpoints fail", () => {
  test("they are looked up at once, however often that is told", async () => {
    const { clock, refresh, times } = refreshed("ab");
    clock.advance(10_000);
    for (let round = 0; round < 5; round++) refresh.allFailed();
    clock.advance(0);
    expect(times()).toEqual([10]);
  });

  test("they are looked up without --discovery-refresh too, and only then", async () => {
    const { clock, refresh, times } = refreshed("ab", { refreshMs: 0 });
    clock.advance(1_000_000);
    expect(times()).toEqual([]);
    refresh.allFailed();
    clock.advance(0);
    expect(times()).toEqual([1000]);
  });

  test("and go on failing, the pauses between lookups grow", async () => {
    const { clock, refresh, times, answer } = refreshed("ab", { refreshMs: 0 });
    clock.advance(10_000);
    for (let round = 0; round < 5; round++) {
      refresh.allFailed();
      clock.advance(0);
      await answer(found("ab"));
      // Told every 100 ms, as a proxy with clients would.
      for (let told = 0; told < 300 && times().length === round + 1; told++) {
        refresh.allFailed();
        clock.advance(100);
      }
    }
    const gaps = times().map((time, index, all) => time - (all[index - 1] ?? time));
    expect(gaps.map((gap) => Math.round(gap))).toEqual([0, 3, 6, 12, 23, 23]);
  });

  test("while a lookup is under way, there is one more after it, not at the same time", async () => {
    const { clock, refresh, times, answer } = refreshed("ab");
    clock.advance(30_000);
    refresh.allFailed();
    clock.advance(5_000);
    expect(times()).toEqual([30]);
    await answer(found("ab"));
    clock.advance(1_500);
    expect(times()).toEqual([30, 36.5]);
  });

  test("and a lookup brings others, the next failure is looked into soon again", async () => {
    const { clock, refresh, times, answer, told } = refreshed("ab");
    clock.advance(10_000);
    for (const names of ["ab", "cd"]) {
      refresh.allFailed();
      clock.advance(3_000);
      await answer(found(names));
    }
    expect(told).toEqual(["cd"]);
    refresh.allFailed();
    clock.advance(1_500);
    expect(times().length).toBe(3);
  });
});
