import { describe, expect, test } from "bun:test";
import { credentialOf, identityOf, requiresLeader } from "../../src/etcd/identity.ts";
import { CallHead } from "../../src/grpc/call-head.ts";
import { headerField } from "../../src/hpack/header-field.ts";

function head(...fields: readonly (readonly [name: string, value: string])[]): CallHead {
  return new CallHead(
    "/etcdserverpb.KV/Range",
    fields.map(([name, value]) => headerField(name, value)),
  );
}

describe("a caller's identity", () => {
  test("is his token, as it is", () => {
    expect(identityOf(head(["token", "abc.7"]))).toBe("abc.7");
  });

  test("is what stands in `authorization`, with or without the word Bearer", () => {
    expect(identityOf(head(["authorization", "abc.7"]))).toBe("abc.7");
    expect(identityOf(head(["authorization", "Bearer abc.7"]))).toBe("abc.7");
    expect(identityOf(head(["authorization", "bearer abc.7"]))).toBe("bearer abc.7");
  });

  test("is the token when there is both, and the first of several", () => {
    expect(identityOf(head(["authorization", "other"], ["token", "abc.7"]))).toBe("abc.7");
    expect(identityOf(head(["token", "first"], ["token", "second"]))).toBe("first");
    expect(identityOf(head(["token", ""], ["authorization", "abc.7"]))).toBe("");
  });

  test("is empty without a credential", () => {
    expect(identityOf(head(["user-agent", "etcdctl"]))).toBe("");
  });
});

test("a caller's credential is the same as it came, scheme and all", () => {
  expect(credentialOf(head(["authorization", "Bearer abc.7"]))).toBe("Bearer abc.7");
  expect(credentialOf(head(["token", "abc.7"], ["authorization", "other"]))).toBe("abc.7");
  expect(credentialOf(head())).toBe("");
});

describe("the wish for a leader", () => {
  test("is `hasleader: true`, and nothing else", () => {
    expect(requiresLeader(head(["hasleader", "true"]))).toBe(true);
    expect(requiresLeader(head(["hasleader", "false"]))).toBe(false);
    expect(requiresLeader(head(["hasleader", ""]))).toBe(false);
    expect(requiresLeader(head())).toBe(false);
  });
});
