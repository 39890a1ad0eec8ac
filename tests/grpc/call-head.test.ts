import { describe, expect, test } from "bun:test";
import { CallHead, isGrpcContentType } from "../../src/grpc/call-head.ts";
import { headerField } from "../../src/hpack/header-field.ts";

function head(...fields: readonly (readonly [name: string, value: string])[]): CallHead {
  return new CallHead(
    "/etcdserverpb.KV/Range",
    [[":method", "POST"] as const, ...fields].map(([name, value]) => headerField(name, value)),
  );
}

function sent(call: CallHead, timeoutMs = Number.POSITIVE_INFINITY): string[] {
  return call.upstreamFields("10.0.0.1:2379", timeoutMs).map(({ name, value }) => `${name}=${value}`);
}

describe("a call's head", () => {
  test("goes upstream with pseudo-header fields of its own, the member as authority", () => {
    expect(sent(head())).toEqual([
      ":method=POST",
      ":scheme=http",
      ":path=/etcdserverpb.KV/Range",
      ":authority=10.0.0.1:2379",
      "content-type=application/grpc",
      "te=trailers",
    ]);
  });

  test("carries metadata on, in order, repeated and -bin fields too", () => {
    const call = head(["token", "t.1"], ["x-bin", "AAE="], ["hasleader", "true"], ["x-bin", "Ag=="]);
    expect(sent(call).slice(6)).toEqual(["token=t.1", "x-bin=AAE=", "hasleader=true", "x-bin=Ag=="]);
  });

  test("leaves out what belongs to the client's own connection", () => {
    expect(
      sent(head(["te", "trailers"], ["content-length", "7"], ["host", "proxy"], ["grpc-timeout", "1S"])),
    ).toEqual(sent(head()));
  });

  test("keeps the client's content type", () => {
    expect(sent(head(["content-type", "application/grpc+proto"]))).toContain(
      "content-type=application/grpc+proto",
    );
  });

  test("may be compressed when any of its fields says so, since a member takes the last", () => {
    const encodings = (...values: string[]): boolean =>
      head(...values.map((value) => ["grpc-encoding", value] as const)).mayBeCompressed;
    expect([encodings(), encodings("identity"), encodings("identity", "identity")]).toEqual([
      false,
      false,
      false,
    ]);
    expect([encodings("gzip"), encodings("identity", "gzip"), encodings("gzip", "identity")]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test("for several callers has the first field of each shared name, and nothing else of its caller's", () => {
    const call = head(
      ["content-type", "application/grpc+odd"],
      ["a-bin", "!"],
      ["token", "t.1"],
      ["token", "t.2"],
      ["grpc-timeout", "1S"],
      ["grpc-accept-encoding", "gzip"],
      ["grpc-encoding", "identity"],
      ["hasleader", "true"],
    );
    const fields = call.sharedUpstreamFields("10.0.0.1:2379", new Set(["token", "hasleader"]));
    expect(fields.map(({ name, value }) => `${name}=${value}`)).toEqual([
      ...sent(head()),
      "token=t.1",
      "hasleader=true",
    ]);
    expect(call.sharedUpstreamFields("10.0.0.1:2379", new Set(["token", "hasleader"]))).toBe(fields);
  });

  test("is one and the same section for every call without a deadline to one member", () => {
    const call = head(["token", "t.1"]);
    const first = call.upstreamFields("a:1", Number.POSITIVE_INFINITY);
    expect(call.upstreamFields("a:1", Number.POSITIVE_INFINITY)).toBe(first);
    expect(call.upstreamFields("b:1", Number.POSITIVE_INFINITY)).not.toEqual(first);
  });

  test("tells what is left of the deadline, not what the client gave", () => {
    expect(sent(head(["grpc-timeout", "5S"]), 1234).at(-1)).toBe("grpc-timeout=1234000u");
  });

  test("has the client's timeout, and none when there is none", () => {
    expect(head(["grpc-timeout", "5S"]).timeoutMs).toBe(5000);
    expect(head().timeoutMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("with a malformed timeout tells the problem", () => {
    expect(head(["grpc-timeout", "soon"]).problem).toBe('malformed grpc-timeout: "soon"');
    expect(head(["grpc-timeout", "5S"]).problem).toBe("");
  });
});

test.each([
  ["application/grpc", true],
  ["application/grpc+proto", true],
  ["application/grpc;charset=utf-8", true],
  ["application/grpc-web", false],
  ["application/grpc-web+proto", false],
  ["application/json", false],
  ["", false],
  [undefined, false],
])("content type %p is gRPC: %p", (contentType, grpc) => {
  expect(isGrpcContentType(contentType)).toBe(grpc);
});
