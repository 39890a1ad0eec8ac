import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { STATUS_PATH, statusProblem, statusRefusal } from "../../src/etcd/member-status.ts";
import { StatusResponseSchema } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Code } from "../../src/grpc/status.ts";

const answer = (fields: MessageInitShape<typeof StatusResponseSchema>): Uint8Array =>
  toBinary(StatusResponseSchema, create(StatusResponseSchema, fields));

test("the path of a member's status is that of the method", () => {
  expect(STATUS_PATH).toBe("/etcdserverpb.Maintenance/Status");
});

describe("a member's status", () => {
  test.each([
    ["a leader known", answer({ leader: 7n }), ""],
    ["a leader known and an alarm", answer({ leader: 7n, errors: ["memberID:1 alarm:NOSPACE"] }), ""],
    ["no leader", answer({ leader: 0n }), "has no leader"],
    ["a learner", answer({ leader: 7n, isLearner: true }), "is a learner"],
    ["nothing that is a status", new Uint8Array([0xff]), "its status is malformed"],
  ])("with %s", (_, message, problem) => {
    expect(statusProblem(message)).toBe(problem);
  });
});

describe("a status that a member does not give", () => {
  test.each([
    [Code.PERMISSION_DENIED, "etcdserver: permission denied"],
    [Code.UNAUTHENTICATED, "etcdserver: invalid auth token"],
    [Code.INVALID_ARGUMENT, "etcdserver: user name is empty"],
  ])("for lack of permission, code %d, is an answer all the same", (code, message) => {
    expect(statusRefusal({ code, message })).toBe("");
  });

  test.each([
    [Code.UNAVAILABLE, "etcdserver: server stopped", "etcdserver: server stopped"],
    [Code.UNIMPLEMENTED, "unknown service", "its status is Unimplemented: unknown service"],
  ])("for another reason, code %d, speaks against it", (code, message, problem) => {
    expect(statusRefusal({ code, message })).toBe(problem);
  });
});
