import { describe, expect, test } from "bun:test";
import { Code } from "../../../src/grpc/status.ts";
import { KvScene, rangeAnswer } from "./kv-scene.ts";
import { CONNECTION_LOST, REFUSED } from "./model-channel.ts";

const NO_LEADER = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
const codes = (callers: readonly { status: { code: number } | undefined }[]): (number | undefined)[] =>
  callers.map(({ status }) => status?.code);

describe("a read whose connection is lost", () => {
  test("is repeated as one, with those who have waited behind it", () => {
    const scene = new KvScene();
    const callers = [scene.range("k"), scene.range("k")];
    scene.turn();
    callers.push(scene.range("k"));
    scene.channel.lose(scene.channel.current!);
    scene.turn();
    scene.channel.connect(1);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(2);
    scene.channel.call(1).answer(rangeAnswer(2));
    expect(codes(callers)).toEqual([0, 0, 0]);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("is repeated once on each endpoint, and then fails as the last one did", () => {
    const scene = new KvScene();
    const caller = scene.range("k");
    for (const member of [1, 2, 1]) {
      scene.turn();
      scene.channel.lose(scene.channel.current!, { ...CONNECTION_LOST, message: `lost before ${member}` });
      scene.channel.connect(member);
    }
    scene.turn();
    expect(scene.channel.calls).toHaveLength(3);
    expect(caller.status?.code).toBe(Code.UNAVAILABLE);
    expect(caller.status?.message).toContain("lost before 1");
    expect(scene.leftOvers()).toEqual([]);
  });

  test("is not repeated once its caller has a part of the answer", () => {
    const scene = new KvScene({ limits: { heldBytesMax: 10 } });
    const caller = scene.range("k");
    scene.turn();
    scene.channel.call(0).sendHead();
    scene.channel.call(0).sendBytes(Buffer.from("more than ten bytes"));
    scene.channel.lose(scene.channel.current!);
    expect(caller.status?.code).toBe(Code.UNAVAILABLE);
    scene.channel.connect();
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("is not repeated for callers who have gone", () => {
    const scene = new KvScene();
    const caller = scene.range("k");
    scene.turn();
    caller.cancel();
    scene.channel.lose(scene.channel.current!);
    scene.channel.connect();
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("while no member can be reached,", () => {
  test("each caller waits by himself: until 100 ms before his deadline, and 5 s at most", () => {
    const scene = new KvScene();
    const nowMs = scene.clock.nowMs();
    const callers = [
      scene.range("k", { deadlineMs: nowMs + 1000 }),
      scene.range("k", { deadlineMs: nowMs + 3000 }),
      scene.range("k"),
    ];
    scene.channel.lose(scene.channel.current!);
    scene.turn();
    const waited: (number | undefined)[][] = [];
    for (const stepMs of [850, 100, 1950, 2000, 150]) {
      scene.clock.advance(stepMs);
      waited.push(codes(callers));
    }
    expect(waited).toEqual([
      [undefined, undefined, undefined],
      [Code.UNAVAILABLE, undefined, undefined],
      [Code.UNAVAILABLE, Code.UNAVAILABLE, undefined],
      [Code.UNAVAILABLE, Code.UNAVAILABLE, undefined],
      [Code.UNAVAILABLE, Code.UNAVAILABLE, Code.UNAVAILABLE],
    ]);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("a caller may give up", () => {
    const scene = new KvScene();
    scene.channel.lose(scene.channel.current!);
    scene.range("k").cancel();
    expect(scene.channel.waitingCalls).toBe(0);
    scene.channel.connect();
    scene.turn();
    expect(scene.channel.calls).toHaveLength(0);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("those who have waited share one read afterwards, with all who come then", () => {
    const scene = new KvScene();
    scene.channel.lose(scene.channel.current!);
    const callers = [scene.range("k"), scene.range("k")];
    // Longer than a scope without a read is remembered.
    scene.clock.advance(2500);
    callers.push(scene.range("k"));
    scene.channel.connect();
    callers.push(scene.range("k"));
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.call(0).answer(rangeAnswer(2, "v"));
    expect(codes(callers)).toEqual([0, 0, 0, 0]);
    const cached = scene.range({ key: Buffer.from("k"), serializable: true });
    expect(cached.status?.code).toBe(0);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("a connection that takes no more calls is no reason to fail", () => {
    const scene = new KvScene();
    scene.channel.current!.canOpen = false;
    const callers = [scene.range("k"), scene.range("k")];
    scene.turn();
    scene.channel.current!.canOpen = true;
    scene.channel.serveWaiting();
    scene.turn();
    scene.channel.call(0).answer(rangeAnswer(2));
    expect(codes(callers)).toEqual([0, 0]);
    expect(scene.channel.calls).toHaveLength(1);
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("a read that never ran", () => {
  test("is sent again, five times at most", () => {
    const scene = new KvScene();
    const callers = [scene.range("k"), scene.range("k")];
    for (let attempt = 0; attempt < 6; attempt++) {
      scene.turn();
      expect(scene.channel.calls).toHaveLength(attempt + 1);
      expect(codes(callers)).toEqual([undefined, undefined]);
      scene.channel.call(attempt).end(REFUSED);
    }
    scene.turn();
    expect(scene.channel.calls).toHaveLength(6);
    expect(codes(callers)).toEqual([Code.UNAVAILABLE, Code.UNAVAILABLE]);
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("a member without a leader", () => {
  test("is left, and the read is made at the one that comes up", () => {
    const scene = new KvScene();
    scene.channel.onLeave = () => {
      scene.channel.coming = true;
    };
    const callers = [scene.range("k"), scene.range("k")];
    scene.turn();
    scene.channel.call(0).fail(NO_LEADER);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.connect(1);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(2);
    scene.channel.call(1).answer(rangeAnswer(2));
    expect(codes(callers)).toEqual([0, 0]);
    expect(scene.channel.left).toEqual(["127.0.0.1:10000: etcdserver: no leader"]);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("is asked once more when there is no other", () => {
    const scene = new KvScene();
    const caller = scene.range("k");
    for (let attempt = 0; attempt < 2; attempt++) {
      scene.turn();
      scene.channel.call(attempt).sendHead();
      scene.channel.call(attempt).finish(NO_LEADER);
    }
    scene.turn();
    expect(scene.channel.calls).toHaveLength(2);
    expect(caller.status).toEqual(NO_LEADER);
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("a read that hangs", () => {
  test("holds up those behind it for two seconds from when it was sent, and is answered late", () => {
    const scene = new KvScene();
    const first = scene.range("k");
    scene.turn();
    scene.clock.advance(1000);
    const second = scene.range("k");
    scene.clock.advance(900);
    expect(scene.channel.calls).toHaveLength(1);
    scene.clock.advance(200);
    expect(scene.channel.calls).toHaveLength(2);
    const third = scene.range("k");
    scene.turn();
    expect(scene.channel.calls).toHaveLength(2);
    scene.channel.call(0).answer(rangeAnswer(2, "late"));
    scene.turn();
    expect(scene.channel.calls).toHaveLength(2);
    scene.channel.call(1).answer(rangeAnswer(3));
    scene.turn();
    scene.channel.call(2).answer(rangeAnswer(4));
    const answers = [rangeAnswer(2, "late"), rangeAnswer(3), rangeAnswer(4)];
    expect([first, second, third].map(({ payload }) => Buffer.from(payload))).toEqual(
      answers.map((answer) => Buffer.from(answer)),
    );
    expect(scene.leftOvers()).toEqual([]);
  });

  test("is cancelled once nobody waits for it any more", () => {
    const scene = new KvScene();
    const first = scene.range("k");
    scene.turn();
    scene.range("k");
    scene.clock.advance(2200);
    first.cancel();
    expect(scene.channel.call(0).cancelled).toBe(true);
    scene.channel.call(1).answer(rangeAnswer(3));
    expect(scene.leftOvers()).toEqual([]);
  });

  test("holds up nobody once its endpoint was left, neither those who wait nor those who come", () => {
    const scene = new KvScene();
    scene.range("k");
    scene.range("l");
    scene.turn();
    scene.range("k");
    scene.channel.connect(1);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(3);
    scene.range("l");
    scene.turn();
    expect(scene.channel.calls).toHaveLength(4);
    for (const call of scene.channel.calls) call.answer(rangeAnswer(2));
    expect(scene.leftOvers()).toEqual([]);
  });
});

test("a member that is none is left, and the callers hear of it", () => {
  const scene = new KvScene();
  const caller = scene.range("k");
  scene.turn();
  scene.channel.call(0).sendHead();
  scene.channel.call(0).finishWithoutStatus();
  expect(caller.status?.code).toBe(Code.UNKNOWN);
  expect(scene.channel.left).toHaveLength(1);
  expect(scene.leftOvers()).toEqual([]);
});
