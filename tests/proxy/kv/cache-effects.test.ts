import { gzipSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import { ResponseHeaderSchema } from "../../../src/gen/etcdserverpb/header_pb.ts";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  KV,
  PutRequestSchema,
  PutResponseSchema,
  TxnRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Code } from "../../../src/grpc/status.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { KvScene, rangeAnswer } from "./kv-scene.ts";
import { CONNECTION_LOST, type MemberCall, REFUSED } from "./model-channel.ts";
import { PATHS } from "./model-etcd.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const put = framed(toBinary(PutRequestSchema, create(PutRequestSchema, { key: bytes("k") })));
const removal = framed(
  toBinary(
    DeleteRangeRequestSchema,
    create(DeleteRangeRequestSchema, { key: bytes("j"), rangeEnd: bytes("l") }),
  ),
);
const txn = framed(
  toBinary(
    TxnRequestSchema,
    create(TxnRequestSchema, {
      compare: [{ key: bytes("other") }],
      success: [{ request: { case: "requestRange", value: { key: bytes("other") } } }],
      failure: [{ request: { case: "requestPut", value: { key: bytes("k") } } }],
    }),
  ),
);
const WRITES: readonly (readonly [string, DescMethod, Uint8Array])[] = [
  ["a Put", KV.method.put, put],
  ["a DeleteRange", KV.method.deleteRange, removal],
  ["a Txn, whichever branch is taken,", KV.method.txn, txn],
];

/** An answer that is nothing but a header. */
function answerAt(revision: number): Uint8Array {
  const header = create(ResponseHeaderSchema, { revision: BigInt(revision), memberId: 1n });
  return toBinary(PutResponseSchema, create(PutResponseSchema, { header }));
}

/** A scene with answers about `k` and `other` at revision 5, kept; the next call at a member has that number. */
class Cached extends KvScene {
  constructor() {
    super();
    this.fill("k", 5);
    this.fill("other", 5);
  }

  /** Has an answer kept, if it may be. */
  fill(key: string, revision: number): void {
    this.range({ key: bytes(key), serializable: true });
    this.turn();
    this.channel.call(-1).answer(rangeAnswer(revision));
  }

  /** The keys that there are answers about. */
  get kept(): string[] {
    const before = this.channel.calls.length;
    const kept = ["k", "other"].filter((key) => {
      const call = this.range({ key: bytes(key), serializable: true });
      const { done } = call;
      call.cancel();
      return done;
    });
    this.turn();
    expect(this.channel.calls).toHaveLength(before);
    return kept;
  }

  /** Sends a write to a member. */
  write(method: DescMethod, message: Uint8Array): MemberCall {
    if (method === KV.method.txn) this.txn(message);
    else this.forward(method, message);
    return this.channel.call(-1);
  }

  get writer() {
    return this.clients.findLast(({ head }) => head.path !== PATHS.range)!;
  }
}

describe.each(WRITES)("%s", (_, method, message) => {
  test("that is acknowledged drops older answers about its keys before its client hears of it", () => {
    const scene = new Cached();
    const call = scene.write(method, message);
    let keptWhenTold: string[] = [];
    scene.writer.onHead = () => {
      keptWhenTold = scene.kept;
    };
    call.answer(answerAt(6));
    // The head may go first: it tells nothing.
    expect([keptWhenTold.includes("other"), scene.kept]).toEqual([true, ["other"]]);
    scene.fill("k", 5);
    expect(scene.kept).toEqual(["other"]);
    scene.fill("k", 6);
    expect(scene.kept).toEqual(["k", "other"]);
    expect(scene.leftOvers()).toEqual([]);
  });

  test("that was overtaken by a newer answer leaves that alone", () => {
    const scene = new Cached();
    const call = scene.write(method, message);
    scene.clock.advance(600);
    scene.range("k");
    scene.turn();
    scene.channel.call(-1).answer(rangeAnswer(7));
    call.answer(answerAt(6));
    expect(scene.kept).toEqual(["k", "other"]);
  });

  test.each([
    ["refused", Code.PERMISSION_DENIED],
    ["too late for its lease", Code.NOT_FOUND],
  ])("that is %s drops answers about its keys, and keeps out none", (_, code) => {
    const scene = new Cached();
    const call = scene.write(method, message);
    scene.range({ key: bytes("k"), limit: 1n, serializable: true });
    scene.turn();
    const read = scene.channel.call(-1);
    call.fail({ code, message: "no" });
    expect(scene.writer.status?.code).toBe(code);
    expect(scene.kept).toEqual(["other"]);
    read.answer(rangeAnswer(5));
    expect(scene.range({ key: bytes("k"), limit: 1n, serializable: true }).done).toBe(true);
  });

  const unknown: readonly (readonly [string, (call: MemberCall, scene: Cached) => void])[] = [
    ["that timed out at the member", (call) => call.fail({ code: Code.UNAVAILABLE, message: "timed out" })],
    [
      "whose trailers come behind no message",
      (call) => (call.sendHead(), call.finish({ code: Code.UNKNOWN, message: "" })),
    ],
    ["whose connection was lost", (call) => call.end(CONNECTION_LOST)],
    ["whose client gave up", (_call, scene) => scene.writer.cancel()],
    ["whose answer does not say its revision", (call) => call.answer("")],
    ["whose answer cannot be read", (call) => call.answer(Uint8Array.of(0x0a, 0xff))],
  ];
  test.each(unknown)("%s drops answers about its keys, and keeps out those under way", (_, happen) => {
    const scene = new Cached();
    const call = scene.write(method, message);
    scene.range({ key: bytes("k"), limit: 1n, serializable: true });
    scene.turn();
    const read = scene.channel.call(-1);
    happen(call, scene);
    expect(scene.writer.done).toBe(true);
    expect(scene.kept).toEqual(["other"]);
    read.answer(rangeAnswer(5));
    const again = scene.range({ key: bytes("k"), limit: 1n, serializable: true });
    expect(again.done).toBe(false);
    again.cancel();
    expect(scene.leftOvers()).toEqual([]);
  });

  test("that never ran, and is sent again, changes nothing yet", () => {
    const scene = new Cached();
    scene.write(method, message).end(REFUSED);
    expect(scene.kept).toEqual(["k", "other"]);
    scene.channel.call(-1).answer(answerAt(6));
    expect(scene.kept).toEqual(["other"]);
  });

  test("that nobody here can read drops everything, answered or lost", () => {
    for (const spoil of [compressed, malformed]) {
      for (const happen of [
        (call: MemberCall) => call.answer(answerAt(6)),
        (call: MemberCall) => call.end(CONNECTION_LOST),
      ]) {
        const scene = new Cached();
        happen(scene.write(method, spoil(message)));
        expect(scene.kept).toEqual([]);
        expect(scene.leftOvers()).toEqual([]);
      }
    }
  });

  test("whose answer is compressed tells its revision all the same, and one that nobody can read keeps all out", () => {
    const answers = [
      [gzipSync(answerAt(6)), ["k", "other"]],
      [Buffer.from("no gzip at all"), []],
    ] as const;
    for (const [answer, keptInTheEnd] of answers) {
      const scene = new Cached();
      const call = scene.write(method, compressed(message));
      call.sendHead();
      call.sendBytes(compressed(framed(answer)));
      call.finish();
      expect(scene.kept).toEqual([]);
      for (const key of ["k", "other"]) scene.fill(key, 5);
      expect(scene.kept).toEqual([]);
      for (const key of ["k", "other"]) scene.fill(key, 6);
      expect(scene.kept).toEqual([...keptInTheEnd]);
    }
  });

  test("whose request never became whole changes nothing", () => {
    const scene = new Cached();
    const call = scene.open((call) => scene.serveOther(call, method));
    call.receiver.onRequestBytes(message, 0, message.length - 1);
    call.cancel();
    expect(scene.kept).toEqual(["k", "other"]);
  });
});

describe("a compaction", () => {
  const compaction = framed(
    toBinary(CompactionRequestSchema, create(CompactionRequestSchema, { revision: 4n })),
  );
  const past = (revision: bigint) => ({ key: bytes("k"), revision, serializable: true });

  function withPast(): Cached {
    const scene = new Cached();
    for (const revision of [3n, 4n]) {
      scene.range(past(revision));
      scene.turn();
      scene.channel.call(-1).answer(rangeAnswer(5));
    }
    return scene;
  }

  test("ends answers at revisions that are gone, and leaves the others alone", () => {
    const scene = withPast();
    scene.write(KV.method.compact, compaction).answer(answerAt(5));
    expect(scene.kept).toEqual(["k", "other"]);
    expect([scene.range(past(3n)).done, scene.range(past(4n)).done]).toEqual([false, true]);
  });

  test("that is refused changes nothing", () => {
    const scene = withPast();
    scene.write(KV.method.compact, compaction).fail({ code: Code.OUT_OF_RANGE, message: "compacted" });
    expect(scene.range(past(3n)).done).toBe(true);
  });

  test("of an unknown outcome, or that nobody here can read, drops everything", () => {
    const scene = withPast();
    scene.write(KV.method.compact, compaction).end(CONNECTION_LOST);
    expect(scene.kept).toEqual([]);
    const other = withPast();
    other.write(KV.method.compact, compressed(compaction)).answer(answerAt(5));
    expect(other.kept).toEqual([]);
  });
});

describe.each([
  ["LeaseRevoke", Lease.method.leaseRevoke],
  ["an auth change", Auth.method.roleRevokePermission],
])("%s", (_, method) => {
  test("drops everything when it is answered, and keeps out what is older", () => {
    const scene = new Cached();
    scene.write(method, put).answer(answerAt(7));
    expect(scene.kept).toEqual([]);
    scene.fill("k", 6);
    expect(scene.kept).toEqual([]);
    scene.fill("k", 7);
    expect(scene.kept).toEqual(["k"]);
  });

  test("drops everything when it fails, whatever it says", () => {
    for (const code of [Code.PERMISSION_DENIED, Code.UNAVAILABLE]) {
      const scene = new Cached();
      scene.write(method, put).fail({ code, message: "no" });
      expect(scene.kept).toEqual([]);
    }
  });

  test("keeps out what was under way", () => {
    const scene = new Cached();
    const call = scene.write(method, put);
    scene.range({ key: bytes("k"), limit: 1n, serializable: true });
    scene.turn();
    const read = scene.channel.call(-1);
    call.answer(answerAt(5));
    read.answer(rangeAnswer(5));
    expect(scene.range({ key: bytes("k"), limit: 1n, serializable: true }).done).toBe(false);
  });
});

test("calls that change no keys leave everything alone", () => {
  const scene = new Cached();
  scene.write(Lease.method.leaseGrant, put).answer(answerAt(9));
  scene.write(Lease.method.leaseTimeToLive, put).end(CONNECTION_LOST);
  expect(scene.kept).toEqual(["k", "other"]);
});

test("without a cache there is nothing to do", () => {
  const { hub } = new KvScene({ cache: null });
  expect([hub.effectsOf(KV.method.put), hub.effectsOf(undefined)]).toEqual([null, null]);
});

/** The message as it would look compressed, as far as can be seen from outside. */
function compressed(message: Uint8Array): Uint8Array {
  const copy = message.slice();
  copy[0] = 1;
  return copy;
}

/** The message with a broken field behind it. */
function malformed(message: Uint8Array): Uint8Array {
  return framed(Buffer.concat([message.subarray(5), Uint8Array.of(0x0b)]));
}
