/** The lines of a call, one for each message and its end, whatever becomes of it. */
import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { methodPath } from "../../../src/etcd/services.ts";
import { Auth, AuthenticateRequestSchema } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { KV, PutRequestSchema, PutResponseSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch, WatchRequestSchema, WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { NO_RECEIVER, type ServerCall } from "../../../src/grpc/server-call.ts";
import { Code, RESPONSE_HEAD, statusTrailers } from "../../../src/grpc/status.ts";
import { headerField } from "../../../src/hpack/header-field.ts";
import { CallLog } from "../../../src/proxy/call-log/call-log.ts";
import { RecordedLog } from "../../gateway/recorded-log.ts";
import { RecordedCall } from "../../grpc/recorded-call.ts";
import { framed } from "../../grpc/stand-in-member.ts";

const TOKEN = "the-token.17";
const OK = statusTrailers({ code: 0, message: "" });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const PUT = framed(
  toBinary(PutRequestSchema, create(PutRequestSchema, { key: bytes("k"), value: bytes("the value") })),
);
const PUT_ANSWER = framed(
  toBinary(PutResponseSchema, create(PutResponseSchema, { header: { revision: 5n } })),
);

function logged(
  path: string,
  {
    values = false,
    peer = "10.0.0.7:1234",
  }: { readonly values?: boolean; readonly peer?: string | null } = {},
) {
  const log = new RecordedLog();
  const calls = new CallLog({ log, values, clientAtWork: () => "10.0.0.8:1" });
  const client = new RecordedCall({ path, fields: [headerField("token", TOKEN)] });
  if (peer !== null) Object.assign(client, { peer });
  const call: ServerCall = calls.wrap(client);
  const lines = (): Record<string, unknown>[] =>
    log.lines.map(({ message, fields }) => {
      const {
        peer: told,
        "grpc.service": _service,
        "grpc.method": _method,
        "grpc.time_ms": _,
        ...rest
      } = fields;
      expect(told).toBe(peer ?? "10.0.0.8:1");
      return { msg: message, ...rest };
    });
  return { log, client, call, lines };
}

test("how long a password is cannot be told from the length of its request", () => {
  const { client, call, lines } = logged(methodPath(Auth.method.authenticate));
  call.receiver = NO_RECEIVER;
  const request = create(AuthenticateRequestSchema, { name: "anna", password: "abcdefghijkl" });
  client.request(framed(toBinary(AuthenticateRequestSchema, request)));
  expect(lines()).toEqual([
    { msg: "grpc request", call: 1, "grpc.request.content": { name: "anna", password: "<hidden>" } },
  ]);
});

describe("a unary call", () => {
  test("that goes well is a line for the request and one for the answer, with code and time", () => {
    const { log, client, call, lines } = logged(methodPath(KV.method.put));
    call.receiver = NO_RECEIVER;
    client.request(PUT);
    call.sendHead(RESPONSE_HEAD);
    call.sendMessageBytes(PUT_ANSWER, 0, 3);
    call.sendMessageBytes(PUT_ANSWER, 3, PUT_ANSWER.length);
    expect(log.lines).toHaveLength(1);
    call.finishWithTrailers(OK);
    expect(lines()).toEqual([
      { msg: "grpc request", call: 1, bytes: 14, "grpc.request.content": { key: "k", value: "<9 bytes>" } },
      {
        msg: "grpc response",
        call: 1,
        "grpc.code": "OK",
        bytes: 4,
        "grpc.response.content": { header: { revision: "5" } },
      },
    ]);
    expect(log.lines.at(-1)?.fields).toMatchObject({
      "grpc.service": "etcdserverpb.KV",
      "grpc.method": "Put",
      "grpc.time_ms": expect.any(Number) as unknown,
    });
    expect(client.answerBytes).toEqual(PUT_ANSWER);
    expect(client.finished).toBe(true);
    expect(JSON.stringify(log.lines)).not.toContain(TOKEN);
    expect(JSON.stringify(log.lines)).not.toContain("the value");
  });

  test("shows values to who has asked for them, and no token", () => {
    const { log, client, call } = logged(methodPath(KV.method.put), { values: true });
    call.receiver = NO_RECEIVER;
    client.request(PUT);
    expect(JSON.stringify(log.lines)).toContain("the value");
    expect(JSON.stringify(log.lines)).not.toContain(TOKEN);
  });

  test("that fails is a line with the code and the message", () => {
    const { client, call, lines } = logged(methodPath(KV.method.put));
    call.receiver = NO_RECEIVER;
    client.request(PUT);
    call.finishWithStatus({ code: 3, message: "etcdserver: key is not provided" });
    expect(lines().at(-1)).toEqual({
      msg: "grpc call ended",
      call: 1,
      "grpc.code": "InvalidArgument",
      error: "etcdserver: key is not provided",
    });
  });

  test("with a compressed message says so, and shows nothing of it", () => {
    const { client, call, lines } = logged(methodPath(KV.method.put));
    const compressed = PUT.slice();
    compressed[0] = 1;
    call.receiver = NO_RECEIVER;
    client.request(compressed);
    expect(lines()).toEqual([{ msg: "grpc request", call: 1, bytes: 14, compressed: true }]);
  });

  test("with a malformed message says so", () => {
    const { client, call, lines } = logged(methodPath(KV.method.put));
    call.receiver = NO_RECEIVER;
    client.request(framed(Uint8Array.of(0x0a, 200)));
    expect(lines()).toEqual([
      { msg: "grpc request", call: 1, bytes: 2, malformed: true, "grpc.request.content": {} },
    ]);
  });

  test("whose request is cut short says so", () => {
    const { client, call, lines } = logged(methodPath(KV.method.put));
    call.receiver = NO_RECEIVER;
    client.request(PUT.subarray(0, 9));
    expect(lines()).toEqual([{ msg: "grpc request", call: 1, malformed: true, reason: "it was cut short" }]);
  });

  test("that came by another protocol is of the client that it came from", () => {
    const { client, call, lines } = logged(methodPath(KV.method.put), { peer: null });
    call.receiver = NO_RECEIVER;
    client.request(PUT);
    expect(lines()).toHaveLength(1);
  });
});

describe("a stream", () => {
  const WATCH = framed(
    toBinary(
      WatchRequestSchema,
      create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key: bytes("w") } } }),
    ),
  );
  const EVENT = framed(toBinary(WatchResponseSchema, create(WatchResponseSchema, { watchId: 1n })));

  test("has a line for its beginning, one for each message and one for its end", () => {
    const { client, call, lines } = logged(methodPath(Watch.method.watch));
    call.receiver = NO_RECEIVER;
    client.receiver.onRequestBytes(WATCH, 0, WATCH.length);
    const two = Buffer.concat([EVENT, EVENT]);
    call.sendMessageBytes(two, 0, two.length);
    call.finishWithTrailers(OK);
    const answer = { msg: "grpc response", call: 1, bytes: 2, "grpc.response.content": { watchId: "1" } };
    expect(lines()).toEqual([
      { msg: "grpc call began", call: 1 },
      { msg: "grpc request", call: 1, bytes: 5, "grpc.request.content": { createRequest: { key: "w" } } },
      answer,
      answer,
      { msg: "grpc call ended", call: 1, "grpc.code": "OK" },
    ]);
  });

  test("that its client gives up ends as cancelled, and who serves it hears of that", () => {
    const { client, call, lines } = logged(methodPath(Watch.method.watch));
    const heard: string[] = [];
    call.receiver = { ...NO_RECEIVER, onCancel: (reason) => heard.push(reason) };
    const receiver = client.receiver;
    client.finished = true;
    receiver.onCancel("stream reset by the peer");
    expect(heard).toEqual(["stream reset by the peer"]);
    expect(lines().at(-1)).toEqual({
      msg: "grpc call ended",
      call: 1,
      "grpc.code": "Canceled",
      error: "stream reset by the peer",
    });
  });

  test("that was ended for its client ends as that was told", () => {
    const { client, call, lines } = logged(methodPath(Watch.method.watch));
    call.receiver = NO_RECEIVER;
    client.receiver.onCancel("deadline exceeded", { code: 4, message: "context deadline exceeded" });
    call.finishWithStatus({ code: 2, message: "too late" });
    expect(lines().slice(1)).toEqual([
      {
        msg: "grpc call ended",
        call: 1,
        "grpc.code": "DeadlineExceeded",
        error: "context deadline exceeded",
      },
    ]);
  });
});

test("what stands behind a question mark of a path is not shown, nor repeated with a member's error", () => {
  const { log, client, call } = logged("/etcdserverpb.KV/Put?token=secret");
  call.receiver = NO_RECEIVER;
  client.request(PUT);
  call.finishWithStatus({ code: Code.UNIMPLEMENTED, message: "unknown method Put?token=secret of KV" });
  expect(log.lines[0]?.fields["grpc.method"]).toBe("Put");
  expect(log.lines.at(-1)?.fields["error"]).toBe("unknown method Put?… of KV");
  expect(JSON.stringify(log.lines)).not.toContain("secret");
});

test("a call of a method that nobody knows shows no content, and little of its name", () => {
  const { log, client, call, lines } = logged(`/a.B/${"x".repeat(5000)}`);
  call.receiver = NO_RECEIVER;
  client.request(PUT);
  expect(lines().at(-1)).toEqual({ msg: "grpc request", call: 1, bytes: 14 });
  expect(String(log.lines[0]?.fields["grpc.method"]).length).toBeLessThan(300);
});
