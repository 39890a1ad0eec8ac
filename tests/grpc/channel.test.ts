/** The channel against members that go away, fill up, fall silent or are none (architecture §4). */
import { describe, expect, test } from "bun:test";
import { Code } from "../../src/grpc/status.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ended, Forwarding, READ, WATCH, WRITE } from "./forwarding.ts";
import { framed, type StandInCall, StandInMember } from "./stand-in-member.ts";

const OK = { code: Code.OK, message: "" };
const answerOk = (call: StandInCall): void => call.answer("done");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a member that is no use", () => {
  const cases: readonly (readonly [what: string, instead: Uint8Array])[] = [
    ["answers in HTTP/1.1", bytes("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")],
    ["answers with garbage", new Uint8Array(64).fill(0xa5)],
    ["accepts and never sends SETTINGS", new Uint8Array(0)],
  ];
  test.each(cases)("and %s is passed over for the next", async (_what, instead) => {
    using bad = new StandInMember({ instead });
    using good = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([bad, good], { dialTimeoutMs: 100 });
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(proxy.events).toEqual([`down ${bad.endpoint.name}`, `up ${good.endpoint.name}`]);
  });

  test("and does not listen is passed over for the next", async () => {
    using bad = new StandInMember();
    bad.down();
    using good = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([bad, good]);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
  });

  test("is told of once, and again when it fails for another reason", async () => {
    using gone = new StandInMember({ instead: new Uint8Array(64).fill(0xa5) });
    using proxy = new Forwarding([gone], { dialTimeoutMs: 100 });
    const { name } = gone.endpoint;
    await waitFor("the second failure", () => proxy.events.length >= 2);
    expect(proxy.events.slice(0, 2)).toEqual([`down ${name}`, `still down ${name}`]);
    gone.down();
    await waitFor("the other reason", () => proxy.events.slice(2).includes(`down ${name}`));
    const told = proxy.events.length;
    await waitFor("two more failures", () => proxy.events.length >= told + 2);
    expect(proxy.events.slice(-2)).toEqual([`still down ${name}`, `still down ${name}`]);
  });

  test("is dialled again for as long as there is no other", async () => {
    using gone = new StandInMember();
    gone.down();
    using proxy = new Forwarding([gone]);
    const call = proxy.single(WRITE);
    await waitFor("the first failure", () => proxy.events.length > 0);
    using _back = new StandInMember({ answer: answerOk, port: gone.endpoint.port });
    expect(await ended(call)).toEqual(OK);
  });
});

describe("a member that takes connections and no calls", () => {
  test("is left when its connections end as they are made, for another", async () => {
    const limits: string[] = [];
    using bad = new StandInMember();
    using good = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([bad, good]);
    const rounds = setInterval(() => {
      for (const connection of bad.connections) connection.goAway(0);
    }, 1);
    try {
      proxy.onLimit = (limit) => limits.push(limit);
      await waitFor("the other member", () => proxy.events.at(-1) === `up ${good.endpoint.name}`);
    } finally {
      clearInterval(rounds);
    }
    expect(limits).toEqual(["reconnects"]);
    // The first one, and as many again as may be made at once.
    expect(bad.accepted).toBe(11);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
  });

  test("is left for another when it takes no stream at all", async () => {
    using bad = new StandInMember({ concurrentStreamsMax: 0 });
    using good = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([bad, good]);
    await proxy.connectedTo(bad);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(bad.accepted).toBe(1);
  });
});

test("the endpoint in use, and the connections to it, are told", async () => {
  using gone = new StandInMember();
  gone.down();
  using member = new StandInMember({ concurrentStreamsMax: 1 });
  using proxy = new Forwarding([gone, member]);
  expect([proxy.channel.endpointInUse, proxy.channel.connectionsOpen]).toEqual([null, 0]);
  await proxy.connectedTo(member);
  expect([proxy.channel.endpointInUse, proxy.channel.connectionsOpen]).toEqual([member.endpoint, 1]);
  proxy.single(WRITE);
  proxy.single(WRITE);
  expect(proxy.channel.connectionsOpen).toBe(1);
  await member.call(1);
  expect(proxy.channel.connectionsOpen).toBe(2);
});

describe("a member that goes away in good order", () => {
  test("is dialled again first, and no call fails", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using proxy = new Forwarding([first, second]);
    const under = proxy.single(WRITE);
    const underWay = await first.call(0);
    first.connections[0]!.goAway(underWay.stream.id);
    await waitFor("the second connection", () => proxy.events.length === 2);
    const later = proxy.single(WRITE);
    (await first.call(1)).answer("later");
    underWay.answer("earlier");
    expect([await ended(under), await ended(later)]).toEqual([OK, OK]);
    expect([under.answerText, later.answerText]).toEqual(["earlier", "later"]);
    expect([first.accepted, second.accepted]).toEqual([2, 0]);
  });

  test("and stays away is followed by another", async () => {
    using first = new StandInMember();
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    await proxy.connectedTo(first);
    first.connections[0]!.goAway(0);
    first.down();
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(proxy.events.at(-1)).toBe(`up ${second.endpoint.name}`);
  });
});

describe("a member's MAX_CONCURRENT_STREAMS", () => {
  test("smaller than the load makes further connections, and every call succeeds", async () => {
    using member = new StandInMember({ concurrentStreamsMax: 3, answer: answerOk });
    using proxy = new Forwarding([member]);
    const calls = Array.from({ length: 100 }, () => proxy.single(WRITE));
    expect(await Promise.all(calls.map(ended))).toEqual(calls.map(() => OK));
  });

  test("that long calls fill up is met with as many connections as they need", async () => {
    using member = new StandInMember({ concurrentStreamsMax: 2 });
    using proxy = new Forwarding([member]);
    await proxy.connectedTo(member);
    for (let i = 0; i < 9; i++) proxy.stream(WATCH);
    await waitFor("nine calls under way", () => member.calls.length === 9);
    expect(member.connections.map(({ http2 }) => http2.streams.size)).toEqual([2, 2, 2, 2, 1]);
  });

  test("beyond what connections can carry lets calls wait, in order, until others have ended", async () => {
    using member = new StandInMember({ concurrentStreamsMax: 1 });
    using proxy = new Forwarding([member]);
    const calls = Array.from({ length: 20 }, () => proxy.single(WRITE));
    await waitFor("sixteen calls under way", () => member.calls.length === 16);
    expect(proxy.channel.waitingCalls).toBe(4);
    for (let i = 0; i < 20; i++) (await member.call(i)).answer(`${i}`);
    await Promise.all(calls.map(ended));
    expect(calls.slice(16).map(({ answerText }) => answerText)).toEqual(["16", "17", "18", "19"]);
  });

  test("that stays reached turns a call away with that reason", async () => {
    using member = new StandInMember({ concurrentStreamsMax: 1 });
    const waiting = { waitMs: 50, marginMs: 100, heldBytesMax: 1 << 20 };
    using proxy = new Forwarding([member], { waiting });
    for (let i = 0; i < 16; i++) proxy.stream(WATCH);
    await waitFor("sixteen calls under way", () => member.calls.length === 16);
    expect(await ended(proxy.single(READ))).toEqual({
      code: Code.UNAVAILABLE,
      message: `etcdproxy: no member can be reached (${member.endpoint.name}: takes no more calls at once)`,
    });
  });
});

test("a connection near its last stream id is replaced without a failed call", async () => {
  using member = new StandInMember({ answer: answerOk });
  const idsLeft = 10;
  using proxy = new Forwarding([member], { firstStreamId: 0x7fff_ffff - 2 * (idsLeft - 1) });
  await proxy.connectedTo(member);
  const calls = Array.from({ length: 50 }, () => proxy.single(WRITE));
  expect(await Promise.all(calls.map(ended))).toEqual(calls.map(() => OK));
  expect(member.calls.map(({ connection }) => member.connections.indexOf(connection))).toEqual([
    ...Array<number>(idsLeft).fill(0),
    ...Array<number>(50 - idsLeft).fill(1),
  ]);
  await waitFor("the old connection to end", () => member.connections[0]!.http2.ended);
});

describe("while no endpoint can be reached", () => {
  const waiting = { waitMs: 200, marginMs: 100, heldBytesMax: 4096 };

  function nobody(): { proxy: Forwarding; names: readonly string[] } {
    const members = [new StandInMember(), new StandInMember()];
    for (const member of members) member.down();
    return {
      proxy: new Forwarding(members, { waiting }),
      names: members.map(({ endpoint }) => endpoint.name),
    };
  }

  test("a call ends UNAVAILABLE with every endpoint and its reason", async () => {
    const { proxy, names } = nobody();
    using _ = proxy;
    const { code, message } = await ended(proxy.single(READ));
    expect(code).toBe(Code.UNAVAILABLE);
    expect(message).toBe(
      `etcdproxy: no member can be reached (${names.map((name) => `${name}: connection refused`).join("; ")})`,
    );
  });

  test("a call hears of it before its deadline", async () => {
    using gone = new StandInMember();
    gone.down();
    using proxy = new Forwarding([gone], { waiting: { ...waiting, waitMs: 60_000, marginMs: 59_900 } });
    const call = proxy.single(WRITE, { timeoutMs: 60_000 });
    expect((await ended(call)).code).toBe(Code.UNAVAILABLE);
    expect(performance.now()).toBeLessThan(call.deadlineMs);
  });

  test("the calls that wait are bounded in bytes", async () => {
    const { proxy } = nobody();
    using _ = proxy;
    const fits = proxy.single(WRITE, {}, framed(new Uint8Array(2000)));
    const tooMany = proxy.single(WRITE, {}, framed(new Uint8Array(2000)));
    expect(proxy.channel.waitingCalls).toBe(1);
    expect(await ended(tooMany)).toEqual({
      code: Code.UNAVAILABLE,
      message: "etcdproxy: no member can be reached, and too many calls are waiting for one",
    });
    expect((await ended(fits)).message).toContain("connection refused");
  });

  test("a call that its client cancels waits no longer", () => {
    const { proxy } = nobody();
    using _ = proxy;
    const call = proxy.single(READ);
    call.receiver.onCancel("cancelled");
    expect(proxy.channel.waitingCalls).toBe(0);
  });
});

test("the client's deadline goes upstream less the time that has passed", async () => {
  using member = new StandInMember();
  using proxy = new Forwarding([member]);
  const call = proxy.single(READ, { timeoutMs: 60_000 });
  const timeout = (await member.call(0)).field("grpc-timeout");
  expect(timeout).toMatch(/^[0-9]{8}u$/);
  expect(Number.parseInt(timeout!)).toBeLessThan(60_000_000);
  expect(Number.parseInt(timeout!)).toBeGreaterThan(0);
  call.receiver.onCancel("seen");
});

test("a call without a deadline goes upstream without one", async () => {
  using member = new StandInMember();
  using proxy = new Forwarding([member]);
  proxy.single(READ);
  expect((await member.call(0)).field("grpc-timeout")).toBeUndefined();
});
