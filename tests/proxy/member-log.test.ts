/** A member that is down is one line, and one that comes and goes is few. */
import { expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import { RateLimitedLog } from "../../src/observe/rate-limited-log.ts";
import { MemberLog } from "../../src/proxy/member-log.ts";
import { RecordedLog } from "../gateway/recorded-log.ts";

const member = createEndpoint("http", "10.0.0.1", 2379);
const REFUSED = { kind: "silent", reason: "connection refused", refused: true } as const;
const FIT = { kind: "fit", latencyMs: 1 } as const;

function memberLog() {
  const log = new RecordedLog();
  const clock = { nowMs: 0 };
  const limited = new RateLimitedLog(log, () => clock.nowMs);
  const members = new MemberLog(log, limited);
  const told = (): string[] =>
    log.lines.map(({ message, fields }) => [message, fields["endpoint"], fields["reason"]].join(" ").trim());
  return { members, clock, limited, log, told };
}

test("a member whose connection ends, which refuses the next and fails its check, is one line", () => {
  const { members, told } = memberLog();
  members.onConnected(member);
  members.onFailed(member, "connection closed by the peer");
  members.onFailed(member, "connection refused");
  members.onJudged(member, REFUSED);
  expect(told()).toEqual([
    "connected to a member 10.0.0.1:2379",
    "a member cannot be used 10.0.0.1:2379 connection closed by the peer",
  ]);
});

test("a member that a check finds silent is one line, and one when it is back", () => {
  const { members, told, clock } = memberLog();
  members.onJudged(member, { kind: "silent", reason: "no answer to a check within 1000 ms", refused: false });
  members.onFailed(member, "it did not answer");
  clock.nowMs = 5000;
  members.onJudged(member, FIT);
  expect(told()).toEqual([
    "a member fails its checks 10.0.0.1:2379 no answer to a check within 1000 ms",
    "a member passes its checks again 10.0.0.1:2379",
  ]);
});

test("what is not told yet of a member that is down is told", () => {
  const { members, told, clock } = memberLog();
  members.onFailed(member, "connection closed by the peer");
  clock.nowMs = 5000;
  members.onFailed(member, "connection lost: TLS: the peer refuses our certificate");
  members.onFailed(member, "connection lost: TLS: the peer refuses our certificate");
  expect(told()).toEqual([
    "a member cannot be used 10.0.0.1:2379 connection closed by the peer",
    "a member cannot be used 10.0.0.1:2379 connection lost: TLS: the peer refuses our certificate",
  ]);
});

test("what another line has taken the place of, before it was told, is told when it shows again", () => {
  const { members, told, clock } = memberLog();
  members.onFailed(member, "connection closed by the peer");
  clock.nowMs = 100;
  members.onFailed(member, "TLS: the member refuses our certificate");
  clock.nowMs = 200;
  members.onFailed(member, "TLS: no handshake");
  clock.nowMs = 5000;
  members.onFailed(member, "TLS: the member refuses our certificate");
  expect(told().at(-1)).toBe("a member cannot be used 10.0.0.1:2379 TLS: the member refuses our certificate");
});

test("a member without a leader is told of though its connection had been lost", () => {
  const { members, told, clock } = memberLog();
  members.onFailed(member, "connection refused");
  clock.nowMs = 5000;
  members.onJudged(member, { kind: "unfit", reason: "it has no leader" });
  members.onJudged(member, FIT);
  expect(told().slice(1)).toEqual([
    "a member fails its checks 10.0.0.1:2379 it has no leader",
    "a member passes its checks again 10.0.0.1:2379",
  ]);
});

test("a member that passes its checks after it was connected to is not told of twice", () => {
  const { members, told } = memberLog();
  members.onFailed(member, "connection refused");
  members.onConnected(member);
  members.onJudged(member, FIT);
  expect(told().at(-1)).toBe("connected to a member 10.0.0.1:2379");
});

test("a member that comes and goes makes a line of each kind a second, with how many were left out", () => {
  const { members, clock, log, limited } = memberLog();
  for (let flap = 0; flap < 1000; flap++) {
    clock.nowMs += 10;
    members.onJudged(member, REFUSED);
    members.onJudged(member, FIT);
  }
  clock.nowMs += 1000;
  limited.flush();
  const fails = log.fieldsOf("a member fails its checks");
  expect(fails.length).toBeWithin(10, 13);
  const leftOut = fails.reduce((sum, { suppressed = 0 }) => sum + Number(suppressed), 0);
  expect(fails.length + leftOut).toBe(1000);
});
