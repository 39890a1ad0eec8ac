/** The grpc-proxy's question to members: what they answer, and what is made of silence. */
import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ProbeResult } from "../../../src/endpoints/health-checks.ts";
import { StatusResponseSchema } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Code } from "../../../src/grpc/status.ts";
import { StatusProbe } from "../../../src/proxy/upstream/status-probe.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { Forwarding } from "../../grpc/forwarding.ts";
import { type StandInCall, StandInMember, type StandInOptions } from "../../grpc/stand-in-member.ts";

/** Answers with this status. */
const answering =
  (fields: MessageInitShape<typeof StatusResponseSchema>) =>
  (call: StandInCall): void => {
    call.answer(toBinary(StatusResponseSchema, create(StatusResponseSchema, fields)));
  };

/** A member, and the probe that asks it by way of a channel. */
class Scene implements Disposable {
  readonly member: StandInMember;
  readonly proxy: Forwarding;
  readonly probe: StatusProbe;
  token = "";

  constructor(options: StandInOptions = {}, others: readonly StandInMember[] = []) {
    this.member = new StandInMember(options);
    this.proxy = new Forwarding([...others, this.member]);
    this.probe = new StatusProbe({
      channel: this.proxy.channel,
      token: () => this.token,
      timeoutMs: 10_000,
      now: () => performance.now(),
    });
  }

  ask(): Promise<ProbeResult> {
    return new Promise((resolve) => this.probe.start(this.member.endpoint, resolve));
  }

  [Symbol.dispose](): void {
    this.proxy[Symbol.dispose]();
    this.member[Symbol.dispose]();
  }
}

describe("a member", () => {
  test.each([
    ["that has a leader is fit", { leader: 7n }, { kind: "fit" }],
    ["without a leader is unfit", {}, { kind: "unfit", reason: "has no leader" }],
    ["that learns is unfit", { leader: 7n, isLearner: true }, { kind: "unfit", reason: "is a learner" }],
  ])("%s", async (_, status, expected) => {
    using scene = new Scene({ answer: answering(status) });
    expect(await scene.ask()).toMatchObject(expected);
  });

  test("that wants a token, which nobody has given us, is fit", async () => {
    using scene = new Scene({
      answer: (call) => call.fail({ code: Code.INVALID_ARGUMENT, message: "etcdserver: user name is empty" }),
    });
    expect(await scene.ask()).toMatchObject({ kind: "fit" });
  });

  test("is asked in the name of the proxy's own user once there is a token", async () => {
    using scene = new Scene({ answer: answering({ leader: 7n }) });
    await scene.ask();
    scene.token = "secret";
    await scene.ask();
    expect(scene.member.calls.map((call) => call.field("token"))).toEqual([undefined, "secret"]);
  });

  test("that is no etcd is unfit, and told by what it answers", async () => {
    using scene = new Scene({ answer: (call) => call.answerHttp(404, "text/html") });
    expect(await scene.ask()).toMatchObject({ kind: "unfit", reason: expect.stringContaining("404") });
  });

  test("whose connection is lost meanwhile is silent", async () => {
    using scene = new Scene({ answer: (call) => call.connection.cut() });
    expect(await scene.ask()).toMatchObject({ kind: "silent", refused: false });
  });

  test("at whose port nobody listens is silent, and was refused", async () => {
    using other = new StandInMember();
    using scene = new Scene({}, [other]);
    await scene.proxy.connectedTo(other);
    scene.member.down();
    expect(await scene.ask()).toEqual({ kind: "silent", reason: "connection refused", refused: true });
  });
});

test("a question is asked on the very connection that calls use, and on one of its own at other members", async () => {
  using other = new StandInMember({ answer: answering({ leader: 7n }) });
  using scene = new Scene({ answer: answering({ leader: 7n }) }, [other]);
  await scene.proxy.connectedTo(other);
  for (let times = 0; times < 3; times++) {
    await scene.ask();
    await new Promise((resolve) => scene.probe.start(other.endpoint, resolve));
  }
  expect([other.accepted, scene.member.accepted]).toEqual([1, 1]);
});

test("a question that is given up is cancelled at the member, and not heard of any more", async () => {
  using scene = new Scene();
  await scene.proxy.connectedTo(scene.member);
  let heard = false;
  const giveUp = scene.probe.start(scene.member.endpoint, () => (heard = true));
  const call = await scene.member.call(0);
  giveUp();
  await waitFor("the cancel", () => call.reset !== undefined);
  expect(heard).toBe(false);
});

test("an endpoint that is checked no more keeps no connection", async () => {
  using other = new StandInMember();
  using scene = new Scene({ answer: answering({ leader: 7n }) }, [other]);
  await scene.proxy.connectedTo(other);
  await scene.ask();
  scene.probe.forget(scene.member.endpoint);
  await waitFor("its end", () => scene.member.connections[0]!.http2.ended);
});
