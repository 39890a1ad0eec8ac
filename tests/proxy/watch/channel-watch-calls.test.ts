import { describe, expect, test } from "bun:test";
import { Code, RESPONSE_HEAD } from "../../../src/grpc/status.ts";
import { STREAM_WINDOW_BYTES } from "../../../src/http2/limits.ts";
import { WATCH } from "../../grpc/forwarding.ts";
import { framed, StandInMember } from "../../grpc/stand-in-member.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { answer, answerWith, ChannelScene, finish, HeardCall, NO_LEADER, SOON } from "./channel-scene.ts";

describe("a Watch call", () => {
  test("has the caller's token, and `hasleader` when a leader is required", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    for (const [token, requireLeader] of [
      ["", false],
      ["alice.1", true],
    ] as const) {
      new HeardCall(scene.calls, token, requireLeader);
    }
    await waitFor("both calls", () => member.calls.length === 2);
    const fields = member.calls.map((call) => [call.path, call.field("token"), call.field("hasleader")]);
    expect(fields).toEqual([
      [WATCH, undefined, undefined],
      [WATCH, "alice.1", "true"],
    ]);
  });

  test("sends what it was given before it reached the member, and what it is given later, in order", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const heard = new HeardCall(scene.calls);
    heard.call.send(Buffer.from("one"));
    heard.call.send(Buffer.from("two"));
    const requests = (...texts: readonly string[]) => Buffer.concat(texts.map((text) => framed(text)));
    const early = requests("one", "two");
    await waitFor("the early requests", () => member.calls[0]?.request.length === early.length);
    heard.call.send(Buffer.from("three"));
    const all = requests("one", "two", "three");
    await waitFor("the later request", () => member.calls[0]!.request.length === all.length);
    expect(Buffer.compare(member.calls[0]!.request, all)).toBe(0);
    expect(member.calls[0]!.requestEnded).toBe(false);
  });

  test("hears whole messages, however they are cut", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    const bytes = Buffer.concat([framed("first"), framed(""), framed("the third one")]);
    at.stream.sendHeaders(RESPONSE_HEAD, false);
    for (const byte of bytes) {
      at.sendBytes(Uint8Array.of(byte));
      at.connection.socket.flush();
    }
    await waitFor("the messages", () => heard.messages.length === 3);
    at.sendBytes(Buffer.concat([framed("fourth"), framed("fifth")]));
    await waitFor("two more", () => heard.messages.length === 5);
    expect(heard.texts).toEqual(["first", "", "the third one", "fourth", "fifth"]);
  });

  test("takes a message that is larger than its window", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    const large = new Uint8Array(5 * STREAM_WINDOW_BYTES).map((_, i) => i);
    at.stream.sendHeaders(RESPONSE_HEAD, false);
    at.sendBytes(framed(large));
    await waitFor("the large message", () => heard.messages.length === 1);
    expect(Buffer.compare(heard.messages[0]!, large)).toBe(0);
  });

  test("gives the member new credit for what was consumed, and for little else", async () => {
    using member = new StandInMember({ answer: (call) => answerWith(call, framed(answer(1n))) });
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    heard.consumes = false;
    const message = framed(new Uint8Array(1024));
    const [sent, windowful] = [2000, STREAM_WINDOW_BYTES / message.length];
    at.stream.sendHeaders(RESPONSE_HEAD, false);
    for (let i = 0; i < sent; i++) at.sendBytes(message);
    await waitFor("a windowful", () => heard.messages.length > 0.9 * windowful);
    // An answer behind it: what credit there was has come to the member.
    await scene.read().result;
    await scene.read().result;
    // Beside the window only prefixes and beginnings of messages that were cut.
    expect(heard.messages.length).toBeLessThan(1.25 * windowful);
    for (let consumed = 0; consumed < sent; consumed++) {
      await waitFor(`message ${consumed}`, () => heard.messages.length > consumed);
      heard.call.consume(1024);
    }
    expect(heard.messages).toHaveLength(sent);
    await waitFor("the window to be open", () => at.stream.sendWindowBytes >= STREAM_WINDOW_BYTES / 2);
    expect(at.stream.sendWindowBytes).toBeLessThanOrEqual(STREAM_WINDOW_BYTES);
  });

  test("ends with the member's status, once", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    at.sendMessage("created");
    const status = { code: Code.FAILED_PRECONDITION, message: "no more, 100%" };
    finish(at, status);
    expect(await heard.end).toEqual(status);
    heard.call.send(Buffer.from("late"));
    heard.call.cancel();
    expect([heard.texts, heard.ends]).toEqual([["created"], 1]);
  });

  test("ends with the member's status when that is all there is", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    const status = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };
    at.fail(status);
    expect(await heard.end).toEqual(status);
  });

  test("ends UNAVAILABLE when its connection is lost", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    at.connection.cut();
    const { code, message } = await heard.end;
    expect(code).toBe(Code.UNAVAILABLE);
    expect(message).toStartWith(`etcdproxy: ${member.endpoint.name}: `);
  });

  test("ends INTERNAL with the member's name when a message is compressed", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    at.stream.sendHeaders(RESPONSE_HEAD, false);
    at.sendBytes(Uint8Array.of(1, 0, 0, 0, 1, 0));
    expect(await heard.end).toEqual({
      code: Code.INTERNAL,
      message: `etcdproxy: ${member.endpoint.name}: an answer of Watch is compressed`,
    });
    await waitFor("the member to hear of it", () => at.reset !== undefined);
  });

  test("ends RESOURCE_EXHAUSTED when a message is above the limit", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member], { receiveBytesMax: 10 });
    const [heard, at] = await scene.open(member);
    at.sendMessage("ten bytes.");
    at.sendBytes(framed("eleven byte"));
    expect((await heard.end).code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(heard.texts).toEqual(["ten bytes."]);
  });

  test("that is cancelled is reset at the member, and hears no more", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    heard.call.cancel();
    await waitFor("the reset", () => at.reset !== undefined);
    heard.call.cancel();
    heard.call.consume(10);
    expect([heard.messages, heard.ends]).toEqual([[], 0]);
  });

  test("that is cancelled by a message hears of none behind it", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const [heard, at] = await scene.open(member);
    heard.onResponse = (bytes, start, end) => {
      heard.messages.push(bytes.slice(start, end));
      heard.call.cancel();
    };
    at.stream.sendHeaders(RESPONSE_HEAD, false);
    at.sendBytes(Buffer.concat([framed("one"), framed("two")]));
    await waitFor("the reset", () => at.reset !== undefined);
    expect([heard.texts, heard.ends]).toEqual([["one"], 0]);
  });
});

describe("a Watch call that finds no member", () => {
  /** An endpoint that takes no connection. */
  function gone(): StandInMember {
    const member = new StandInMember();
    member.down();
    return member;
  }

  test("ends UNAVAILABLE with the endpoints' names once it has waited", async () => {
    using member = gone();
    using scene = new ChannelScene([member], { waiting: SOON });
    const heard = new HeardCall(scene.calls);
    heard.call.send(Buffer.from("create"));
    const { code, message } = await heard.end;
    expect(code).toBe(Code.UNAVAILABLE);
    expect(message).toContain(member.endpoint.name);
    expect(scene.forwarding.channel.waitingCalls).toBe(0);
  });

  test("hears that only after it was opened, though nothing may wait any more", async () => {
    using member = gone();
    using scene = new ChannelScene([member], { waiting: { ...SOON, heldBytesMax: 0 } });
    const heard = new HeardCall(scene.calls);
    expect(heard.ends).toBe(0);
    expect((await heard.end).code).toBe(Code.UNAVAILABLE);
  });

  test("hears nothing once it was cancelled", async () => {
    using member = gone();
    using scene = new ChannelScene([member], { waiting: { ...SOON, heldBytesMax: 0 } });
    const [given, up] = [new HeardCall(scene.calls), new HeardCall(scene.calls)];
    given.call.cancel();
    await up.end;
    expect(given.ends).toBe(0);
  });

  test("waits no longer once it was cancelled", () => {
    using member = gone();
    using scene = new ChannelScene([member]);
    const heard = new HeardCall(scene.calls);
    expect(scene.forwarding.channel.waitingCalls).toBe(1);
    heard.call.cancel();
    expect(scene.forwarding.channel.waitingCalls).toBe(0);
  });
});

describe("a Watch call whose channel has gone to another connection", () => {
  test("is told so once, and goes on", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new ChannelScene([first, second]);
    const [heard, at] = await scene.open(first);
    at.sendMessage("created");
    scene.calls.onConnected();
    expect(heard.superseded).toBe(0);
    const leaving = new HeardCall(scene.calls);
    await waitFor("the other call", () => first.calls.length === 2);
    first.calls[1]!.fail(NO_LEADER);
    await leaving.end;
    await scene.forwarding.connectedTo(second);
    scene.calls.onConnected();
    scene.calls.onConnected();
    expect([heard.superseded, heard.ends, leaving.superseded]).toEqual([1, 0, 0]);
    at.sendBytes(framed("an event"));
    await waitFor("the event", () => heard.messages.length === 2);
    expect(heard.texts).toEqual(["created", "an event"]);
  });

  test("is not told so while it waits, nor after it has ended", async () => {
    using member = new StandInMember();
    using scene = new ChannelScene([member]);
    const waiting = new HeardCall(scene.calls);
    scene.calls.onConnected();
    await waitFor("the call", () => member.calls.length === 1);
    waiting.call.cancel();
    member.connections[0]!.cut();
    await waitFor("the loss", () => scene.forwarding.events.some((event) => event.startsWith("down")));
    scene.calls.onConnected();
    expect(waiting.superseded).toBe(0);
  });
});

describe("a member", () => {
  test("without a leader is left for another, and the call ends", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new ChannelScene([first, second]);
    const [heard, at] = await scene.open(first);
    at.sendMessage("created");
    finish(at, NO_LEADER);
    expect(await heard.end).toEqual(NO_LEADER);
    await scene.forwarding.connectedTo(second);
    await scene.open(second);
  });

  test("that is no etcd is left for another, and the call ends", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new ChannelScene([first, second]);
    const [heard, at] = await scene.open(first);
    at.answerHttp(200, "text/html");
    expect((await heard.end).code).toBe(Code.UNKNOWN);
    await scene.forwarding.connectedTo(second);
  });

  test("that ends a call for any other reason is kept", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new ChannelScene([first, second]);
    const [heard, at] = await scene.open(first);
    at.fail({ code: Code.UNAVAILABLE, message: "etcdserver: leader changed" });
    await heard.end;
    await scene.open(first);
    expect(second.calls).toEqual([]);
  });
});
