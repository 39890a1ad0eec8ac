/** A call in the name of the proxy's own user, and what becomes of it when its token has ended. */
import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { inOwnName } from "../../../src/proxy/auth/own-call.ts";
import { OwnIdentity } from "../../../src/proxy/auth/own-identity.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

const TIMES = { timeoutMs: 100, tokenPatienceMs: 50 };
const ended = new ConnectError("etcdserver: invalid auth token", Code.Unauthenticated);
const denied = new ConnectError("etcdserver: permission denied", Code.PermissionDenied);

/** A user whose tokens are `token 1`, `token 2`, …; the first one has lasted for `lastedMs`. */
async function signedIn(lastedMs = 5_000): Promise<OwnIdentity> {
  let tokens = 0;
  const clock = new FakeClock();
  const own = new OwnIdentity({
    signIn: (handler) => queueMicrotask(() => handler.onToken(`token ${++tokens}`)),
    clock,
    reports: { onSignedIn() {}, onAuthOff() {}, onTrouble() {} },
  });
  own.start();
  await own.settledToken(0);
  clock.advance(lastedMs);
  return own;
}

/** Makes a call that is answered by `answers`, one after the other. */
async function callOf(
  own: OwnIdentity | null,
  ...answers: (ConnectError | string)[]
): Promise<{ answer: unknown; tokens: (string | null)[] }> {
  const tokens: (string | null)[] = [];
  const answer = await inOwnName(own, TIMES, async ({ headers }) => {
    tokens.push(new Headers(headers).get("token"));
    const next = answers[tokens.length - 1]!;
    if (next instanceof ConnectError) throw next;
    return next;
  }).catch((error: unknown) => error);
  return { answer, tokens };
}

describe("a call", () => {
  test("is made with the token, or without where there is no user", async () => {
    expect(await callOf(await signedIn(), "done")).toEqual({ answer: "done", tokens: ["token 1"] });
    expect(await callOf(null, "done")).toEqual({ answer: "done", tokens: [null] });
  });

  test("whose token has ended is made once more, with the next one", async () => {
    expect(await callOf(await signedIn(), ended, "done")).toEqual({
      answer: "done",
      tokens: ["token 1", "token 2"],
    });
    expect(await callOf(await signedIn(), ended, ended)).toEqual({
      answer: ended,
      tokens: ["token 1", "token 2"],
    });
  });

  test("is made once where there is no other token soon, or it was refused for something else", async () => {
    expect(await callOf(await signedIn(0), ended)).toEqual({ answer: ended, tokens: ["token 1"] });
    expect(await callOf(await signedIn(), denied)).toEqual({ answer: denied, tokens: ["token 1"] });
    expect(await callOf(null, ended)).toEqual({ answer: ended, tokens: [null] });
  });
});
