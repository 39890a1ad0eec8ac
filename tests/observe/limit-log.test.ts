import { expect, test } from "bun:test";
import { LimitLog } from "../../src/observe/limit-log.ts";
import { createLogger } from "../../src/observe/log.ts";
import { RateLimitedLog } from "../../src/observe/rate-limited-log.ts";

function recorded(): { limits: LimitLog; lines: string[]; tick: (ms: number) => void } {
  const lines: string[] = [];
  let nowMs = 0;
  const log = createLogger({
    level: "info",
    output: "json",
    destination: { write: (line) => void lines.push(line) },
  });
  return {
    limits: new LimitLog(new RateLimitedLog(log, () => nowMs)),
    lines,
    tick: (ms) => {
      nowMs += ms;
    },
  };
}

test("each time counts, by side and limit", () => {
  const { limits } = recorded();
  limits.reached("client", "resets", "127.0.0.1:1");
  limits.reached("client", "resets", "127.0.0.1:2");
  limits.reached("member", "resets", "127.0.0.1:3");
  expect([...limits.counts]).toEqual([
    { side: "client", limit: "resets", count: 2 },
    { side: "member", limit: "resets", count: 1 },
  ]);
});

test("a line a second tells of a limit, with the peer, the reason and how many were left out", () => {
  const { limits, lines, tick } = recorded();
  limits.reached("client", "pings", "127.0.0.1:1", { reason: "too many pings" });
  limits.reached("client", "pings", "127.0.0.1:2");
  tick(1_000);
  limits.reached("client", "pings", "127.0.0.1:3");
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(told).toHaveLength(2);
  expect(told[0]).toMatchObject({
    level: "warn",
    msg: "a client reached a limit",
    limit: "pings",
    peer: "127.0.0.1:1",
    reason: "too many pings",
  });
  expect(told[1]).toMatchObject({ limit: "pings", peer: "127.0.0.1:3", suppressed: 1 });
});
