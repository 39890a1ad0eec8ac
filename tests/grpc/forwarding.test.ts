/** Forwarded calls when members fail: what is repeated, where, and what the client hears (architecture §4). */
import { describe, expect, test } from "bun:test";
import { Code, RESPONSE_HEAD, type Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/http2/error-code.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ended, Forwarding, READ, WATCH, WRITE } from "./forwarding.ts";
import { framed, type StandInCall, StandInMember } from "./stand-in-member.ts";

const OK = { code: Code.OK, message: "" };
const answerOk = (call: StandInCall): void => call.answer("done");
const cut = (call: StandInCall): void => call.connection.cut();
const refuse = (call: StandInCall): void => call.stream.reset(ErrorCode.REFUSED_STREAM);
const failing =
  (status: Status) =>
  (call: StandInCall): void =>
    call.fail(status);

const KINDS = [
  ["read", READ],
  ["write", WRITE],
] as const;

describe("a connection that is lost", () => {
  test("before the answer begins repeats a read at the next endpoint", async () => {
    using first = new StandInMember({ answer: cut });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    const call = proxy.single(READ);
    expect([await ended(call), call.answerText]).toEqual([OK, "done"]);
    expect([first.calls.length, second.calls.length]).toEqual([1, 1]);
  });

  test("again and again repeats a read once per endpoint", async () => {
    using first = new StandInMember({ answer: cut });
    using second = new StandInMember({ answer: cut });
    using proxy = new Forwarding([first, second]);
    expect((await ended(proxy.single(READ))).code).toBe(Code.UNAVAILABLE);
    expect([first.calls.length, second.calls.length]).toEqual([2, 1]);
  });

  test("behind the head of an answer repeats a read unseen by its client", async () => {
    using first = new StandInMember({
      answer(call) {
        call.stream.sendHeaders(RESPONSE_HEAD, false);
        call.connection.socket.flush();
        cut(call);
      },
    });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    const call = proxy.single(READ);
    expect(await ended(call)).toEqual(OK);
    expect(call.heads).toHaveLength(1);
  });

  test("behind the first byte of an answer never repeats a read", async () => {
    using first = new StandInMember();
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    const call = proxy.single(READ, {}, undefined, false);
    const atMember = await first.call(0);
    atMember.sendMessage("half an ans");
    await waitFor("the first bytes", () => call.answerBytes.length > 0);
    atMember.connection.cut();
    expect(await ended(call)).toMatchObject({ code: Code.UNAVAILABLE });
    await proxy.connectedTo(second);
    expect(second.calls).toEqual([]);
  });

  test("ends a write UNAVAILABLE with the endpoint's name, sent at most once", async () => {
    using first = new StandInMember({ answer: cut });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    const { code, message } = await ended(proxy.single(WRITE));
    expect(code).toBe(Code.UNAVAILABLE);
    expect(message).toStartWith(`etcdproxy: ${first.endpoint.name}: `);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect([first.calls.length, second.calls.length]).toEqual([1, 1]);
  });

  test("ends a watch UNAVAILABLE", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const watch = proxy.stream(WATCH);
    await waitFor("the watch", () => member.calls.length === 1);
    member.connections[0]!.cut();
    expect((await ended(watch)).code).toBe(Code.UNAVAILABLE);
  });
});

describe("a call that provably never ran", () => {
  test.each(KINDS)("since its stream was refused is repeated when it is a %s", async (_kind, path) => {
    using member = new StandInMember({
      answer: (call) => (member.calls.length === 1 ? refuse(call) : answerOk(call)),
    });
    using proxy = new Forwarding([member]);
    expect(await ended(proxy.single(path))).toEqual(OK);
    expect(member.calls).toHaveLength(2);
  });

  test.each(KINDS)(
    "since it is above GOAWAY's last stream id is repeated when it is a %s",
    async (_kind, path) => {
      using member = new StandInMember({
        answer: (call) => (member.calls.length === 1 ? call.connection.goAway(0) : answerOk(call)),
      });
      using proxy = new Forwarding([member]);
      expect(await ended(proxy.single(path))).toEqual(OK);
      expect(member.calls).toHaveLength(2);
    },
  );

  test("is not repeated for ever", async () => {
    using member = new StandInMember({ answer: refuse });
    using proxy = new Forwarding([member]);
    expect((await ended(proxy.single(WRITE))).code).toBe(Code.UNAVAILABLE);
    expect(member.calls).toHaveLength(6);
  });

  test("is repeated when it is a watch, from its first byte, and its client's credit is given once", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const watch = proxy.stream(WATCH);
    const create = framed("create");
    watch.receiver.onRequestBytes(create, 0, create.length);
    await waitFor("the request", () => member.calls[0]?.request.length === create.length);
    refuse(member.calls[0]!);
    await waitFor("the repeat", () => member.calls[1]?.request.length === create.length);
    expect(Buffer.from(member.calls[1]!.request).equals(create)).toBe(true);
    expect(watch.consumedBytes).toBe(create.length);
    member.calls[1]!.answer("created");
    expect([await ended(watch), watch.answerText]).toEqual([OK, "created"]);
  });

  test("is not repeated when it is a watch whose answer has begun", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const watch = proxy.stream(WATCH);
    await waitFor("the watch", () => member.calls.length === 1);
    member.calls[0]!.sendMessage("created");
    await waitFor("the answer", () => watch.answerBytes.length > 0);
    member.connections[0]!.goAway(0);
    expect((await ended(watch)).code).toBe(Code.UNAVAILABLE);
    expect(member.calls).toHaveLength(1);
  });
});

describe.each(["stream", "server stream"] as const)("an endless call, a %s, that is dismissed", (kind) => {
  const GO_ON: Status = { code: Code.UNAVAILABLE, message: "go on elsewhere" };

  test("ends at once between two messages, and at the member", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const { call, forward } = proxy.endless(kind);
    (await waitFor("the call", () => member.calls[0])).sendMessage("first");
    await waitFor("the answer", () => call.answerText === "first");
    forward.dismiss(GO_ON);
    expect([await ended(call), forward.finished]).toEqual([GO_ON, true]);
    await waitFor(
      "the member's call to be cancelled",
      () => member.calls[0]?.reset?.code === ErrorCode.CANCEL,
    );
  });

  test("ends behind the message under way, and gets nothing of the next", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const { call, forward } = proxy.endless(kind);
    const first = framed("in two pieces");
    const memberCall = await waitFor("the call", () => member.calls[0]);
    memberCall.stream.sendHeaders(RESPONSE_HEAD, false);
    memberCall.sendBytes(first.subarray(0, 7));
    await waitFor("its beginning", () => call.answerBytes.length === 7);
    forward.dismiss(GO_ON);
    expect(call.finished).toBe(false);
    memberCall.sendBytes(Buffer.concat([first.subarray(7), framed("next")]));
    expect(await ended(call)).toEqual(GO_ON);
    expect(Buffer.from(call.answerBytes).equals(first)).toBe(true);
    await waitFor("the member's call to be cancelled", () => memberCall.reset?.code === ErrorCode.CANCEL);
  });
});

describe("a member that refuses to serve", () => {
  const refusals = ["etcdserver: no leader", "etcdserver: server stopped"];

  test.each(refusals)("with %p is left, and a read is repeated elsewhere", async (message) => {
    using first = new StandInMember({ answer: failing({ code: Code.UNAVAILABLE, message }) });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    expect(await ended(proxy.single(READ))).toEqual(OK);
    expect([first.calls.length, second.calls.length]).toEqual([1, 1]);
    expect(proxy.events.at(-1)).toBe(`up ${second.endpoint.name}`);
    expect([first.accepted, second.accepted]).toEqual([1, 1]);
  });

  test.each(refusals)("with %p is left, and a write is answered as it is", async (message) => {
    using first = new StandInMember({ answer: failing({ code: Code.UNAVAILABLE, message }) });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    expect(await ended(proxy.single(WRITE))).toEqual({ code: Code.UNAVAILABLE, message });
    await proxy.connectedTo(second);
    expect(second.calls).toEqual([]);
  });

  test("everywhere ends a read with the refusal, sent once per endpoint", async () => {
    const status = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
    using first = new StandInMember({ answer: failing(status) });
    using second = new StandInMember({ answer: failing(status) });
    using proxy = new Forwarding([first, second]);
    expect(await ended(proxy.single(READ))).toEqual(status);
    expect([first.calls.length, second.calls.length]).toEqual([2, 1]);
  });

  test("holds up no call that does not wait for another member", async () => {
    using first = new StandInMember({
      answer: (call) =>
        call.path === READ
          ? call.fail({ code: Code.UNAVAILABLE, message: "etcdserver: no leader" })
          : call.answer("done"),
    });
    using silent = new StandInMember({ instead: new Uint8Array(0) });
    using proxy = new Forwarding([first, silent]);
    const read = proxy.single(READ);
    await waitFor("the read to wait", () => proxy.channel.waitingCalls === 1);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(proxy.channel.waitingCalls).toBe(1);
    read.receiver.onCancel("seen enough");
  });

  test.each(["etcdserver: leader changed", "etcdserver: request timed out"])(
    "one request with %p is kept",
    async (message) => {
      using first = new StandInMember({ answer: failing({ code: Code.UNAVAILABLE, message }) });
      using second = new StandInMember({ answer: answerOk });
      using proxy = new Forwarding([first, second]);
      expect(await ended(proxy.single(READ))).toEqual({ code: Code.UNAVAILABLE, message });
      expect((await ended(proxy.single(READ))).message).toBe(message);
      expect([first.calls.length, second.accepted]).toEqual([2, 0]);
    },
  );
});

describe("what answers and is no etcd member", () => {
  const cases: readonly (readonly [what: string, code: number, answer: (call: StandInCall) => void])[] = [
    ["HTTP status 404", Code.UNIMPLEMENTED, (call) => call.answerHttp(404, "text/plain")],
    ["HTTP status 503", Code.UNAVAILABLE, (call) => call.answerHttp(503, "text/html")],
    ["a page", Code.UNKNOWN, (call) => call.answerHttp(200, "text/html")],
    ["a head without grpc-status", Code.UNKNOWN, (call) => call.stream.sendHeaders(RESPONSE_HEAD, true)],
    [
      "trailers without grpc-status",
      Code.UNKNOWN,
      (call) => {
        call.sendMessage("answer");
        call.stream.sendTrailers([]);
      },
    ],
    [
      "messages without trailers",
      Code.UNKNOWN,
      (call) => {
        call.sendMessage("answer");
        call.stream.sendEnd();
      },
    ],
  ];

  test.each(cases)(
    "but answers with %s gives the call its code, and is left",
    async (_what, code, answer) => {
      using first = new StandInMember({ answer });
      using second = new StandInMember({ answer: answerOk });
      using proxy = new Forwarding([first, second]);
      const status = await ended(proxy.single(WRITE));
      expect(status.code).toBe(code);
      expect(status.message).toStartWith(`etcdproxy: ${first.endpoint.name}: `);
      await proxy.connectedTo(second);
      expect(await ended(proxy.single(WRITE))).toEqual(OK);
    },
  );
});

describe("message limits", () => {
  test("a request message above --max-send-bytes never leaves", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member], { limits: { sendBytesMax: 10 } });
    await proxy.connectedTo(member);
    const tooLong = framed("eleven byte");
    const status = {
      code: Code.RESOURCE_EXHAUSTED,
      message: "grpc: trying to send message larger than max (11 vs. 10)",
    };
    expect(await ended(proxy.single(WRITE, {}, tooLong))).toEqual(status);
    expect(member.calls).toEqual([]);
    const watch = proxy.stream(WATCH);
    watch.receiver.onRequestBytes(tooLong, 0, tooLong.length);
    expect(await ended(watch)).toEqual(status);
    await waitFor("the watch to be cancelled", () => member.calls[0]?.reset?.code === ErrorCode.CANCEL);
  });

  test.each([
    ["unary", READ],
    ["streamed", WATCH],
  ])("an answer message above --max-recv-bytes ends a %s call", async (_kind, path) => {
    using member = new StandInMember();
    using proxy = new Forwarding([member], { limits: { receiveBytesMax: 10 } });
    const call = path === WATCH ? proxy.stream(path) : proxy.single(path);
    await waitFor("the call", () => member.calls.length === 1);
    member.calls[0]!.sendMessage("eleven byte");
    expect(await ended(call)).toEqual({
      code: Code.RESOURCE_EXHAUSTED,
      message: "grpc: received message larger than max (11 vs. 10)",
    });
    await waitFor(
      "the upstream call to be cancelled",
      () => member.calls[0]!.reset?.code === ErrorCode.CANCEL,
    );
  });

  test("messages of just the limits pass", async () => {
    using member = new StandInMember({ answer: (call) => call.answer("ten bytes.") });
    using proxy = new Forwarding([member], { limits: { receiveBytesMax: 10, sendBytesMax: 10 } });
    expect(await ended(proxy.single(WRITE, {}, framed("ten bytes.")))).toEqual(OK);
  });
});

describe("cancel", () => {
  test("of a call under way cancels it at the member", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const call = proxy.single(READ);
    await member.call(0);
    call.receiver.onCancel("client went away");
    await waitFor("the reset", () => member.calls[0]!.reset?.code === ErrorCode.CANCEL);
  });

  test("is what a request gets whose answer is whole before it is", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    const watch = proxy.stream(WATCH);
    await waitFor("the watch", () => member.calls.length === 1);
    member.calls[0]!.fail({ code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" });
    expect((await ended(watch)).code).toBe(Code.PERMISSION_DENIED);
    await waitFor("the stream to go", () => member.connections[0]!.http2.streams.size === 0);
  });
});

test("a client that does not read stops the member's stream, and only that", async () => {
  using member = new StandInMember();
  using proxy = new Forwarding([member]);
  const stalled = proxy.single(READ);
  stalled.takesAnswer = false;
  const atMember = await member.call(0);
  atMember.sendMessage("");
  const plenty = new Uint8Array(1 << 20);
  atMember.sendBytes(plenty);
  await waitFor("a full stream window", () => stalled.answerBytes.length >= 256 * 1024 - 16_384);
  const other = proxy.single(READ);
  const otherAtMember = await member.call(1);
  otherAtMember.answer("x".repeat(1 << 20));
  expect(await ended(other)).toEqual(OK);
  expect(atMember.stream.queuedBytes).toBeGreaterThanOrEqual(plenty.length - 256 * 1024);
  stalled.takesAnswer = true;
  stalled.receiver.onAnswerSent(stalled.answerBytes.length);
  await waitFor("the rest", () => atMember.stream.queuedBytes === 0);
  stalled.receiver.onCancel("done");
});
