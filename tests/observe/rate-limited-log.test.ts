import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createLogger } from "../../src/observe/log.ts";
import { waitFor } from "../harness/wait-for.ts";
import { LineRateLimiter, RateLimitedLog } from "../../src/observe/rate-limited-log.ts";

describe("the line limiter", () => {
  test("lets one line of a key through in a second, then tells how many were left out", () => {
    const limiter = new LineRateLimiter();
    expect(limiter.admit("a", 0)).toBe(0);
    expect(limiter.admit("a", 0)).toBeUndefined();
    expect(limiter.admit("a", 999)).toBeUndefined();
    expect(limiter.admit("a", 1_000)).toBe(2);
    expect(limiter.admit("a", 1_500)).toBeUndefined();
    expect(limiter.admit("a", 9_000)).toBe(1);
    expect(limiter.admit("a", 10_000)).toBe(0);
  });

  test("keeps keys apart", () => {
    const limiter = new LineRateLimiter();
    expect(limiter.admit("a", 0)).toBe(0);
    expect(limiter.admit("b", 1)).toBe(0);
    expect(limiter.admit("a", 2)).toBeUndefined();
  });

  test("treats all keys beyond its bound as one", () => {
    const limiter = new LineRateLimiter({ keysMax: 2 });
    expect(limiter.admit("a", 0)).toBe(0);
    expect(limiter.admit("b", 0)).toBe(0);
    expect(limiter.admit("c", 0)).toBe(0);
    expect(limiter.admit("d", 0)).toBeUndefined();
    expect(limiter.admit("e", 0)).toBeUndefined();
    expect(limiter.keyCount).toBe(3);
  });

  test("forgets the keys that hold nothing back any more to make room for new ones", () => {
    const limiter = new LineRateLimiter({ keysMax: 2 });
    limiter.admit("a", 0);
    limiter.admit("b", 500);
    expect(limiter.admit("c", 1_200)).toBe(0);
    expect(limiter.admit("b", 1_300)).toBeUndefined();
    expect(limiter.keyCount).toBe(2);
  });

  test("exceeds neither of its bounds, whatever keys come when", () => {
    const intervalMs = 100;
    const keysMax = 3;
    const step = fc.tuple(
      fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h"),
      fc.integer({ min: 0, max: 60 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const limiter = new LineRateLimiter({ intervalMs, keysMax });
        const admittedMs: number[] = [];
        let nowMs = 0;
        for (const [key, waitMs] of steps) {
          nowMs += waitMs;
          if (limiter.admit(key, nowMs) !== undefined) admittedMs.push(nowMs);
          expect(limiter.keyCount).toBeLessThanOrEqual(keysMax + 1);
          const recent = admittedMs.filter((timeMs) => nowMs - timeMs < intervalMs);
          expect(recent.length).toBeLessThanOrEqual(keysMax + 1);
        }
      }),
    );
  });
});

describe("a rate-limited log", () => {
  const endpoint = "10.0.0.1:2379";

  function limitedLog(limiter?: LineRateLimiter) {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLogger({ level: "info", output: "json", now: () => new Date(0), destination });
    const clock = { nowMs: 0 };
    return { lines, clock, limited: new RateLimitedLog(log, () => clock.nowMs, limiter) };
  }
  const head =
    '{"level":"warn","ts":"1970-01-01T00:00:00.000Z","caller":"etcdproxy","msg":"an endpoint failed"';

  test("writes a line of its level, with the number left out before it", () => {
    const { limited, lines, clock } = limitedLog();
    const write = (): boolean =>
      limited.write("warn", `dial ${endpoint}`, "an endpoint failed", { endpoint });
    write();
    write();
    clock.nowMs = 1_000;
    write();
    expect(lines).toEqual([
      `${head},"endpoint":"10.0.0.1:2379"}\n`,
      `${head},"endpoint":"10.0.0.1:2379","suppressed":1}\n`,
    ]);
  });

  test("tells the last of a burst when the interval is over, and how many came before it", () => {
    const { limited, lines, clock } = limitedLog();
    for (let n = 0; n < 5; n++) limited.write("warn", "k", "an endpoint failed", { n });
    limited.flush();
    expect(lines).toEqual([`${head},"n":0}\n`]);
    clock.nowMs = 1_000;
    limited.flush();
    limited.flush();
    expect(lines.slice(1)).toEqual([`${head},"n":4,"suppressed":3}\n`]);
  });

  test("does so by itself", async () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLogger({ level: "info", output: "json", destination });
    const limiter = new LineRateLimiter({ intervalMs: 5 });
    const limited = new RateLimitedLog(log, () => performance.now(), limiter);
    limited.write("warn", "k", "first");
    limited.write("warn", "k", "last");
    await waitFor("the line that was held", () => lines.length === 2);
    expect(lines[1]).toContain('"msg":"last"}');
  });

  test("holds few lines, however many keys have some left out", () => {
    const { limited, lines, clock } = limitedLog();
    for (let key = 0; key < 10_000; key++) {
      limited.write("warn", `${key}`, "an endpoint failed", { key });
      limited.write("warn", `${key}`, "an endpoint failed", { key });
    }
    expect(lines.length).toBeLessThan(260);
    clock.nowMs = 1_000;
    limited.flush();
    expect(lines.length).toBeLessThan(520);
  });
});
