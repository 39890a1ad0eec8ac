import { describe, expect, test } from "bun:test";
import { credentialOf, requiresLeader } from "../../src/etcd/identity.ts";
import { CallHead } from "../../src/grpc/call-head.ts";
import { headerField } from "../../src/hpack/header-field.ts";

function head(...fields: readonly (readonly [name: string, value: string])[]): CallHead {
  return new CallHead(
    "/etcdserverpb.KV/Range",
    fields.map(([name, value]) => headerField(name, value)),
  );
}

describe("a caller's credential", () => {
  test("is his token, as it is", () => {
    expect(credentialOf(head(["token", "abc.7"]))).toBe("abc.7");
  });

  test("is what stands in `authorization`, scheme and all: older members refuse a token that has one", () => {
    expect(credentialOf(head(["authorization", "abc.7"]))).toBe("abc.7");
    expect(credentialOf(head(["authorization", "Bearer abc.7"]))).toBe("Bearer abc.7");
    expect(credentialOf(head(["authorization", "bearer abc.7"]))).toBe("bearer abc.7");
  });

  test("is the token when there is both, and the first of several", () => {
    expect(credentialOf(head(["authorization", "other"], ["token", "abc.7"]))).toBe("abc.7");
    expect(credentialOf(head(["token", "first"], ["token", "second"]))).toBe("first");
  });

  test("is empty without one, and then only: an empty field is a token that nobody knows", () => {
    expect(credentialOf(head(["user-agent", "etcdctl"]))).toBe("");
    expect(credentialOf(head(["token", ""]))).not.toBe("");
    expect(credentialOf(head(["token", ""], ["authorization", "abc.7"]))).not.toContain("abc.7");
    expect(credentialOf(head(["authorization", ""]))).not.toBe("");
  });
});

describe("the wish for a leader", () => {
  test("is `hasleader: true`, and nothing else", () => {
    expect(requiresLeader(head(["hasleader", "true"]))).toBe(true);
    expect(requiresLeader(head(["hasleader", "false"]))).toBe(false);
    expect(requiresLeader(head(["hasleader", ""]))).toBe(false);
    expect(requiresLeader(head())).toBe(false);
  });
});
