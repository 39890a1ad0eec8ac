/** How much counters have grown, over restarts and gaps, and the moments that figures are read from. */
import { describe, expect, test } from "bun:test";
import { readExposition } from "../../src/observe/status-page/model/exposition.ts";
import { Increases } from "../../src/observe/status-page/model/increases.ts";
import { Moments, OpenTime } from "../../src/observe/status-page/model/moment.ts";

const counted = (...samples: string[]) => readExposition(`# TYPE n_total counter\n${samples.join("\n")}\n`);
const n = (value: number) => counted(`n_total ${value}`);

describe("increases", () => {
  test("are of each series by itself, and rates of their time", () => {
    const before = counted('n_total{a="1"} 10', 'n_total{a="2"} 5');
    const after = counted('n_total{a="1"} 16', 'n_total{a="2"} 5');
    const grown = Increases.between(before, after, 3);
    expect([grown.sum("n_total"), grown.sum("n_total", { a: "2" }), grown.rate("n_total")]).toEqual([
      6, 0, 2,
    ]);
  });

  test("are not negative when the process was started anew: what it says now has been added", () => {
    expect(Increases.between(n(100), n(3), 1).sum("n_total")).toBe(3);
  });

  test("of a series that was not there before are all of it", () => {
    const grown = Increases.between(
      counted('n_total{a="1"} 1'),
      counted('n_total{a="1"} 1', 'n_total{a="2"} 4'),
      1,
    );
    expect(grown.sum("n_total", { a: "2" })).toBe(4);
  });

  test("are told of counters only, and null of what is not there", () => {
    const gauge = (value: number) => readExposition(`# TYPE g gauge\ng ${value}\n`);
    const grown = Increases.between(gauge(1), gauge(5), 1);
    expect([grown.sum("g"), grown.rate("nothing")]).toEqual([null, null]);
  });

  test("add up over several times", () => {
    const together = Increases.together([
      Increases.between(n(0), n(4), 2),
      Increases.between(n(4), n(1), 2),
      Increases.between(n(1), n(7), 4),
    ]);
    expect([together.sum("n_total"), together.seconds, together.rate("n_total")]).toEqual([11, 8, 11 / 8]);
  });
});

describe("moments", () => {
  test("know nothing of growth at first", () => {
    expect(new Moments().add(0, n(5))).toMatchObject({ last: null, soon: null, minute: null });
  });

  test("tell the growth since the last look, of ten seconds, and of a minute", () => {
    const moments = new Moments();
    // One each second, and from the hundredth second on two.
    const total = (second: number): number => second + Math.max(0, second - 100);
    for (let second = 0; second < 120; second += 2) moments.add(second * 1000, n(total(second)));
    const { last, soon, minute } = moments.add(120_000, n(total(120)));
    expect([last?.rate("n_total"), soon?.rate("n_total")]).toEqual([2, 2]);
    expect(minute?.rate("n_total")).toBeCloseTo((40 + 2 * 20) / 60, 5);
    expect([last?.seconds, soon?.seconds, minute?.seconds]).toEqual([2, 10, 60]);
  });

  test("spread what came during a gap over the time of the gap", () => {
    const moments = new Moments();
    moments.add(0, n(0));
    const { last, soon } = moments.add(30_000, n(60));
    expect([last?.rate("n_total"), soon?.rate("n_total")]).toEqual([2, 2]);
  });

  test("take of a long gap what falls to the last minute", () => {
    const moments = new Moments();
    moments.add(0, n(0));
    const { last, minute, soon } = moments.add(3_600_000, n(36_000));
    expect([last?.rate("n_total"), minute?.rate("n_total"), soon?.rate("n_total")]).toEqual([10, 10, 10]);
    expect([last?.sum("n_total"), minute?.sum("n_total"), soon?.sum("n_total")]).toEqual([36_000, 600, 100]);
  });
});

describe("the time that the page is open", () => {
  test("goes on while the machine sleeps, and when the clock is set back", () => {
    let [steadyMs, dayMs] = [500, 1_000_000];
    const open = new OpenTime(
      () => steadyMs,
      () => dayMs,
    );
    const after = (steady: number, day: number): number => {
      steadyMs += steady;
      dayMs += day;
      return open.nowMs;
    };
    expect(after(2000, 2000)).toBe(2000);
    expect(after(1000, 3_600_000)).toBe(3_602_000);
    expect(after(2000, -3_600_000)).toBe(3_604_000);
  });
});
