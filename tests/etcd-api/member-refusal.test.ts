import { expect, test } from "bun:test";
import { memberRefusal, memberRefusalOf } from "../../src/etcd/member-refusal.ts";
import { Code, statusTrailers, trailersOnly } from "../../src/grpc/status.ts";

test.each(["etcdserver: no leader", "etcdserver: server stopped"])("%p speaks of the member", (message) => {
  expect(memberRefusal(statusTrailers({ code: Code.UNAVAILABLE, message }))).toBe(message);
  expect(memberRefusal(trailersOnly({ code: Code.UNAVAILABLE, message }))).toBe(message);
});

test.each([
  "etcdserver: leader changed",
  "etcdserver: request timed out",
  "etcdserver: request timed out, possibly due to previous leader failure",
  "etcdserver: no leader today",
  "",
])("%p speaks of the request", (message) => {
  expect(memberRefusal(statusTrailers({ code: Code.UNAVAILABLE, message }))).toBeUndefined();
});

test("the text under another code speaks of the request", () => {
  const message = "etcdserver: no leader";
  expect(memberRefusal(statusTrailers({ code: Code.UNKNOWN, message }))).toBeUndefined();
});

test("a section without status is no refusal", () => {
  expect(memberRefusal([])).toBeUndefined();
});

test("a member that was removed says so in the words of raft, under no code in particular", () => {
  expect(memberRefusalOf({ code: Code.UNKNOWN, message: "raft: stopped" })).toBe("raft: stopped");
  expect(memberRefusalOf({ code: Code.UNAVAILABLE, message: "raft: stopped" })).toBeUndefined();
  expect(memberRefusalOf({ code: Code.UNKNOWN, message: "etcdserver: no leader" })).toBeUndefined();
});
