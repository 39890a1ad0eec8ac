import { describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Code } from "../../../src/grpc/status.ts";
import { headerField } from "../../../src/hpack/header-field.ts";
import { READ_LIMITS } from "../../../src/proxy/kv/read-limits.ts";
import { KvScene, rangeAnswer, rangeRequest, txnRequest } from "./kv-scene.ts";
import type { ReadClient } from "./read-client.ts";

const value = ({ payload }: ReadClient): Uint8Array => Uint8Array.from(payload);
const key = Buffer.from("k");
const serializable = { key, serializable: true };

describe("reads that ask the same", () => {
  test("of one turn are one read at the member, and each caller has its answer", () => {
    const scene = new KvScene();
    const callers = [scene.range("k"), scene.range("k"), scene.range("k")];
    expect(scene.channel.calls).toHaveLength(0);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.call(0).answer(rangeAnswer(5, "v"));
    for (const caller of callers) expect(value(caller)).toEqual(rangeAnswer(5, "v"));
    expect(callers.map(({ status }) => status?.code)).toEqual([0, 0, 0]);
    expect(scene.hub.stats).toMatchObject({ sharedReads: 3, upstreamReads: 1 });
    expect(scene.leftOvers()).toEqual([]);
  });

  test("later than the one in flight share the next, which is sent when that is answered", () => {
    const scene = new KvScene();
    const first = scene.range("k");
    scene.turn();
    const later = [scene.range("k"), scene.range("k")];
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.call(0).answer(rangeAnswer(5));
    expect(value(first)).toEqual(rangeAnswer(5));
    later.push(scene.range("k"));
    expect(scene.channel.calls).toHaveLength(1);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(2);
    scene.channel.call(1).answer(rangeAnswer(6));
    for (const caller of later) expect(value(caller)).toEqual(rangeAnswer(6));
    expect(scene.leftOvers()).toEqual([]);
  });

  test("of a lone caller goes to the member at the end of the turn", () => {
    const scene = new KvScene();
    scene.range("k");
    scene.clock.endTurn();
    expect(scene.channel.calls).toHaveLength(1);
  });

  test("of several callers waits while more join, turn by turn, and goes when nobody does", () => {
    const scene = new KvScene();
    scene.range("k");
    for (let turn = 0; turn < 3; turn++) {
      scene.range("k");
      scene.clock.endTurn();
      expect(scene.channel.calls).toHaveLength(0);
    }
    scene.clock.endTurn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.call(0).answer(rangeAnswer(5));
    expect(scene.clients.every(({ done }) => done)).toBe(true);
  });

  test("of a crowd that goes on coming waits for eight turns at most", () => {
    const scene = new KvScene();
    scene.range("k");
    for (let turn = 1; turn < READ_LIMITS.gatherTurnsMax; turn++) {
      scene.range("k");
      scene.clock.endTurn();
      expect(scene.channel.calls).toHaveLength(0);
    }
    scene.range("k");
    scene.clock.endTurn();
    expect(scene.channel.calls).toHaveLength(1);
  });

  test("and others do not hold each other up", () => {
    const scene = new KvScene();
    scene.range("k");
    scene.range("l");
    scene.range({ key, limit: 1n });
    scene.range({ key, rangeEnd: Buffer.from("l") });
    scene.range(serializable);
    scene.turn();
    expect(scene.channel.calls).toHaveLength(5);
  });

  test("under another identity, or with another wish for a leader, are reads of their own", () => {
    const scene = new KvScene();
    scene.range("k");
    scene.range("k", { token: "ann" });
    scene.range("k", { token: "bob" });
    scene.range("k", { token: "ann", fields: [headerField("hasleader", "true")] });
    scene.turn();
    expect(scene.channel.calls.map((call) => [call.field("token"), call.field("hasleader")])).toEqual([
      [undefined, undefined],
      ["ann", undefined],
      ["bob", undefined],
      ["ann", "true"],
    ]);
  });

  test("go to the member without anybody's deadline, leave to compress, or fields of his own", () => {
    const scene = new KvScene();
    const fields = [
      headerField("grpc-timeout", "10S"),
      headerField("grpc-accept-encoding", "gzip"),
      headerField("user-agent", "clientv3"),
    ];
    scene.range("k", { fields });
    scene.turn();
    const call = scene.channel.call(0);
    expect(call.field("grpc-timeout")).toBeUndefined();
    expect(call.field("grpc-accept-encoding")).toBeUndefined();
    expect(call.field("user-agent")).toBeUndefined();
    expect(call.requestEnded).toBe(true);
    expect(call.request).toEqual(Buffer.from(rangeRequest("k")));
  });

  test("are told of a member's error, each of them", () => {
    const scene = new KvScene();
    const callers = [scene.range("k"), scene.range("k")];
    scene.turn();
    const status = {
      code: Code.OUT_OF_RANGE,
      message: "etcdserver: mvcc: required revision is a future revision",
    };
    scene.channel.call(0).fail(status);
    expect(callers.map((caller) => caller.status)).toEqual([status, status]);
    const late = scene.range("k");
    scene.turn();
    scene.channel.call(1).sendHead();
    scene.channel.call(1).finish(status);
    expect(late.status).toEqual(status);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("are each sent by themselves without coalescing, with what is left of their time", () => {
    const scene = new KvScene({ coalescing: false });
    scene.range("k", { deadlineMs: scene.clock.nowMs() + 700 });
    scene.range("k", { fields: [headerField("grpc-accept-encoding", "gzip")] });
    scene.turn();
    expect(scene.channel.calls.map((call) => call.field("grpc-timeout"))).toEqual(["700000u", undefined]);
    expect(scene.channel.call(1).field("grpc-accept-encoding")).toBe("gzip");
    for (const call of scene.channel.calls) call.answer(rangeAnswer(3));
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("a transaction", () => {
  const range = { request: { case: "requestRange", value: { key } } } as const;
  const put = { request: { case: "requestPut", value: { key } } } as const;

  test("of ranges only is shared, and nothing of it is kept", () => {
    const scene = new KvScene();
    const callers = [scene.txn({ success: [range] }), scene.txn({ success: [range] })];
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.call(0).answer("the answer");
    expect(callers.map(({ text }) => text)).toEqual(["the answer", "the answer"]);
    expect(scene.hub.stats.cacheEntries).toBe(0);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("that writes is sent by itself, at once", () => {
    const scene = new KvScene();
    scene.txn({ success: [put] });
    scene.txn({ success: [put] });
    expect(scene.channel.calls).toHaveLength(2);
  });

  test("with a compare is sent by itself", () => {
    const scene = new KvScene();
    scene.txn({ compare: [{ key }], success: [range] });
    const request = txnRequest({ compare: [{ key }], success: [range] });
    expect(scene.channel.call(0).request).toEqual(Buffer.from(request));
  });
});

describe("a request that nobody here reads is sent by itself:", () => {
  test("a compressed one", () => {
    const scene = new KvScene();
    const request = rangeRequest("k");
    request[0] = 1;
    scene.range(request);
    scene.range(request);
    expect(scene.channel.calls).toHaveLength(2);
  });

  test("one that may be compressed, and so may its answer", () => {
    const scene = new KvScene();
    scene.range("k", { fields: [headerField("grpc-encoding", "gzip")] });
    expect(scene.channel.call(0).field("grpc-encoding")).toBe("gzip");
    scene.range("k", { fields: [headerField("grpc-encoding", "identity")] });
    expect(scene.channel.calls).toHaveLength(1);
  });

  test("a malformed one", () => {
    const scene = new KvScene();
    scene.range(Uint8Array.of(0, 0, 0, 0, 2, 0x0a, 0xff));
    expect(scene.channel.calls).toHaveLength(1);
  });

  test("one that says twice whether it is serializable", () => {
    const scene = new KvScene();
    scene.range(Uint8Array.of(0, 0, 0, 0, 7, 0x0a, 1, 0x6b, 0x38, 1, 0x38, 0));
    expect(scene.channel.calls).toHaveLength(1);
  });
});

describe("a request with more than one message", () => {
  const both = (client: ReadClient, message: Uint8Array): void => {
    // As `Http2ServerCall` does with the last DATA frame.
    const { receiver } = client;
    receiver.onRequestBytes(message, 0, message.length);
    receiver.onRequestBytes(message, 0, message.length);
    receiver.onRequestEnd();
  };

  test("ends with an error, and nothing is sent", () => {
    const scene = new KvScene();
    const caller = scene.open((call) => scene.hub.serveRange(call));
    both(caller, rangeRequest("k"));
    scene.turn();
    expect(caller.status?.code).toBe(Code.INTERNAL);
    const write = scene.open((call) => scene.serveOther(call, KV.method.put));
    both(write, rangeRequest("k"));
    scene.turn();
    expect(write.status?.code).toBe(Code.INTERNAL);
    expect(scene.channel.calls).toHaveLength(0);
  });
});

describe("a caller who gives up", () => {
  test("before the request is whole leaves nothing", () => {
    const scene = new KvScene();
    scene.open((call) => scene.hub.serveRange(call)).cancel();
    scene.turn();
    expect(scene.channel.calls).toHaveLength(0);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("before it is sent leaves the read to the others, or to nobody", () => {
    const scene = new KvScene();
    scene.range("k").cancel();
    const other = scene.range("k");
    scene.range("l").cancel();
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    scene.channel.call(0).answer(rangeAnswer(2));
    expect(value(other)).toEqual(rangeAnswer(2));
    expect(scene.leftOvers()).toEqual([]);
  });

  test("while it is in flight leaves it to the others", () => {
    const scene = new KvScene();
    const callers = [scene.range("k"), scene.range("k")];
    scene.turn();
    callers[0]!.cancel();
    scene.channel.call(0).answer(rangeAnswer(2));
    expect(value(callers[1]!)).toEqual(rangeAnswer(2));
    expect(callers[0]!.payload).toHaveLength(0);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("while he waits for his turn is not read for", () => {
    const scene = new KvScene();
    const first = scene.range("k");
    scene.turn();
    scene.range("k").cancel();
    scene.channel.call(0).answer(rangeAnswer(2));
    scene.turn();
    expect(value(first)).toEqual(rangeAnswer(2));
    expect(scene.channel.calls).toHaveLength(1);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("as the last one has the read finished and kept all the same", () => {
    const scene = new KvScene();
    scene.range("k").cancel();
    const caller = scene.range("k");
    scene.turn();
    caller.cancel();
    expect(scene.channel.call(0).open).toBe(true);
    scene.channel.call(0).answer(rangeAnswer(2, "kept"));
    const later = scene.range(serializable);
    expect(value(later)).toEqual(rangeAnswer(2, "kept"));
    expect(scene.leftOvers()).toEqual([]);
  });

  test("as the last one has the read cancelled when it takes more than two seconds", () => {
    const scene = new KvScene();
    const caller = scene.range("k");
    scene.turn();
    caller.cancel();
    scene.clock.advance(1900);
    expect(scene.channel.call(0).open).toBe(true);
    scene.clock.advance(200);
    expect(scene.channel.call(0).cancelled).toBe(true);
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("serializable callers who wait for their turn", () => {
  test("have the answer of the one before them once it is kept", () => {
    const scene = new KvScene();
    scene.range(serializable);
    scene.turn();
    const waiting = [scene.range(serializable), scene.range(serializable)];
    scene.channel.call(0).answer(rangeAnswer(2, "v"));
    for (const caller of waiting) expect(value(caller)).toEqual(rangeAnswer(2, "v"));
    scene.turn();
    expect(scene.channel.calls).toHaveLength(1);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("read again when it is not: something has happened meanwhile", () => {
    const scene = new KvScene();
    scene.range(serializable);
    scene.turn();
    const write = scene.forward(KV.method.put, rangeRequest("k"));
    scene.channel.call(1).answer(rangeAnswer(3));
    expect(write.done).toBe(true);
    const waiting = scene.range(serializable);
    scene.channel.call(0).answer(rangeAnswer(2, "old"));
    scene.turn();
    scene.channel.call(2).answer(rangeAnswer(3, "new"));
    expect(value(waiting)).toEqual(rangeAnswer(3, "new"));
    expect(scene.leftOvers()).toEqual([]);
  });
});

describe("who is kept for later calls", () => {
  test("a caller's scope goes when nothing is read in it, whatever he asked for", () => {
    const scene = new KvScene();
    for (let n = 0; n < 10; n++) {
      scene.txn({ success: [{ request: { case: "requestPut", value: { key } } }] }, { token: `t${n}` });
    }
    for (const call of scene.channel.calls) call.answer("");
    expect(scene.hub.scopes).toBe(10);
    scene.clock.advance(3000);
    expect(scene.hub.scopes).toBe(0);
    expect(scene.leftOvers()).toEqual([]);
  });
});
