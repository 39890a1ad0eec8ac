import { describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { KvScene, type KvSceneOptions, rangeAnswer, SMALL_LIMITS } from "./kv-scene.ts";
import { CONNECTION_LOST, type MemberCall } from "./model-channel.ts";
import type { ReadClient } from "./read-client.ts";

const key = Buffer.from("k");
const scene = (options: KvSceneOptions = {}): KvScene => new KvScene({ limits: SMALL_LIMITS, ...options });
/** Below and above the size that is shared. */
const MIDDLING = rangeAnswer(2, "m".repeat(300));
const LARGE = rangeAnswer(2, "l".repeat(900));

/** Begins an answer: its head and the first `bytes` bytes, in pieces of 50. */
function begin(call: MemberCall, message: Uint8Array, bytes = Number.POSITIVE_INFINITY): void {
  const all = framed(message);
  call.sendHead();
  send(call, all.subarray(0, Math.min(bytes, all.length)));
}

/** Sends the rest and ends the call. */
function end(call: MemberCall, message: Uint8Array): void {
  send(call, framed(message).subarray(call.sentBytes));
  call.finish();
}

function send(call: MemberCall, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += 50) call.sendBytes(bytes.subarray(at, at + 50));
}

const whole = ({ payload, status }: ReadClient, message: Uint8Array): boolean =>
  status?.code === Code.OK && Buffer.from(message).equals(payload);

describe("an answer in several pieces", () => {
  test("is gathered for several callers, and the member may go on as it comes", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), MIDDLING, 200);
    expect(channel.call(0).unconsumedBytes).toBe(0);
    expect(callers.map(({ heads }) => heads.length)).toEqual([0, 0]);
    end(channel.call(0), MIDDLING);
    expect(callers.map((caller) => whole(caller, MIDDLING))).toEqual([true, true]);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("is whole for the one who stays when the other one gives up midway", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), MIDDLING, 150);
    callers[0]!.cancel();
    end(channel.call(0), MIDDLING);
    expect(whole(callers[1]!, MIDDLING)).toBe(true);
    const cached = range({ key, serializable: true });
    expect(whole(cached, MIDDLING)).toBe(true);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("is given up when nobody stays", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), MIDDLING, 150);
    for (const caller of callers) caller.cancel();
    send(channel.call(0), Buffer.alloc(50));
    expect(channel.call(0).cancelled).toBe(true);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("is streamed to a single caller, as he takes it, and kept", () => {
    const { range, channel, ...rest } = spread(scene());
    const caller = range("k", { windowBytes: 120 });
    rest.turn();
    begin(channel.call(0), MIDDLING, 250);
    expect(caller.answerBytes).toHaveLength(120);
    expect(channel.call(0).unconsumedBytes).toBe(130);
    caller.take(100);
    expect(channel.call(0).unconsumedBytes).toBe(30);
    end(channel.call(0), MIDDLING);
    caller.take(1000);
    expect(whole(caller, MIDDLING)).toBe(true);
    expect(whole(range({ key, serializable: true }), MIDDLING)).toBe(true);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("that fails midway is begun anew for callers who share it", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), MIDDLING, 150);
    channel.call(0).end(CONNECTION_LOST);
    rest.turn();
    begin(channel.call(1), MIDDLING);
    end(channel.call(1), MIDDLING);
    expect(callers.map((caller) => whole(caller, MIDDLING))).toEqual([true, true]);
    expect(rest.leftOvers()).toEqual([]);
  });
});

describe("an answer too large to be shared", () => {
  test("goes to the first caller, and the others read for themselves one after another", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k"), range("k")];
    rest.turn();
    callers.push(range("k"));
    for (let reader = 0; reader < callers.length; reader++) {
      expect(channel.calls).toHaveLength(reader + 1);
      begin(channel.call(reader), LARGE);
      end(channel.call(reader), LARGE);
      expect(callers.filter((caller) => whole(caller, LARGE))).toHaveLength(reader + 1);
      rest.turn();
    }
    expect(rest.hub.stats.cacheEntries).toBe(0);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("never holds up the others for longer than two seconds because of one who does not read", () => {
    const { range, channel, ...rest } = spread(scene());
    const slow = range("k", { windowBytes: 0 });
    const other = range("k");
    rest.turn();
    begin(channel.call(0), LARGE, 600);
    rest.clock.advance(2100);
    expect(channel.calls).toHaveLength(2);
    begin(channel.call(1), LARGE);
    end(channel.call(1), LARGE);
    expect(whole(other, LARGE)).toBe(true);
    slow.cancel();
    expect(channel.call(0).cancelled).toBe(true);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("gives credit once for what was gathered, and then as the caller takes it", () => {
    const { range, channel, ...rest } = spread(scene());
    const slow = range("k", { windowBytes: 10 });
    range("k").cancel();
    const other = range("k");
    rest.turn();
    begin(channel.call(0), LARGE, 450);
    expect(channel.call(0).unconsumedBytes).toBe(0);
    send(channel.call(0), framed(LARGE).subarray(450, 550));
    expect(channel.call(0).unconsumedBytes).toBe(100);
    slow.take(440);
    expect(channel.call(0).unconsumedBytes).toBe(100);
    slow.take(60);
    expect(channel.call(0).unconsumedBytes).toBe(40);
    end(channel.call(0), LARGE);
    slow.take(10_000);
    expect(whole(slow, LARGE)).toBe(true);
    rest.turn();
    other.cancel();
    expect(rest.leftOvers()).toEqual([]);
  });

  test("goes to the next one when the first gives up midway", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), LARGE, 600);
    callers[0]!.cancel();
    expect(channel.call(0).cancelled).toBe(true);
    rest.turn();
    begin(channel.call(1), LARGE);
    end(channel.call(1), LARGE);
    expect(whole(callers[1]!, LARGE)).toBe(true);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("is shared again once it has become smaller", () => {
    const { range, channel, ...rest } = spread(scene());
    for (let n = 0; n < 4; n++) range("k");
    rest.turn();
    begin(channel.call(0), LARGE);
    end(channel.call(0), LARGE);
    rest.turn();
    begin(channel.call(1), MIDDLING);
    end(channel.call(1), MIDDLING);
    rest.turn();
    begin(channel.call(2), MIDDLING);
    end(channel.call(2), MIDDLING);
    expect(channel.calls).toHaveLength(3);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("of a read that holds up nobody any more makes the others ask anew", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    callers.push(range("k"));
    rest.clock.advance(2100);
    begin(channel.call(0), LARGE);
    end(channel.call(0), LARGE);
    rest.turn();
    begin(channel.call(1), MIDDLING);
    end(channel.call(1), MIDDLING);
    rest.turn();
    begin(channel.call(2), MIDDLING);
    end(channel.call(2), MIDDLING);
    expect(callers.map(({ status }) => status?.code)).toEqual([0, 0, 0]);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("ends with the member's failure for the one it is streamed to, and begins anew for the others", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), LARGE, 600);
    channel.call(0).end(CONNECTION_LOST);
    expect(callers.map(({ status }) => status?.code)).toEqual([Code.UNAVAILABLE, undefined]);
    rest.turn();
    channel.call(1).answer(MIDDLING);
    expect(whole(callers[1]!, MIDDLING)).toBe(true);
    expect(rest.leftOvers()).toEqual([]);
  });
});

describe("callers who do not read", () => {
  test("hold a shared answer once, whoever they are, until each has taken it", () => {
    const { range, channel, ...rest } = spread(scene());
    const callers = [range("k", { windowBytes: 0 }), range("k", { windowBytes: 70 }), range("k")];
    rest.turn();
    begin(channel.call(0), MIDDLING);
    end(channel.call(0), MIDDLING);
    const held = rest.budget.heldBytes;
    expect(held).toBeGreaterThanOrEqual(MIDDLING.length);
    expect(held).toBeLessThan(2 * MIDDLING.length);
    // A piece of it waits in each call's own queue.
    expect(callers.map(({ queuedBytes }) => queuedBytes)).toEqual([64, 58, 0]);
    callers[0]!.cancel();
    expect(rest.budget.heldBytes).toBe(held);
    for (let n = 0; n < 5; n++) callers[1]!.take(100);
    expect(whole(callers[1]!, MIDDLING)).toBe(true);
    expect(rest.budget.heldBytes).toBe(0);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("lose it when memory is needed: whoever holds most, each of them once", () => {
    const { range, channel, ...rest } = spread(scene({ budgetBytes: 900 }));
    const larger = [range("k", { windowBytes: 0 }), range("k", { windowBytes: 0 })];
    rest.turn();
    begin(channel.call(0), MIDDLING);
    end(channel.call(0), MIDDLING);
    expect(rest.budget.heldBytes).toBeGreaterThan(0);
    const other = [range("l", { windowBytes: 0 }), range("l", { windowBytes: 0 })];
    rest.turn();
    const smaller = rangeAnswer(2, "s".repeat(120));
    begin(channel.call(1), smaller);
    end(channel.call(1), smaller);
    const more = [range("m", { windowBytes: 0 }), range("m", { windowBytes: 0 })];
    rest.turn();
    begin(channel.call(2), smaller);
    end(channel.call(2), smaller);
    expect(larger.map(({ status }) => status?.code)).toEqual([8, 8]);
    expect(rest.budget.heldBytes).toBeLessThanOrEqual(900);
    for (const caller of [...other, ...more]) for (let n = 0; n < 5; n++) caller.take(100);
    expect([...other, ...more].map((caller) => whole(caller, smaller))).toEqual([true, true, true, true]);
    for (const caller of larger) caller.take(100);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("of an answer that is being gathered: it is streamed when memory is needed", () => {
    const { range, channel, ...rest } = spread(scene({ limits: { ...SMALL_LIMITS, gatheredBytesMax: 100 } }));
    const callers = [range("k"), range("k")];
    rest.turn();
    begin(channel.call(0), MIDDLING);
    expect(callers.map(({ answerBytes }) => answerBytes.length > 0)).toEqual([true, false]);
    end(channel.call(0), MIDDLING);
    rest.turn();
    begin(channel.call(1), MIDDLING);
    end(channel.call(1), MIDDLING);
    expect(callers.map((caller) => whole(caller, MIDDLING))).toEqual([true, true]);
    expect(rest.leftOvers()).toEqual([]);
  });

  test("hold a cached answer in the same way", () => {
    const { range, channel, ...rest } = spread(scene());
    range("k");
    rest.turn();
    begin(channel.call(0), MIDDLING);
    end(channel.call(0), MIDDLING);
    const callers = [0, 1].map(() => range({ key, serializable: true }, { windowBytes: 0 }));
    expect(rest.budget.heldBytes).toBe(MIDDLING.length + 5);
    for (const caller of callers) for (let n = 0; n < 5; n++) caller.take(100);
    expect(callers.map((caller) => whole(caller, MIDDLING))).toEqual([true, true]);
    expect(rest.leftOvers()).toEqual([]);
  });
});

/** The parts of a scene that a test uses, its methods bound. */
function spread(scene: KvScene) {
  return {
    channel: scene.channel,
    clock: scene.clock,
    hub: scene.hub,
    budget: scene.budget,
    range: scene.range.bind(scene),
    turn: () => scene.turn(),
    leftOvers: () => scene.leftOvers(),
  };
}
