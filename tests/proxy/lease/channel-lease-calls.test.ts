/** The lease hub over a real channel, to stand-in members that do what no etcd can be made to do. */
import { describe, expect, test } from "bun:test";
import { methodPath } from "../../../src/etcd/services.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { REAL_CLOCK } from "../../../src/grpc/real-clock.ts";
import { Code, RESPONSE_HEAD, statusTrailers } from "../../../src/grpc/status.ts";
import { ErrorCode } from "../../../src/http2/error-code.ts";
import { headerField } from "../../../src/hpack/header-field.ts";
import { ChannelLeaseCalls } from "../../../src/proxy/lease/channel-lease-calls.ts";
import { LeaseHub } from "../../../src/proxy/lease/lease-hub.ts";
import { ended, Forwarding } from "../../grpc/forwarding.ts";
import { RecordedCall } from "../../grpc/recorded-call.ts";
import { framed, type StandInCall, StandInMember } from "../../grpc/stand-in-member.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { answerOf, requestOf } from "./lease-client.ts";

const PATH = methodPath(Lease.method.leaseKeepAlive);
const NO_LEADER = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };

class Scene implements Disposable {
  readonly forwarding: Forwarding;
  readonly calls: ChannelLeaseCalls;
  readonly hub: LeaseHub;

  constructor(members: readonly StandInMember[]) {
    this.forwarding = new Forwarding(members);
    this.calls = new ChannelLeaseCalls(this.forwarding.channel, LIMITS);
    this.hub = new LeaseHub({ calls: this.calls, clock: REAL_CLOCK });
  }

  /** A client's stream that has asked for one lease. */
  ask(id: bigint, fields: Readonly<Record<string, string>> = {}): RecordedCall {
    const call = new RecordedCall({
      path: PATH,
      fields: Object.entries(fields).map(([name, value]) => headerField(name, value)),
    });
    this.hub.serve(call);
    this.more(call, id);
    return call;
  }

  more(call: RecordedCall, id: bigint): void {
    const request = framed(requestOf(id));
    call.receiver.onRequestBytes(request, 0, request.length);
  }

  [Symbol.dispose](): void {
    this.hub.close();
    this.forwarding[Symbol.dispose]();
  }
}

/** The member's call number `index`, once it has been sent these heartbeats. */
function beating(member: StandInMember, index: number, ...ids: readonly bigint[]): Promise<StandInCall> {
  const bytes = Buffer.concat(ids.map((id) => framed(requestOf(id))));
  return waitFor(`heartbeats ${ids.join()} in call ${index}`, () => {
    const call = member.calls[index];
    return call !== undefined && bytes.equals(call.request) ? call : undefined;
  });
}

function answer(call: StandInCall, ...ids: readonly bigint[]): void {
  call.stream.sendHeaders(RESPONSE_HEAD, false);
  for (const id of ids) call.sendBytes(framed(answerOf(id, 60)));
}

async function answered(call: RecordedCall, ...ids: readonly bigint[]): Promise<void> {
  const bytes = Buffer.concat(ids.map((id) => framed(answerOf(id, 60))));
  await waitFor("the answers", () => call.answerBytes.length === bytes.length);
  expect([...call.answerBytes]).toEqual([...bytes]);
}

describe("a LeaseKeepAlive call of the hub", () => {
  test("has the callers' token, `hasleader` if they sent it, and nothing else of theirs", async () => {
    using member = new StandInMember();
    using scene = new Scene([member]);
    scene.ask(1n, { authorization: "Bearer alice.1", hasleader: "true", "x-trace": "7" });
    scene.ask(2n, { token: "alice.1" });
    await waitFor("both calls", () => member.calls.length === 2);
    const names = ["token", "authorization", "hasleader", "x-trace"];
    const seen = member.calls.map((call) => [call.path, ...names.map((name) => call.field(name))]);
    expect(seen).toEqual([
      [PATH, "Bearer alice.1", undefined, "true", undefined],
      [PATH, "alice.1", undefined, undefined, undefined],
    ]);
  });

  test("carries what was asked before the member was reached, but for clients that have gone", async () => {
    using member = new StandInMember();
    using scene = new Scene([member]);
    const calls = [1n, 2n, 3n].map((id) => scene.ask(id));
    calls[1]!.receiver.onCancel("gone");
    const at = await beating(member, 0, 1n, 3n);
    answer(at, 1n, 3n);
    await answered(calls[0]!, 1n);
    await answered(calls[2]!, 3n);
    expect(calls[1]!.answerBytes).toHaveLength(0);
  });

  test("is half-closed when nobody is left", async () => {
    using member = new StandInMember();
    using scene = new Scene([member]);
    const call = scene.ask(1n);
    const at = await beating(member, 0, 1n);
    answer(at, 1n);
    await answered(call, 1n);
    call.receiver.onCancel("gone");
    await waitFor("the half-close", () => at.requestEnded);
    expect(at.reset).toBeUndefined();
    at.stream.sendTrailers(statusTrailers({ code: Code.OK, message: "" }));
    await waitFor("the end", () => scene.hub.stats.upstreamStreams === 0);
  });

  test("ends with a status: that is passed on as it is, to the one whose it is", async () => {
    using member = new StandInMember();
    using scene = new Scene([member]);
    const [first, second] = [scene.ask(1n), scene.ask(2n)];
    const status = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied, 100%" };
    (await beating(member, 0, 1n, 2n)).fail(status);
    expect(await ended(first)).toEqual(status);
    answer(await beating(member, 1, 2n), 2n);
    await answered(second, 2n);
  });
});

describe("heartbeats are sent again, unseen", () => {
  test("on another member when the connection is lost", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new Scene([first, second]);
    const call = scene.ask(1n);
    (await beating(first, 0, 1n)).connection.cut();
    answer(await beating(second, 0, 1n), 1n);
    await answered(call, 1n);
  });

  test("when the member refuses the stream", async () => {
    using member = new StandInMember();
    using scene = new Scene([member]);
    const call = scene.ask(1n);
    (await beating(member, 0, 1n)).stream.reset(ErrorCode.REFUSED_STREAM);
    answer(await beating(member, 1, 1n), 1n);
    await answered(call, 1n);
  });

  test("after GOAWAY on a new connection, if the old one did not take them", async () => {
    using member = new StandInMember();
    using scene = new Scene([member]);
    const call = scene.ask(1n);
    (await beating(member, 0, 1n)).connection.goAway(0);
    const again = await beating(member, 1, 1n);
    expect(member.connections).toHaveLength(2);
    answer(again, 1n);
    await answered(call, 1n);
  });

  test("on the member that the channel turns to, once a member has said that it has no leader", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new Scene([first, second]);
    const [told, moved] = [scene.ask(1n), scene.ask(2n)];
    (await beating(first, 0, 1n, 2n)).fail(NO_LEADER);
    expect(await ended(told)).toEqual(NO_LEADER);
    answer(await beating(second, 0, 2n), 2n);
    await answered(moved, 2n);
    expect(first.calls).toHaveLength(1);
  });
});

test("new heartbeats go to the connection that the channel has turned to, while the old one answers", async () => {
  using first = new StandInMember();
  using second = new StandInMember();
  using scene = new Scene([first, second]);
  const call = scene.ask(1n);
  const old = await beating(first, 0, 1n);
  const leaving = scene.ask(9n, { token: "other" });
  (await beating(first, 1, 9n)).fail(NO_LEADER);
  await ended(leaving);
  await scene.forwarding.connectedTo(second);
  scene.calls.onConnected();
  scene.more(call, 2n);
  const at = await beating(second, 0, 2n);
  await waitFor("the half-close of the old one", () => old.requestEnded);
  answer(at, 2n);
  answer(old, 1n);
  await answered(call, 1n, 2n);
});
