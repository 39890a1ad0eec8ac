import { describe, expect, test } from "bun:test";
import { type WaitingCall, WaitingCalls } from "../../src/grpc/waiting-calls.ts";

class Call implements WaitingCall {
  readonly deadlineMs: number;
  readonly heldBytes: number;
  vain: "time" | "full" | undefined;

  constructor(deadlineMs = Number.POSITIVE_INFINITY, heldBytes = 0) {
    this.deadlineMs = deadlineMs;
    this.heldBytes = heldBytes;
  }

  onWaitedInVain(why: "time" | "full"): void {
    this.vain = why;
  }
}

const LIMITS = { waitMs: 5000, marginMs: 100, heldBytesMax: 10_000 };

function waitingAt(nowMs: number, ...calls: Call[]): WaitingCalls<Call> {
  const waiting = new WaitingCalls<Call>(LIMITS);
  for (const call of calls) waiting.add(call, nowMs);
  return waiting;
}

describe("a waiting call", () => {
  test("waits five seconds and no longer", () => {
    const call = new Call();
    const waiting = waitingAt(1000, call);
    waiting.expire(5999);
    expect(call.vain).toBeUndefined();
    waiting.expire(6000);
    expect([call.vain, waiting.size]).toEqual(["time", 0]);
  });

  test("waits until 100 ms before its deadline if that is sooner", () => {
    const call = new Call(3000);
    const waiting = waitingAt(1000, call);
    waiting.expire(2899);
    expect(call.vain).toBeUndefined();
    waiting.expire(2900);
    expect(call.vain).toBe("time");
  });

  test("with hardly any time left is turned away by the next sweep", () => {
    const call = new Call(1050);
    waitingAt(1000, call).expire(1000);
    expect(call.vain).toBe("time");
  });

  test("that was removed hears nothing", () => {
    const call = new Call();
    const waiting = waitingAt(0, call);
    waiting.remove(call);
    waiting.expire(1_000_000);
    expect([call.vain, waiting.size]).toEqual([undefined, 0]);
  });
});

describe("the bound on bytes", () => {
  test("turns a call away at once", () => {
    const [first, second] = [new Call(Infinity, 6000), new Call(Infinity, 6000)];
    const waiting = waitingAt(0, first, second);
    expect([first.vain, second.vain, waiting.size]).toEqual([undefined, "full", 1]);
  });

  test("counts calls without a request as well", () => {
    const calls = Array.from({ length: 20 }, () => new Call());
    waitingAt(0, ...calls);
    expect(calls.filter(({ vain }) => vain === "full").length).toBeGreaterThan(0);
  });

  test("is given back by calls that leave or expire", () => {
    const calls = [new Call(200, 6000), new Call(Infinity, 6000), new Call(Infinity, 6000)];
    const waiting = waitingAt(0, calls[0]!);
    waiting.expire(100);
    waiting.add(calls[1]!, 100);
    waiting.remove(calls[1]!);
    waiting.add(calls[2]!, 100);
    expect(calls.map(({ vain }) => vain)).toEqual(["time", undefined, undefined]);
  });
});

test("calls are met in order of arrival, and may leave meanwhile", () => {
  const calls = [new Call(), new Call(), new Call()];
  const waiting = waitingAt(0, ...calls);
  const met: Call[] = [];
  for (const call of waiting) {
    met.push(call);
    waiting.remove(call);
  }
  expect(met).toEqual(calls);
  expect(waiting.size).toBe(0);
});
