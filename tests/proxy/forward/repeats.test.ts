import { describe, expect, test } from "bun:test";
import { createEndpoint } from "../../../src/endpoints/endpoint.ts";
import type { CallFailure } from "../../../src/grpc/client-call.ts";
import { Code } from "../../../src/grpc/status.ts";
import { Repeats } from "../../../src/proxy/forward/repeats.ts";

const A = createEndpoint("http", "a", 1);
const B = createEndpoint("http", "b", 2);
const isRead = (): boolean => true;
const isWrite = (): boolean => false;
const notAsked = (): boolean => {
  throw new Error("it does not matter here");
};

function failure(what: Partial<CallFailure>, message = "failed"): CallFailure {
  const status = { code: Code.UNAVAILABLE, message };
  return { status, connectionLost: false, neverProcessed: false, notEtcd: false, ...what };
}
const lost = failure({ connectionLost: true }, "connection lost");
const refused = failure({ neverProcessed: true }, "refused");

describe("a call whose connection was lost", () => {
  test("is repeated when it is a read, once on each endpoint", () => {
    const repeats = new Repeats();
    expect(repeats.after(lost, isRead)).toBe(true);
    expect(repeats.instead(A)).toBeNull();
    expect(repeats.after(lost, isRead)).toBe(true);
    expect(repeats.instead(B)).toBeNull();
    expect(repeats.after(failure({ connectionLost: true }, "the last failure"), isRead)).toBe(true);
    expect(repeats.instead(A)?.message).toBe("the last failure");
    expect(repeats.instead(B)?.message).toBe("the last failure");
  });

  test("is not repeated when it may have changed something", () => {
    expect(new Repeats().after(lost, isWrite)).toBe(false);
  });
});

test("a call that failed otherwise is not repeated, nor is anybody asked what it is", () => {
  expect(new Repeats().after(failure({}), notAsked)).toBe(false);
  expect(new Repeats().after(failure({ notEtcd: true }), notAsked)).toBe(false);
});

describe("a call that never ran", () => {
  test("is sent again whatever it is, wherever, five times at most", () => {
    const repeats = new Repeats();
    for (let attempt = 0; attempt < 5; attempt++) {
      expect(repeats.after(refused, notAsked)).toBe(true);
      expect(repeats.instead(A)).toBeNull();
    }
    expect(repeats.after(refused, notAsked)).toBe(false);
  });

  test("since its connection went before it was looked at, is a read to be repeated after that", () => {
    const repeats = new Repeats();
    const gone = failure({ neverProcessed: true, connectionLost: true });
    for (let attempt = 0; attempt < 5; attempt++) repeats.after(gone, notAsked);
    expect(repeats.after(gone, isRead)).toBe(true);
    expect(repeats.instead(A)).toBeNull();
    expect(repeats.after(gone, isRead)).toBe(true);
    expect(repeats.instead(A)).toEqual(gone.status);
  });

  test("does not use up the one repeat that an endpoint has for lost connections", () => {
    const repeats = new Repeats();
    repeats.after(refused, isRead);
    expect(repeats.instead(A)).toBeNull();
    repeats.after(lost, isRead);
    expect(repeats.instead(A)).toBeNull();
    repeats.after(refused, isRead);
    expect(repeats.instead(A)).toBeNull();
    repeats.after(lost, isRead);
    expect(repeats.instead(A)).toEqual(lost.status);
  });
});

describe("a read that a member refused", () => {
  test("avoids that member, and is made there once more when there is no other", () => {
    const repeats = new Repeats();
    repeats.afterRefusal("etcdserver: no leader", A);
    expect([repeats.avoids(A), repeats.avoids(B)]).toEqual([true, false]);
    expect(repeats.instead(A)).toBeNull();
    repeats.afterRefusal("etcdserver: no leader", A);
    expect(repeats.instead(A)).toEqual({ code: Code.UNAVAILABLE, message: "etcdserver: no leader" });
  });

  test("avoids the one that refused last", () => {
    const repeats = new Repeats();
    repeats.afterRefusal("etcdserver: no leader", A);
    repeats.afterRefusal("etcdserver: server stopped", B);
    expect([repeats.avoids(A), repeats.avoids(B)]).toEqual([false, true]);
  });
});
