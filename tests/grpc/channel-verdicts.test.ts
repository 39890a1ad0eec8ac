/** The channel when checks speak against members, when its list changes, and when calls are spread. */
import { describe, expect, test } from "bun:test";
import type { Verdict } from "../../src/endpoints/endpoint-report.ts";
import { Code } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/http2/error-code.ts";
import type { Upstream } from "../../src/grpc/upstream.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ended, Forwarding, READ, WATCH, WRITE } from "./forwarding.ts";
import { type StandInCall, StandInMember } from "./stand-in-member.ts";

const OK = { code: Code.OK, message: "" };
const FIT: Verdict = { kind: "fit", latencyMs: 1 };
const LEADERLESS: Verdict = { kind: "unfit", reason: "has no leader" };
const SILENT: Verdict = { kind: "silent", reason: "no answer to a check", refused: false };
const answerOk = (call: StandInCall): void => call.answer("done");

/** A connection of the channel to `member`, lent as to a check. */
function lent(proxy: Forwarding, member: StandInMember): Promise<Upstream> {
  return new Promise((resolve, reject) => {
    proxy.channel.use(member.endpoint, {
      onReady: resolve,
      onFailed: (reason) => {
        reject(new Error(reason));
      },
    });
  });
}

describe("a verdict against the member in use", () => {
  test("that is silent turns to a fit one: a read that waits is repeated there, a write is told as lost", async () => {
    using silent = new StandInMember();
    using other = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([silent, other]);
    await proxy.connectedTo(silent);
    const read = proxy.single(READ);
    const write = proxy.single(WRITE);
    await silent.call(1);
    proxy.channel.judge(silent.endpoint, SILENT);
    await proxy.connectedTo(other);
    expect(await ended(read)).toEqual(OK);
    expect(await ended(write)).toEqual({
      code: Code.UNAVAILABLE,
      message: `etcdproxy: ${silent.endpoint.name}: no answer to a check`,
    });
  });

  test("that is unfit has reads that wait there asked of the fit one", async () => {
    using leaderless = new StandInMember();
    using other = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([leaderless, other]);
    await proxy.connectedTo(leaderless);
    const read = proxy.single(READ);
    await leaderless.call(0);
    proxy.channel.judge(leaderless.endpoint, LEADERLESS);
    expect(await ended(read)).toEqual(OK);
    await waitFor("the cancel of the first", () => leaderless.calls[0]!.reset !== undefined);
    expect(other.calls).toHaveLength(1);
  });

  test("that is silent ends its calls where it was set aside before as well", async () => {
    using silent = new StandInMember();
    using gone = new StandInMember();
    gone.down();
    using proxy = new Forwarding([silent, gone]);
    await proxy.connectedTo(silent);
    const write = proxy.single(WRITE);
    await silent.call(0);
    proxy.channel.leave(await lent(proxy, silent), "etcdserver: no leader");
    await waitFor("the failure", () => proxy.events.includes(`down ${gone.endpoint.name}`));
    proxy.channel.judge(silent.endpoint, SILENT);
    using risen = new StandInMember({ answer: answerOk, port: gone.endpoint.port });
    proxy.channel.judge(risen.endpoint, FIT);
    await proxy.connectedTo(risen);
    expect((await ended(write)).message).toContain("no answer to a check");
  });

  test("that answers, but is unfit, leaves it the writes that it has", async () => {
    using leaderless = new StandInMember();
    using other = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([leaderless, other]);
    await proxy.connectedTo(leaderless);
    const write = proxy.single(WRITE);
    await leaderless.call(0);
    proxy.channel.judge(leaderless.endpoint, LEADERLESS);
    await proxy.connectedTo(other);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    leaderless.calls[0]!.answer("late");
    expect(await ended(write)).toEqual(OK);
  });

  test("changes nothing where no other member is better", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    await proxy.connectedTo(first);
    proxy.channel.judge(second.endpoint, LEADERLESS);
    proxy.channel.judge(first.endpoint, LEADERLESS);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(proxy.events).toEqual([`up ${first.endpoint.name}`]);
  });

  test("is followed as soon as another one passes again", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    await proxy.connectedTo(first);
    proxy.channel.judge(second.endpoint, SILENT);
    proxy.channel.judge(first.endpoint, LEADERLESS);
    proxy.channel.judge(second.endpoint, FIT);
    await proxy.connectedTo(second);
  });
});

describe("the only member, when it has been silent", () => {
  test("is checked on a new connection, which calls use as soon as it passes; reads are repeated there", async () => {
    using member = new StandInMember();
    using proxy = new Forwarding([member]);
    await proxy.connectedTo(member);
    const read = proxy.single(READ);
    await member.call(0);
    proxy.channel.judge(member.endpoint, SILENT);
    const fresh = await lent(proxy, member);
    expect(member.accepted).toBe(2);
    proxy.channel.judge(member.endpoint, FIT);
    expect(proxy.channel.uses(fresh)).toBe(true);
    (await member.call(1)).answer("done");
    expect(await ended(read)).toEqual(OK);
  });
});

describe("a connection that stands by", () => {
  test("is taken when the channel turns to its member: nobody dials again", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    await proxy.connectedTo(first);
    await lent(proxy, second);
    proxy.channel.judge(first.endpoint, LEADERLESS);
    // At once: without a turn of the event loop.
    expect(proxy.events.at(-1)).toBe(`up ${second.endpoint.name}`);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(second.accepted).toBe(1);
  });

  test("is the one that calls use where its member is in use", async () => {
    using member = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([member]);
    await proxy.connectedTo(member);
    expect(proxy.channel.uses(await lent(proxy, member))).toBe(true);
    expect(member.accepted).toBe(1);
  });

  test("is made again when it was lost, and ends when its member falls silent", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second]);
    await proxy.connectedTo(first);
    const before = await lent(proxy, second);
    second.connections[0]!.cut();
    await waitFor("its end", () => !before.ready);
    const again = await lent(proxy, second);
    expect(again).not.toBe(before);
    proxy.channel.judge(second.endpoint, SILENT);
    expect(again.ready).toBe(false);
  });

  test("that cannot be made is told with its reason", async () => {
    using first = new StandInMember({ answer: answerOk });
    using gone = new StandInMember();
    gone.down();
    using proxy = new Forwarding([first, gone]);
    await proxy.connectedTo(first);
    await expect(lent(proxy, gone)).rejects.toThrow("connection refused");
  });
});

describe("another list of endpoints", () => {
  test("without the member in use turns to one that is listed; its calls end in peace", async () => {
    using gone = new StandInMember();
    using added = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([gone]);
    await proxy.connectedTo(gone);
    const watch = proxy.stream(WATCH);
    await waitFor("the watch", () => gone.calls.length === 1);
    proxy.channel.replaceEndpoints([added.endpoint]);
    await proxy.connectedTo(added);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    gone.calls[0]!.fail({ code: Code.UNAVAILABLE, message: "bye" });
    expect(await ended(watch)).toEqual({ code: Code.UNAVAILABLE, message: "bye" });
  });

  test("with the member in use keeps it", async () => {
    using kept = new StandInMember({ answer: answerOk });
    using added = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([kept]);
    await proxy.connectedTo(kept);
    proxy.channel.replaceEndpoints([added.endpoint, kept.endpoint]);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    expect(proxy.events).toEqual([`up ${kept.endpoint.name}`]);
  });

  test("brings the calls that wait to a member at once", async () => {
    using gone = new StandInMember();
    gone.down();
    using added = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([gone]);
    await waitFor("the first failure", () => proxy.events.length > 0);
    const waiting = proxy.single(WRITE);
    proxy.channel.replaceEndpoints([added.endpoint]);
    expect(await ended(waiting)).toEqual(OK);
  });

  test("of members that cannot be reached yet leaves the one in use as soon as one can, without any check", async () => {
    using gone = new StandInMember({ answer: answerOk });
    using added = new StandInMember({ answer: answerOk });
    added.down();
    using proxy = new Forwarding([gone]);
    await proxy.connectedTo(gone);
    proxy.channel.replaceEndpoints([added.endpoint]);
    await waitFor("the failure", () => proxy.events.includes(`down ${added.endpoint.name}`));
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
    using risen = new StandInMember({ answer: answerOk, port: added.endpoint.port });
    await proxy.connectedTo(risen);
  });

  test("has an endpoint dialled under its new scheme, though it was about to be dialled under the old one", async () => {
    using mute = new StandInMember({ instead: new Uint8Array(0) });
    using plain = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([mute, plain], { dialTimeoutMs: 300 });
    await waitFor("the dial", () => mute.accepted === 1);
    proxy.channel.replaceEndpoints([mute.endpoint, { ...plain.endpoint, scheme: "https" }]);
    await waitFor("its failure", () => proxy.events.includes(`down ${plain.endpoint.name}`));
    expect(proxy.events).not.toContain(`up ${plain.endpoint.name}`);
  });

  test("gives up a dial to an endpoint that is on it no more", async () => {
    using mute = new StandInMember({ instead: new Uint8Array(0) });
    using added = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([mute], { dialTimeoutMs: 60_000 });
    await waitFor("the dial", () => mute.accepted === 1);
    proxy.channel.replaceEndpoints([added.endpoint]);
    expect(await ended(proxy.single(WRITE))).toEqual(OK);
  });
});

describe("calls that are spread", () => {
  const countOf = (member: StandInMember): number => member.calls.length;

  test("go to each member in turn; streams stay at the one in use", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ answer: answerOk });
    using proxy = new Forwarding([first, second], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    await lent(proxy, second);
    for (let count = 0; count < 10; count++) expect(await ended(proxy.single(READ))).toEqual(OK);
    expect([countOf(first), countOf(second)]).toEqual([5, 5]);
    for (let count = 0; count < 4; count++) proxy.stream(WATCH);
    await waitFor("the streams", () => countOf(first) === 9);
    expect(countOf(second)).toBe(5);
  });

  test("leave out a member that refuses to serve, and a read that it was asked goes to the other", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({
      answer: (call) => call.fail({ code: Code.UNAVAILABLE, message: "etcdserver: no leader" }),
    });
    using proxy = new Forwarding([first, second], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    await lent(proxy, second);
    for (let count = 0; count < 10; count++) expect(await ended(proxy.single(READ))).toEqual(OK);
    expect(countOf(second)).toBe(1);
  });

  test("are answered by the other member when the connection that they were sent on is lost", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember();
    using proxy = new Forwarding([first, second], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    await lent(proxy, second);
    const reads = [proxy.single(READ), proxy.single(READ)];
    await second.call(0);
    second.connections[0]!.cut();
    for (const read of reads) expect(await ended(read)).toEqual(OK);
  });

  test("leave a stream to checks: a member that is busy does not seem to be silent", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ concurrentStreamsMax: 3 });
    using proxy = new Forwarding([first, second], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    await lent(proxy, second);
    const reads = Array.from({ length: 20 }, () => proxy.single(READ));
    await waitFor("the others", () => countOf(first) === 18 && countOf(second) === 2);
    expect((await lent(proxy, second)).endpoint).toBe(second.endpoint);
    for (const call of second.calls) call.answer("done");
    for (const read of reads) expect(await ended(read)).toEqual(OK);
  });

  test("a check waits where a member lets nobody in, until a call has ended", async () => {
    using first = new StandInMember({ answer: answerOk });
    using second = new StandInMember({ concurrentStreamsMax: 1 });
    using proxy = new Forwarding([first, second], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    const upstream = await lent(proxy, second);
    const handler = { onResponse() {}, onData() {}, onTrailers() {}, onSent() {}, onReset() {} };
    const stream = upstream.connection.open([], true, handler);
    const next = lent(proxy, second);
    stream.reset(ErrorCode.CANCEL);
    expect(await next).toBe(upstream);
  });

  test("run on where their member leaves the list, and then its connection ends", async () => {
    using first = new StandInMember({ answer: answerOk });
    using gone = new StandInMember();
    using proxy = new Forwarding([first, gone], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    const upstream = await lent(proxy, gone);
    const writes = [proxy.single(WRITE), proxy.single(WRITE)];
    const call = await gone.call(0);
    proxy.channel.replaceEndpoints([first.endpoint]);
    proxy.channel.forgetEndpoint(gone.endpoint);
    expect(upstream.ready).toBe(true);
    call.answer("done");
    for (const write of writes) expect(await ended(write)).toEqual(OK);
    await waitFor("the end of the connection", () => !upstream.ready);
  });

  test("do not have a member dialled again and again that ends every connection", async () => {
    using first = new StandInMember({ answer: answerOk });
    using bad = new StandInMember({ instead: new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n") });
    using proxy = new Forwarding([first, bad], { balancer: "round-robin" });
    await proxy.connectedTo(first);
    for (let count = 0; count < 10; count++) {
      for (let turn = 0; turn < 2; turn++) expect(await ended(proxy.single(READ))).toEqual(OK);
      await waitFor("the dial to end", () => bad.accepted > 0);
      await Bun.sleep(10);
    }
    expect(bad.accepted).toBe(1);
  });
});
