/** Which way calls go: read off the descriptors, so that no method can be forgotten. */
import { describe, expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { methodPath, SERVICES } from "../../src/etcd/services.ts";
import { Cluster, MemberListResponseSchema } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV, RangeRequestSchema, RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Code } from "../../src/grpc/status.ts";
import { SMALL_ANSWERS } from "../../src/grpc/in-process-call.ts";
import type { LeaseHub } from "../../src/proxy/lease/lease-hub.ts";
import { Router, type RouterParts } from "../../src/proxy/router.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ended, Forwarding } from "../grpc/forwarding.ts";
import { RecordedCall } from "../grpc/recorded-call.ts";
import { framed, StandInMember } from "../grpc/stand-in-member.ts";

const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };
const METHODS = SERVICES.flatMap((service) => service.methods);
const OK = { code: Code.OK, message: "" };

class Scene implements Disposable {
  readonly member = new StandInMember();
  readonly forwarding = new Forwarding([this.member]);
  readonly router: Router;

  constructor(typed: RouterParts["typed"] = {}) {
    this.router = new Router({
      channel: this.forwarding.channel,
      limits: LIMITS,
      typed,
      hubs: { kv: null, watch: null, leases: null },
      answers: SMALL_ANSWERS,
    });
  }

  serve(path: string): RecordedCall {
    const call = new RecordedCall({ path });
    this.router.serve(call);
    return call;
  }

  [Symbol.dispose](): void {
    this.forwarding[Symbol.dispose]();
    this.member[Symbol.dispose]();
  }
}

describe("a gRPC call", () => {
  test("of every method goes upstream as the bytes it came in", async () => {
    using scene = new Scene();
    // Bytes of no message: nobody may look into them.
    const message = framed(Uint8Array.of(0xff, 0xff, 0xff));
    for (const [index, method] of METHODS.entries()) {
      const call = scene.serve(methodPath(method));
      call.request(message);
      const atMember = await scene.member.call(index);
      expect([atMember.path, [...atMember.request]]).toEqual([methodPath(method), [...message]]);
      atMember.answer("unread");
      expect([await ended(call), call.answerText]).toEqual([OK, "unread"]);
    }
  });

  test.each(METHODS.filter(({ methodKind }) => methodKind === "bidi_streaming").map(methodPath))(
    "of %s goes upstream before its request has ended, and is answered before",
    async (path) => {
      using scene = new Scene();
      const call = scene.serve(path);
      call.receiver.onRequestBytes(framed("first"), 0, 10);
      await waitFor("the first message", () => scene.member.calls[0]?.request.length === 10);
      scene.member.calls[0]!.sendMessage("early");
      await waitFor("the answer", () => call.answerText === "early");
      expect(call.finished).toBe(false);
    },
  );

  test("of a method that nobody knows goes upstream as a stream", async () => {
    using scene = new Scene();
    const call = scene.serve("/etcdserverpb.KV/OfTheFuture");
    call.receiver.onRequestBytes(framed("first"), 0, 10);
    await waitFor("the first message", () => scene.member.calls[0]?.request.length === 10);
    scene.member.calls[0]!.fail({ code: Code.UNIMPLEMENTED, message: "unknown method OfTheFuture" });
    expect(await ended(call)).toEqual({ code: Code.UNIMPLEMENTED, message: "unknown method OfTheFuture" });
  });

  test("of a method that the proxy answers itself does not go upstream", async () => {
    const memberList = () => create(MemberListResponseSchema, { members: [{ name: "this proxy" }] });
    using scene = new Scene({ [Cluster.typeName]: { memberList } });
    const call = scene.serve(methodPath(Cluster.method.memberList));
    call.request(framed(""));
    expect(await ended(call)).toEqual(OK);
    const answer = fromBinary(MemberListResponseSchema, call.answerBytes.subarray(5));
    expect(answer.members.map(({ name }) => name)).toEqual(["this proxy"]);
    expect(scene.member.calls).toEqual([]);
  });

  test.each([
    ["cut short", framed("abc").subarray(0, 6), "the request message is cut short"],
    [
      "followed by another",
      Buffer.concat([framed("a"), framed("b")]),
      "the method takes one request message",
    ],
    ["missing", new Uint8Array(0), "the request message is cut short"],
  ])("with one request message that is %s ends INTERNAL", async (_what, bytes, message) => {
    using scene = new Scene();
    const call = scene.serve(methodPath(KV.method.range));
    call.request(bytes);
    expect(await ended(call)).toEqual({ code: Code.INTERNAL, message });
    expect(scene.member.calls).toEqual([]);
  });
});

describe("a call of LeaseKeepAlive", () => {
  const path = methodPath(Lease.method.leaseKeepAlive);

  function serve(encoding: string | null): { served: RecordedCall[]; forwarded: Promise<boolean> } {
    const member = new StandInMember();
    const forwarding = new Forwarding([member]);
    const served: RecordedCall[] = [];
    const leases = { serve: (call: RecordedCall) => served.push(call) } as unknown as LeaseHub;
    const router = new Router({
      channel: forwarding.channel,
      limits: LIMITS,
      typed: {},
      hubs: { kv: null, watch: null, leases },
      answers: SMALL_ANSWERS,
    });
    const fields = encoding === null ? [] : [headerField("grpc-encoding", encoding)];
    router.serve(new RecordedCall({ path, fields }));
    const reached = async (): Promise<boolean> => {
      if (served.length === 0) await waitFor("the call at the member", () => member.calls.length === 1);
      forwarding[Symbol.dispose]();
      member[Symbol.dispose]();
      return served.length === 0;
    };
    return { served, forwarded: reached() };
  }

  test.each([null, "identity"])("with grpc-encoding %p is the hub's", async (encoding) => {
    expect(await serve(encoding).forwarded).toBe(false);
  });

  test("that may be compressed is forwarded as it is", async () => {
    expect(await serve("gzip").forwarded).toBe(true);
  });
});

describe("a call in another protocol", () => {
  test("finds a handler for every method", () => {
    using scene = new Scene();
    const without = METHODS.map(methodPath).filter(
      (path) => scene.router.universalHandler(path) === undefined,
    );
    expect(without).toEqual([]);
    expect(scene.router.universalHandler("/health")).toBeUndefined();
  });

  test("goes upstream as the gRPC call it stands for, metadata and deadline included", async () => {
    using scene = new Scene();
    const path = methodPath(KV.method.range);
    const call = new RecordedCall({
      path,
      fields: [headerField("token", "t.1"), headerField("connect-timeout-ms", "60000")],
    });
    const head = call.head.metadata.map((field) =>
      field.name === "content-type" ? headerField("content-type", "application/json") : field,
    );
    Object.assign(call.head, { metadata: head });
    scene.router.serveByConnect(call, "POST", scene.router.universalHandler(path)!);
    call.request(new TextEncoder().encode('{"key":"Zm9v"}'));
    const atMember = await scene.member.call(0);
    expect(atMember.field("token")).toBe("t.1");
    expect(atMember.field("grpc-timeout")).toMatch(/^[0-9]+[um]$/);
    expect(fromBinary(RangeRequestSchema, atMember.request.subarray(5)).key).toEqual(
      new TextEncoder().encode("foo"),
    );
    const answer = toBinary(RangeResponseSchema, create(RangeResponseSchema, { count: 7n }));
    atMember.answer(new TextDecoder().decode(answer));
    await call.status;
    expect(JSON.parse(new TextDecoder().decode(call.answerBytes))).toEqual({ count: "7" });
  });
});
