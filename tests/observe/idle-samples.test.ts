/** The time in which no JavaScript ran, in profiles: functions are not told to have run for longer than they did. */
import { describe, expect, test } from "bun:test";
import { type CpuProfile, withIdleSamples } from "../../src/observe/idle-samples.ts";
import { checkCpuProfile } from "./profile-formats.ts";

const INTERVAL_US = 1000;
const ROOT = 1;
const WORK = 2;
const IDLE = 3;

/** Of samples of one function, so many microseconds after each other, and a time behind the last. */
function profileOf(timeDeltas: readonly number[], restUs: number): CpuProfile {
  const place = { scriptId: "0", url: "", lineNumber: -1, columnNumber: -1 };
  return {
    nodes: [
      { id: ROOT, callFrame: { functionName: "(root)", ...place }, hitCount: 0, children: [WORK] },
      { id: WORK, callFrame: { functionName: "work", ...place }, hitCount: timeDeltas.length },
    ],
    startTime: 5000,
    endTime: 5000 + timeDeltas.reduce((sum, delta) => sum + delta, 0) + restUs,
    samples: timeDeltas.map(() => WORK),
    timeDeltas,
  };
}

/** How long each node ran, as tools take it from samples: each until the next one, or the end. */
function timesOf({ samples, timeDeltas, startTime, endTime }: CpuProfile): Map<number, number> {
  const times = new Map<number, number>();
  let atUs = startTime;
  const starts = timeDeltas.map((delta) => (atUs += delta));
  samples.forEach((id, index) => {
    const lastsUs = (starts[index + 1] ?? endTime) - starts[index]!;
    times.set(id, (times.get(id) ?? 0) + lastsUs);
  });
  return times;
}

describe("a profile", () => {
  test("of a thread that rests has samples of that, before, between and after the others", () => {
    const profile = withIdleSamples(profileOf([20_000, 1000, 900_000, 1000], 500_000), INTERVAL_US);
    expect(profile.samples).toEqual([IDLE, WORK, WORK, IDLE, WORK, WORK, IDLE]);
    expect(timesOf(profile)).toEqual(
      new Map([
        [IDLE, 20_000 + 899_000 + 499_000],
        [WORK, 4000],
      ]),
    );
    expect(checkCpuProfile(new TextEncoder().encode(JSON.stringify(profile)))).toEqual([
      "(root)",
      "work",
      "(idle)",
    ]);
    // By hits, each of the time that there was in all for one.
    const [, work, idle] = profile.nodes;
    expect(idle!.hitCount / (work!.hitCount + idle!.hitCount)).toBeCloseTo(1_418_000 / 1_422_000, 3);
  });

  test("of a busy thread stays as it is", () => {
    const profile = profileOf([300, 1200, 3200, 900], 700);
    expect(withIdleSamples(profile, INTERVAL_US)).toBe(profile);
  });

  test("without a sample is all rest", () => {
    const profile = withIdleSamples(profileOf([], 1_000_000), INTERVAL_US);
    expect([...timesOf(profile)]).toEqual([[IDLE, 1_000_000]]);
    expect(profile.nodes.at(-1)!.hitCount).toBe(1);
  });
});
