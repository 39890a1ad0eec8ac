import { describe, expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { TxnRequestSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Code, RESPONSE_HEAD, type Status } from "../../../src/grpc/status.ts";
import { framed, StandInMember } from "../../grpc/stand-in-member.ts";
import { answer, answerWith, ChannelScene, finish, SOON, TXN } from "./channel-scene.ts";

describe("a read of the revision", () => {
  /** What the call asks for: of each branch the operations, their fields at their defaults left out. */
  async function asked(member: StandInMember, index = 0) {
    const call = await member.call(index);
    expect(call.path).toBe(TXN);
    const { compare, success, failure } = fromBinary(TxnRequestSchema, call.request.subarray(5));
    const reads = (branch: typeof success) =>
      branch.map(({ request }) => {
        if (request.case !== "requestRange") throw new Error(`it is a ${request.case}`);
        const { key, rangeEnd, revision, limit, serializable, keysOnly } = request.value;
        const [from, to] = [key, rangeEnd].map((bytes) => Buffer.from(bytes).toString("latin1"));
        return { from, to, revision, limit, serializable, keysOnly };
      });
    return { compare, success: reads(success), failure: reads(failure), token: call.field("token") };
  }

  const cheap = { limit: 1n, serializable: true, keysOnly: true };

  test("looks at one key, and names the whole range where only its permission is checked", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    scene.read("alice.1", KeyRange.of(Buffer.from("a"), Buffer.from("\xff", "latin1")), 2 ** 40);
    expect(await asked(member)).toEqual({
      compare: [],
      success: [{ from: "a", to: "", revision: 2n ** 40n, ...cheap }],
      failure: [{ from: "a", to: "\xff", revision: 0n, ...cheap }],
      token: "alice.1",
    });
  });

  test("looks at the smallest key when any will do, for nobody when there is no token", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    scene.read();
    expect(await asked(member)).toEqual({
      compare: [],
      success: [{ from: "\0", to: "", revision: 0n, ...cheap }],
      failure: [{ from: "\0", to: "", revision: 0n, ...cheap }],
      token: undefined,
    });
  });

  test("of all keys from one on names them all", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    scene.read("", KeyRange.of(Buffer.from("k"), Uint8Array.of(0)));
    expect((await asked(member)).failure).toEqual([{ from: "k", to: "\0", revision: 0n, ...cheap }]);
  });

  test("ends with the answer's header, however large its numbers and however it is cut", async () => {
    using member = new StandInMember({
      answer(call) {
        call.stream.sendHeaders(RESPONSE_HEAD, false);
        for (const byte of framed(answer(2n ** 62n))) {
          call.sendBytes(Uint8Array.of(byte));
          call.connection.socket.flush();
        }
        finish(call, { code: Code.OK, message: "" });
      },
    });
    using scene = new ChannelScene([member]);
    expect(await scene.read().result).toBe(2n ** 62n);
  });

  test.each<Status>([
    { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" },
    { code: Code.UNAUTHENTICATED, message: "etcdserver: invalid auth token" },
    { code: Code.OUT_OF_RANGE, message: "etcdserver: mvcc: required revision has been compacted" },
    { code: Code.UNAVAILABLE, message: "etcdserver: leader changed" },
  ])("that the member refuses fails with its status, %o", async (status) => {
    using member = new StandInMember({ answer: (call) => call.fail(status) });
    using scene = new ChannelScene([member]);
    expect(await scene.read("alice.1").result).toEqual(status);
    expect(member.calls).toHaveLength(1);
  });

  test.each([
    ["is empty", framed("")],
    ["is nothing at all", new Uint8Array(0)],
    ["ends behind the header's tag", framed(Uint8Array.of(0x0a))],
    ["has a header that is cut short", framed(Uint8Array.of(0x0a, 0x05, 0x18, 0x01))],
    ["begins with something else", framed(Uint8Array.of(0x10, 0x01))],
  ])("whose answer %s fails with INTERNAL", async (_what, message) => {
    using member = new StandInMember({ answer: (call) => answerWith(call, message) });
    using scene = new ChannelScene([member]);
    expect(await scene.read().result).toEqual({
      code: Code.INTERNAL,
      message: "etcdproxy: the member's answer has no header",
    });
  });

  test("is made again elsewhere when the connection is lost", async () => {
    using first = new StandInMember({ answer: (call) => call.connection.cut() });
    using second = new StandInMember({ answer: (call) => answerWith(call, framed(answer(8n))) });
    using scene = new ChannelScene([first, second]);
    expect(await scene.read().result).toBe(8n);
    expect([first.calls.length, second.calls.length]).toEqual([1, 1]);
  });

  test("fails UNAVAILABLE when no member can be reached", async () => {
    using member = new StandInMember();
    member.down();
    using scene = new ChannelScene([member], { waiting: SOON });
    expect(await scene.read().result).toMatchObject({ code: Code.UNAVAILABLE });
  });
});
