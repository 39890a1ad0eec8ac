/** Where calls are counted: a row for each method, and each call in one row once, whatever way it comes and goes. */
import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { methodPath, SERVICES } from "../../../src/etcd/services.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Cluster, MemberListResponseSchema } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV, RangeResponseSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { SMALL_ANSWERS } from "../../../src/grpc/in-process-call.ts";
import { Code } from "../../../src/grpc/status.ts";
import { headerField } from "../../../src/hpack/header-field.ts";
import { CallCounts } from "../../../src/proxy/metrics/call-counts.ts";
import { Router } from "../../../src/proxy/router.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { Forwarding } from "../../grpc/forwarding.ts";
import { RecordedCall } from "../../grpc/recorded-call.ts";
import { StandInMember } from "../../grpc/stand-in-member.ts";

const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };
const REFUSAL = { code: Code.UNIMPLEMENTED, message: "not here" };
const METHODS = SERVICES.flatMap((service) => service.methods);

class Scene implements Disposable {
  readonly member = new StandInMember();
  readonly forwarding = new Forwarding([this.member]);
  readonly calls = new CallCounts();
  readonly router = new Router({
    channel: this.forwarding.channel,
    limits: LIMITS,
    typed: { [Cluster.typeName]: { memberList: () => create(MemberListResponseSchema, {}) } },
    hubs: { kv: null, watch: null, leases: null },
    answers: SMALL_ANSWERS,
    refusal: (method) => (method === Auth.method.authEnable ? REFUSAL : null),
    calls: this.calls,
  });

  /** A call that comes in JSON. */
  inJson(path: string, body: string, ...fields: readonly [name: string, value: string][]): RecordedCall {
    const call = new RecordedCall({ path, fields: fields.map(([name, value]) => headerField(name, value)) });
    const metadata = call.head.metadata.map((field) =>
      field.name === "content-type" ? headerField("content-type", "application/json") : field,
    );
    Object.assign(call.head, { metadata });
    this.router.serveByConnect(call, "POST", this.router.universalHandler(path)!);
    call.request(new TextEncoder().encode(body));
    return call;
  }

  /** `method started codes received/sent` of each method that anything was counted for. */
  get counted(): string[] {
    return this.calls.rows().flatMap(({ labels, counts }) => {
      const codes = [...counts.handled].flatMap((count, code) => (count > 0 ? [`${code}:${count}`] : []));
      const messages = `${counts.messagesReceived}/${counts.messagesSent}`;
      return counts.started > 0
        ? [`${labels.grpc_method} ${counts.started} ${codes.join()} ${messages}`]
        : [];
    });
  }

  [Symbol.dispose](): void {
    this.forwarding[Symbol.dispose]();
    this.member[Symbol.dispose]();
  }
}

describe("rows", () => {
  test("are one for each method, labelled as go-grpc-prometheus does, and one for all else", () => {
    const rows = new CallCounts().rows();
    expect(rows).toHaveLength(METHODS.length + 1);
    const labels = rows.map(({ labels: each }) => each);
    expect(labels).toContainEqual({
      grpc_type: "unary",
      grpc_service: "etcdserverpb.KV",
      grpc_method: "Range",
    });
    expect(labels).toContainEqual({
      grpc_type: "bidi_stream",
      grpc_service: "etcdserverpb.Watch",
      grpc_method: "Watch",
    });
    expect(labels).toContainEqual({
      grpc_type: "server_stream",
      grpc_service: "etcdserverpb.Maintenance",
      grpc_method: "Snapshot",
    });
    expect(labels.at(-1)).toEqual({
      grpc_type: "bidi_stream",
      grpc_service: "unknown",
      grpc_method: "unknown",
    });
  });

  test("are where the router counts the calls of their paths", () => {
    using scene = new Scene();
    for (const method of METHODS) scene.router.serve(new RecordedCall({ path: methodPath(method) }));
    for (const path of ["/a/b", "", "/etcdserverpb.KV/range"]) scene.router.serve(new RecordedCall({ path }));
    const started = scene.calls.rows().map(({ counts }) => counts.started);
    expect(started).toEqual([...METHODS.map(() => 1), 3]);
    expect(scene.calls.open).toBe(METHODS.length + 3);
    expect(scene.calls.of(Watch.method.watch).started).toBe(1);
  });
});

describe("a call in JSON is counted once", () => {
  const range = methodPath(KV.method.range);

  test("where a member answers", async () => {
    using scene = new Scene();
    const call = scene.inJson(range, "{}");
    const answer = toBinary(RangeResponseSchema, create(RangeResponseSchema, { count: 7n }));
    (await scene.member.call(0)).answer(new TextDecoder().decode(answer));
    await call.status;
    expect(scene.counted).toEqual([`Range 1 ${Code.OK}:1 1/1`]);
  });

  test("where the proxy answers it with types", async () => {
    using scene = new Scene();
    await scene.inJson(methodPath(Cluster.method.memberList), "{}").status;
    expect(scene.counted).toEqual([`MemberList 1 ${Code.OK}:1 1/1`]);
    expect(scene.member.calls).toEqual([]);
  });

  test("where it is refused", async () => {
    using scene = new Scene();
    const call = scene.inJson(range, "{}");
    (await scene.member.call(0)).fail({ code: Code.PERMISSION_DENIED, message: "no" });
    await call.status;
    expect(scene.counted).toEqual([`Range 1 ${Code.PERMISSION_DENIED}:1 1/0`]);
  });

  test("where it is refused by rule", async () => {
    using scene = new Scene();
    await scene.inJson(methodPath(Auth.method.authEnable), "{}").status;
    expect(scene.counted).toEqual([`AuthEnable 1 ${Code.UNIMPLEMENTED}:1 0/0`]);
  });

  test("where its time is up, and where its client gives it up", async () => {
    using scene = new Scene();
    await scene.inJson(range, "{}", ["connect-timeout-ms", "50"]).status;
    expect(scene.counted).toEqual([`Range 1 ${Code.DEADLINE_EXCEEDED}:1 1/0`]);
    const call = scene.inJson(range, "{}");
    await waitFor("the call at the member", () => scene.member.calls.length === 2);
    call.receiver.onCancel("gone");
    await waitFor("its end", () => scene.calls.open === 0);
    expect(scene.counted).toEqual([`Range 2 ${Code.CANCELLED}:1,${Code.DEADLINE_EXCEEDED}:1 2/0`]);
  });

  test("and not at all where its request cannot be read", async () => {
    using scene = new Scene();
    await scene.inJson(range, "no json").status;
    expect(scene.counted).toEqual([]);
  });
});
