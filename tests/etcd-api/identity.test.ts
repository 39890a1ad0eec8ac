import { expect, test } from "bun:test";
import { identityOf } from "../../src/etcd/identity.ts";
import { CallHead } from "../../src/grpc/call-head.ts";
import { headerField } from "../../src/hpack/header-field.ts";

test.each([
  ["nothing", {}, ""],
  ["a token", { token: "alice.1" }, "alice.1"],
  ["an authorization", { authorization: "alice.1" }, "alice.1"],
  ["a bearer's authorization", { authorization: "Bearer alice.1" }, "alice.1"],
  ["both", { authorization: "Bearer bob.2", token: "alice.1" }, "alice.1"],
  ["an empty token beside an authorization", { authorization: "bob.2", token: "" }, ""],
])("a caller with %s is known by its credential's value", (_what, metadata, identity) => {
  const fields = Object.entries(metadata).map(([name, value]) => headerField(name, value));
  expect(identityOf(new CallHead("/etcdserverpb.Lease/LeaseKeepAlive", fields))).toBe(identity);
});
