/** MemberList under `--advertise-client-url`: the proxy as the only member, under a member's header. */
import { hostname } from "node:os";
import { describe, expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  Cluster,
  MemberListRequestSchema,
  MemberListResponseSchema,
  type MemberListResponse,
} from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { connectTransport } from "../../src/grpc/connect-transport.ts";
import { SMALL_ANSWERS } from "../../src/grpc/in-process-call.ts";
import { Code, type Status } from "../../src/grpc/status.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { methodPath } from "../../src/etcd/services.ts";
import { AdvertisedMemberList } from "../../src/proxy/cluster/member-list.ts";
import type { RegisteredProxy } from "../../src/proxy/cluster/registration-value.ts";
import { SingleRequestForward } from "../../src/proxy/forward/single-request.ts";
import { Router } from "../../src/proxy/router.ts";
import { ended, Forwarding } from "../grpc/forwarding.ts";
import { RecordedCall } from "../grpc/recorded-call.ts";
import { framed, type StandInCall, StandInMember } from "../grpc/stand-in-member.ts";

const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };
const URL = "http://proxy.example:23790";

interface Outcome {
  readonly status: Status;
  readonly list: MemberListResponse;
  /** The call that a member got. */
  readonly upstream: StandInCall | undefined;
}

/** Asks a proxy that advertises itself, and knows those that are `registered`, in front of a member that answers by `answer`. */
async function ask(
  answer: (call: StandInCall) => void,
  linearizable = false,
  registered: readonly RegisteredProxy[] = [],
): Promise<Outcome> {
  using member = new StandInMember({ answer });
  const waiting = { waitMs: 50, marginMs: 0, heldBytesMax: 1 << 20 };
  using forwarding = new Forwarding([member], { waiting });
  const members = createClient(
    Cluster,
    connectTransport((call) => {
      new SingleRequestForward(call, forwarding.channel, LIMITS, true);
    }, SMALL_ANSWERS),
  );
  const list = new AdvertisedMemberList(members, { name: hostname(), clientUrl: URL }, () => registered);
  const typed = { [Cluster.typeName]: { memberList: list.memberList.bind(list) } };
  const router = new Router({
    channel: forwarding.channel,
    limits: LIMITS,
    typed,
    hubs: { kv: null, watch: null, leases: null },
    answers: SMALL_ANSWERS,
  });
  const call = new RecordedCall({
    path: methodPath(Cluster.method.memberList),
    fields: [headerField("token", "t.1"), headerField("x-other", "1")],
  });
  router.serve(call);
  call.request(framed(toBinary(MemberListRequestSchema, create(MemberListRequestSchema, { linearizable }))));
  return {
    status: await ended(call),
    list: fromBinary(MemberListResponseSchema, call.answerBytes.subarray(5)),
    upstream: member.calls[0],
  };
}

function answerMembers(call: StandInCall): void {
  const answer = toBinary(
    MemberListResponseSchema,
    create(MemberListResponseSchema, {
      header: { clusterId: 11n, memberId: 12n, raftTerm: 13n },
      members: [{ name: "member1" }],
    }),
  );
  call.answer(new TextDecoder("latin1").decode(answer));
}

describe("the list", () => {
  test("names the proxy and nobody else, under the member's header", async () => {
    const { status, list } = await ask(answerMembers);
    expect(status.code).toBe(Code.OK);
    expect(list.members.map(({ name, clientURLs }) => [name, clientURLs])).toEqual([[hostname(), [URL]]]);
    expect([list.header?.clusterId, list.header?.memberId, list.header?.raftTerm]).toEqual([11n, 12n, 13n]);
  });

  test("names those that are registered, in their order, once there are any", async () => {
    const registered = [
      { name: "b", clientUrl: "10.0.0.2:23790" },
      { name: "a", clientUrl: "http://10.0.0.1:23790" },
    ];
    const { list } = await ask(answerMembers, false, registered);
    expect(
      list.members.map(({ ID, name, peerURLs, clientURLs }) => [ID, name, peerURLs, clientURLs]),
    ).toEqual([
      [0n, "b", [], ["10.0.0.2:23790"]],
      [0n, "a", [], ["http://10.0.0.1:23790"]],
    ]);
    expect(list.header?.clusterId).toBe(11n);
  });

  test("is asked for with the caller's credentials, no other metadata, and the same request", async () => {
    const { upstream } = await ask(answerMembers, true);
    expect([upstream?.field("token"), upstream?.field("x-other")]).toEqual(["t.1", undefined]);
    expect(fromBinary(MemberListRequestSchema, upstream!.request.subarray(5)).linearizable).toBe(true);
  });

  test("is refused to a caller whom etcd refuses", async () => {
    const refusal = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };
    expect((await ask((call) => call.fail(refusal))).status).toEqual(refusal);
  });

  test.each(["etcdserver: request timed out", "etcdserver: no leader"])(
    "is given under an empty header when no member can tell: %s",
    async (message) => {
      const { status, list } = await ask((call) => call.fail({ code: Code.UNAVAILABLE, message }));
      expect([status.code, list.header?.clusterId, list.members.length]).toEqual([Code.OK, 0n, 1]);
    },
  );

  test("is given under an empty header when a member does not answer in time", async () => {
    const { status, list } = await ask(() => {});
    expect([status.code, list.header?.clusterId, list.members.length]).toEqual([Code.OK, 0n, 1]);
  });
});
