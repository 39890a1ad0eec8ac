/** When the proxy asks for a token of its own user, and how seldom; what etcd answers is made up. */
import { beforeEach, describe, expect, test } from "bun:test";
import { OwnIdentity, type SignInHandler } from "../../../src/proxy/auth/own-identity.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

const INVALID = "etcdserver: invalid auth token";
const OLD_REVISION = "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old";
const USER_EMPTY = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
const DENIED = "etcdserver: permission denied";

let clock: FakeClock;
let asked: SignInHandler[];
let troubles: string[];
let own: OwnIdentity;
let changes: string[];

beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  troubles = [];
  changes = [];
  own = new OwnIdentity({
    signIn: (handler) => asked.push(handler),
    clock,
    reports: { onSignedIn() {}, onAuthOff() {}, onTrouble: (reason) => troubles.push(reason) },
    random: () => 0,
  });
  own.listen(() => changes.push(own.token));
});

/** The request for a token that is under way. */
function request(): SignInHandler {
  return asked.at(-1)!;
}

/** Signs in, and lets the token last. */
function signIn(token = "first"): void {
  own.start();
  request().onToken(token);
  clock.advance(5000);
}

describe("a token", () => {
  test("is asked for at the start, once, and there is none until then", () => {
    expect(asked.length).toBe(0);
    own.start();
    own.start();
    expect([asked.length, own.token, own.expected]).toEqual([1, "", true]);
    request().onToken("first");
    expect([own.token, own.expected, changes]).toEqual(["first", false, ["first"]]);
  });

  test.each([INVALID, OLD_REVISION])(
    "that is refused with %j is asked for anew, at once and once",
    (reason) => {
      signIn();
      own.onRefused("first", reason);
      own.onRefused("first", reason);
      expect([asked.length, own.token, own.expected]).toEqual([2, "", true]);
      request().onToken("second");
      own.onRefused("first", reason);
      expect([asked.length, own.token]).toEqual([2, "second"]);
    },
  );

  test.each([DENIED, USER_EMPTY])("is kept when a call is refused with %j", (reason) => {
    signIn();
    own.onRefused("first", reason);
    expect([asked.length, own.token]).toEqual([1, "first"]);
  });

  test("is not asked for when another's is refused", () => {
    signIn();
    own.onRefused("a client's", INVALID);
    own.onRefused("", USER_EMPTY);
    expect([asked.length, own.token]).toEqual([1, "first"]);
  });

  test("that is refused as soon as it was given makes pauses that grow", () => {
    own.start();
    request().onToken("0");
    const times: number[] = [];
    for (let round = 1; round <= 7; round++) {
      own.onRefused(own.token, INVALID);
      expect([own.token, own.expected]).toEqual(["", true]);
      const before = clock.nowMs();
      while (asked.length === round) clock.advance(100);
      times.push(clock.nowMs() - before);
      request().onToken(`${round}`);
    }
    expect(times).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    clock.advance(2000);
    own.onRefused(own.token, INVALID);
    expect(asked.length).toBe(9);
  });
});

describe("a refusal of the user", () => {
  test("is told, and it is asked again with pauses that grow up to half a minute", () => {
    own.start();
    let requests = 0;
    for (let ms = 0; ms < 600_000; ms += 100) {
      if (asked.length > requests) {
        requests = asked.length;
        request().onRefused("etcdserver: authentication failed, invalid user ID or password");
        expect([own.token, own.expected]).toEqual(["", false]);
      }
      clock.advance(100);
    }
    expect(requests).toBeWithin(20, 46);
    expect(troubles.length).toBe(requests);
  });

  test("is over once etcd gives a token", () => {
    own.start();
    request().onRefused("no");
    clock.advance(30_000);
    request().onToken("first");
    expect([asked.length, own.token]).toEqual([2, "first"]);
  });

  test("is not hurried by calls that are refused meanwhile", () => {
    own.start();
    request().onRefused("no");
    for (let time = 0; time < 100; time++) own.onRefused("", USER_EMPTY);
    expect(asked.length).toBe(1);
  });
});

describe("when no member can say", () => {
  test("it is asked again within seconds, and a token may be expected all the time", () => {
    own.start();
    for (let round = 1; round < 20; round++) {
      request().onFailed("no member");
      expect(own.expected).toBe(true);
      clock.advance(5000);
      expect(asked.length).toBe(round + 1);
    }
  });
});

describe("while authentication is off", () => {
  beforeEach(() => {
    own.start();
    request().onAuthOff();
  });

  test("there is no token, and none is expected", () => {
    expect([own.token, own.expected]).toEqual(["", false]);
  });

  test("it is looked now and then whether it is on", () => {
    clock.advance(29_000);
    expect(asked.length).toBe(1);
    clock.advance(2000);
    request().onToken("first");
    expect([asked.length, own.token]).toEqual([2, "first"]);
  });

  test("a call that needs a user tells that it is on", () => {
    clock.advance(2000);
    own.onRefused("", USER_EMPTY);
    own.onRefused("", USER_EMPTY);
    expect([asked.length, own.expected]).toEqual([2, true]);
  });

  test("members that contradict each other make pauses", () => {
    for (let time = 0; time < 1000; time++) {
      own.onRefused("", USER_EMPTY);
      if (own.expected && asked.length > 1) request().onAuthOff();
      clock.advance(10);
    }
    expect(asked.length).toBeLessThan(10);
  });
});

describe("who waits for a token", () => {
  test("gets it when it comes", async () => {
    own.start();
    const token = own.settledToken(1000);
    request().onToken("first");
    expect(await token).toBe("first");
  });

  test("waits so long and no longer", async () => {
    own.start();
    const token = own.settledToken(1000);
    clock.advance(1000);
    expect(await token).toBe("");
  });

  test("waits for nobody who is not being asked", async () => {
    own.start();
    request().onRefused("no");
    expect(await own.settledToken(1000)).toBe("");
  });
});

test("once closed, it asks no more and tells nothing", () => {
  own.start();
  own.close();
  request().onFailed("no member");
  clock.advance(60_000);
  expect([asked.length, changes, troubles, clock.timers, own.expected]).toEqual([1, [], [], 0, false]);
});
