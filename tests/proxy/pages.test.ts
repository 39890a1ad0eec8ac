/** The pages beside the calls: what they say of a cluster that is well, ill, or not there. */
import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Code, type Status } from "../../src/grpc/status.ts";
import { OwnIdentity, type SignIn } from "../../src/proxy/auth/own-identity.ts";
import { servePage, textPage, type Page } from "../../src/observe/page.ts";
import { createPages } from "../../src/proxy/pages/pages.ts";
import { Forwarding, READ } from "../grpc/forwarding.ts";
import { type StandInCall, StandInMember } from "../grpc/stand-in-member.ts";
import { FakeClock } from "../harness/fake-clock.ts";

const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };

const OWN_METRICS = (): Promise<Page> => Promise.resolve(textPage(200, "own 1\n"));

const text = ({ body }: Page): string => new TextDecoder().decode(body);

/** `/health` in front of a member that answers reads by `answer`. */
async function health(answer: (call: StandInCall) => void): Promise<{ page: Page; paths: string[] }> {
  using member = new StandInMember({ answer });
  using forwarding = new Forwarding([member]);
  const page = await servePage(
    createPages({ channel: forwarding.channel, limits: LIMITS, ownMetrics: OWN_METRICS }),
    "GET",
    "/health?verbose",
  );
  return { page, paths: member.calls.map(({ path }) => path) };
}

describe("/health", () => {
  test("is healthy when a read is answered", async () => {
    const { page, paths } = await health((call) => {
      call.answer(new TextDecoder().decode(toBinary(RangeResponseSchema, create(RangeResponseSchema))));
    });
    expect([page.status, page.contentType, text(page)]).toEqual([
      200,
      "application/json",
      '{"health":"true","reason":""}',
    ]);
    expect(paths).toEqual([READ]);
  });

  const refusals: readonly Status[] = [
    { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" },
    { code: Code.UNAUTHENTICATED, message: "etcdserver: invalid auth token" },
    { code: Code.INVALID_ARGUMENT, message: "etcdserver: user name is empty" },
  ];
  test.each(refusals)("is healthy when the read is refused with %j", async (status) => {
    const { page } = await health((call) => call.fail(status));
    expect(page.status).toBe(200);
  });

  const failures: readonly Status[] = [
    { code: Code.UNAVAILABLE, message: "etcdserver: leader changed" },
    { code: Code.UNAVAILABLE, message: "etcdserver: no leader" },
    { code: Code.INVALID_ARGUMENT, message: "etcdserver: something else" },
  ];
  test.each(failures)("is ill, with the reason, when the read fails with %j", async (status) => {
    const { page } = await health((call) => call.fail(status));
    expect([page.status, text(page)]).toEqual([
      503,
      JSON.stringify({ health: "false", reason: status.message }),
    ]);
  });
});

describe("/health in the name of the proxy's own user", () => {
  const INVALID: Status = { code: Code.UNAUTHENTICATED, message: "etcdserver: invalid auth token" };
  const OLD: Status = {
    code: Code.INVALID_ARGUMENT,
    message: "etcdserver: revision of auth store is old",
  };
  const NO_USER: Status = { code: Code.INVALID_ARGUMENT, message: "etcdserver: user name is empty" };

  /** Which tokens the reads had, in front of a member that takes `valid` ones and refuses others with `refusal`. */
  async function tokensRead(
    signIn: SignIn,
    { valid, refusal }: { valid: readonly string[]; refusal: Status },
  ): Promise<{ page: Page; tokens: (string | undefined)[] }> {
    const clock = new FakeClock();
    const reports = { onSignedIn() {}, onAuthOff() {}, onTrouble() {} };
    const own = new OwnIdentity({ signIn, clock, reports });
    own.start();
    clock.advance(5000);
    using member = new StandInMember({
      answer: (call) => {
        const token = call.field("token");
        if (token !== undefined && valid.includes(token)) call.answer("");
        else call.fail(refusal);
      },
    });
    using forwarding = new Forwarding([member]);
    const pages = createPages({ channel: forwarding.channel, limits: LIMITS, ownMetrics: OWN_METRICS, own });
    const page = await servePage(pages, "GET", "/health");
    own.close();
    return { page, tokens: member.calls.map((call) => call.field("token")) };
  }

  /** Gives these tokens one after another. */
  function giving(...tokens: string[]): SignIn {
    return (handler) => {
      const token = tokens.shift();
      if (token === undefined) handler.onRefused("no more tokens");
      else handler.onToken(token);
    };
  }

  test("reads with its token", async () => {
    const { page, tokens } = await tokensRead(giving("first"), { valid: ["first"], refusal: INVALID });
    expect([page.status, tokens]).toEqual([200, ["first"]]);
  });

  test.each([INVALID, OLD])("reads once more, with a new token, when refused with %j", async (refusal) => {
    const { page, tokens } = await tokensRead(giving("first", "second"), { valid: ["second"], refusal });
    expect([page.status, tokens]).toEqual([200, ["first", "second"]]);
  });

  test("does not go on asking for tokens that do not do", async () => {
    const { page, tokens } = await tokensRead(giving("1", "2", "3"), { valid: [], refusal: INVALID });
    expect([page.status, tokens]).toEqual([200, ["1", "2"]]);
  });

  test("notices by its read that authentication has been turned on", async () => {
    let requests = 0;
    const signIn: SignIn = (handler) => {
      if (requests++ === 0) handler.onAuthOff();
      else handler.onToken("first");
    };
    const { page, tokens } = await tokensRead(signIn, { valid: ["first"], refusal: NO_USER });
    expect([page.status, tokens]).toEqual([200, [undefined, "first"]]);
  });

  test("is as healthy when it is not let in, or may not read", async () => {
    const denied: Status = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };
    const turnedAway = await tokensRead(giving(), { valid: [], refusal: NO_USER });
    expect([turnedAway.page.status, turnedAway.tokens]).toEqual([200, [undefined]]);
    const restricted = await tokensRead(giving("first"), { valid: [], refusal: denied });
    expect([restricted.page.status, restricted.tokens]).toEqual([200, ["first"]]);
  });

  test("is ill when the member cannot read", async () => {
    const refusal: Status = { code: Code.UNAVAILABLE, message: "etcdserver: leader changed" };
    const { page, tokens } = await tokensRead(giving("first"), { valid: [], refusal });
    expect([page.status, tokens]).toEqual([503, ["first"]]);
  });
});

describe("a page", () => {
  test("that does not exist is a 404", async () => {
    using member = new StandInMember();
    using forwarding = new Forwarding([member]);
    const pages = createPages({ channel: forwarding.channel, limits: LIMITS, ownMetrics: OWN_METRICS });
    for (const method of ["GET", "POST"]) {
      const page = await servePage(pages, method, "/nope");
      expect([page.status, text(page)]).toEqual([404, "/nope is not served here\n"]);
    }
  });
});

test("/proxy/metrics is the proxy's own page", async () => {
  using member = new StandInMember();
  using forwarding = new Forwarding([member]);
  const pages = createPages({ channel: forwarding.channel, limits: LIMITS, ownMetrics: OWN_METRICS });
  expect(text(await servePage(pages, "GET", "/proxy/metrics?name=x"))).toBe("own 1\n");
});

describe("/proxy/endpoints", () => {
  test("tells what is known of each member, and which is in use", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using forwarding = new Forwarding([first, second]);
    await forwarding.connectedTo(first);
    forwarding.channel.judge(first.endpoint, { kind: "fit", latencyMs: 2 });
    forwarding.channel.judge(second.endpoint, { kind: "unfit", reason: "has no leader" });
    const pages = createPages({ channel: forwarding.channel, limits: LIMITS, ownMetrics: OWN_METRICS });
    const page = await servePage(pages, "GET", "/proxy/endpoints");
    expect(JSON.parse(text(page))).toEqual({
      endpoints: [
        {
          endpoint: first.endpoint.name,
          state: "fit",
          reason: "",
          latencySeconds: 0.002,
          priority: 0,
          weight: 1,
          inUse: true,
        },
        {
          endpoint: second.endpoint.name,
          state: "unfit",
          reason: "has no leader",
          latencySeconds: null,
          priority: 0,
          weight: 1,
          inUse: false,
        },
      ],
      events: [],
      draining: false,
    });
  });
});
