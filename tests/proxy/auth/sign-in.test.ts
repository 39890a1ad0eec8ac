/** One request for a token of the proxy's own user: what is asked, and what each answer means. */
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  Auth,
  AuthenticateRequestSchema,
  AuthenticateResponseSchema,
} from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { connectTransport } from "../../../src/grpc/connect-transport.ts";
import { SMALL_ANSWERS } from "../../../src/grpc/in-process-call.ts";
import { Code, RESPONSE_HEAD, type Status, statusTrailers } from "../../../src/grpc/status.ts";
import { signInOf } from "../../../src/proxy/auth/sign-in.ts";
import { SignInLog } from "../../../src/proxy/auth/sign-in-log.ts";
import { SingleRequestForward } from "../../../src/proxy/forward/single-request.ts";
import { RecordedLog } from "../../gateway/recorded-log.ts";
import { Forwarding } from "../../grpc/forwarding.ts";
import { framed, type StandInCall, StandInMember } from "../../grpc/stand-in-member.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";

const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };
const PASSWORD = "a secret, 100%";

let folder: TemporaryFolder;
beforeEach(() => {
  folder = new TemporaryFolder("sign");
  writeFileSync(folder.file("password"), `${PASSWORD}\n`);
});
afterEach(() => folder[Symbol.dispose]());

interface Outcome {
  /** What the handler was told. */
  readonly told: string;
  readonly calls: readonly StandInCall[];
}

/** Asks a member that answers by `answer`. */
async function ask(answer: (call: StandInCall) => void): Promise<Outcome> {
  using member = new StandInMember({ answer });
  using forwarding = new Forwarding([member]);
  const transport = connectTransport((call) => {
    new SingleRequestForward(call, forwarding.channel, LIMITS, true);
  }, SMALL_ANSWERS);
  const user = { name: "proxy", passwordFile: folder.file("password") };
  const signIn = signInOf(user, createClient(Auth, transport));
  const told = await new Promise<string>((resolve) => {
    let asked = false;
    const tell = (text: string): void => resolve(asked ? text : `before the asking had returned: ${text}`);
    signIn({
      onToken: (token) => tell(`token ${token}`),
      onAuthOff: () => tell("off"),
      onRefused: (reason) => tell(`refused ${reason}`),
      onFailed: (reason) => tell(`failed ${reason}`),
    });
    asked = true;
  });
  return { told, calls: member.calls };
}

function giveToken(call: StandInCall, token: string): void {
  const message = toBinary(AuthenticateResponseSchema, create(AuthenticateResponseSchema, { token }));
  call.stream.sendHeaders(RESPONSE_HEAD, false);
  call.sendBytes(framed(message));
  call.stream.sendTrailers(statusTrailers({ code: Code.OK, message: "" }));
}

describe("a token", () => {
  test("is asked for with the name and the password of the file", async () => {
    const { told, calls } = await ask((call) => giveToken(call, "token.1"));
    expect(told).toBe("token token.1");
    expect(calls.map(({ path }) => path)).toEqual(["/etcdserverpb.Auth/Authenticate"]);
    const { name, password } = fromBinary(AuthenticateRequestSchema, calls[0]!.request.subarray(5));
    expect({ name, password }).toEqual({ name: "proxy", password: PASSWORD });
  });

  test.each([
    ["empty", ""],
    ["more than one line", "token\nx: y"],
    ["not ASCII", "tökén"],
    ["too long for a header", "x".repeat(8193)],
  ])("that is %s is none", async (_, token) => {
    const { told } = await ask((call) => giveToken(call, token));
    expect(told).toBe("failed the member's answer has no token that a call could carry");
  });
});

describe("an answer", () => {
  const BAD_PASSWORD = "etcdserver: authentication failed, invalid user ID or password";
  const cases: readonly [Status, string][] = [
    [{ code: Code.FAILED_PRECONDITION, message: "etcdserver: authentication is not enabled" }, "off"],
    [{ code: Code.INVALID_ARGUMENT, message: BAD_PASSWORD }, `refused ${BAD_PASSWORD}`],
    [{ code: Code.PERMISSION_DENIED, message: "no" }, "refused no"],
    [
      { code: Code.UNAVAILABLE, message: "etcdserver: request timed out" },
      "failed etcdserver: request timed out",
    ],
    [
      { code: Code.RESOURCE_EXHAUSTED, message: "etcdserver: too many requests" },
      "failed etcdserver: too many requests",
    ],
  ];
  test.each(cases)("of %j is understood", async (status, expected) => {
    expect((await ask((call) => call.fail(status))).told).toBe(expected);
  });

  test("that repeats the password is told without it, and cut", async () => {
    const message = `${PASSWORD} is wrong: ${PASSWORD} ${"x".repeat(2000)}`;
    const { told } = await ask((call) => call.fail({ code: Code.INVALID_ARGUMENT, message }));
    expect(told).toStartWith("refused … is wrong: … xxx");
    expect(told.length).toBeLessThan(400);
  });
});

test("a password that cannot be read is a refusal, and no member is asked", async () => {
  writeFileSync(folder.file("password"), "");
  const { told, calls } = await ask((call) => giveToken(call, "token.1"));
  expect(told).toBe(
    `refused --password-file ${folder.file("password")} is empty: write the password into its first line`,
  );
  expect(calls).toEqual([]);
});

describe("the log", () => {
  let nowMs = 0;
  let recorded: RecordedLog;
  let log: SignInLog;
  beforeEach(() => {
    nowMs = 0;
    recorded = new RecordedLog();
    log = new SignInLog(
      recorded,
      "proxy",
      () => "10.0.0.1:2379",
      () => nowMs,
    );
  });
  const told = (): string[] => recorded.lines.map(({ level, message }) => `${level} ${message}`);

  test("tells a trouble once a minute, with the user, the member and the reason", () => {
    for (let time = 0; time < 100; time++, nowMs += 1000) log.onTrouble("wrong");
    expect(told()).toEqual(["warn cannot authenticate as --user", "warn cannot authenticate as --user"]);
    expect(recorded.lines[1]!.fields).toEqual({
      user: "proxy",
      endpoint: "10.0.0.1:2379",
      reason: "wrong",
      suppressed: 59,
    });
  });

  test("tells that it is signed in at first and after a trouble, and not at each renewal", () => {
    log.onSignedIn();
    log.onSignedIn();
    log.onTrouble("wrong");
    log.onSignedIn();
    log.onAuthOff();
    log.onAuthOff();
    log.onSignedIn();
    expect(told()).toEqual([
      "info authenticated as --user",
      "warn cannot authenticate as --user",
      "info authenticated as --user",
      "info authentication is off in etcd: --user is not needed",
      "info authenticated as --user",
    ]);
  });
});
