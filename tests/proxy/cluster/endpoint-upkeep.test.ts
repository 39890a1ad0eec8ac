import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { createEndpoint, type Endpoint } from "../../../src/endpoints/endpoint.ts";
import type { EndpointSource } from "../../../src/endpoints/endpoint-refresh.ts";
import { MemberListResponseSchema } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import type { DnsResolver } from "../../../src/net/resolver.ts";
import { OwnIdentity } from "../../../src/proxy/auth/own-identity.ts";
import { EndpointUpkeep, type EndpointUpkeepOptions } from "../../../src/proxy/cluster/endpoint-upkeep.ts";
import { RecordedLog } from "../../gateway/recorded-log.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

interface ListedMember {
  readonly name?: string;
  readonly clientURLs?: string[];
  readonly isLearner?: boolean;
}

const INTERVAL_MS = 10_000;
const LISTENING = { hostname: "127.0.0.1", port: 23790 };
const endpoint = (hostname: string): Endpoint => createEndpoint("http", hostname, 2379);
const listed = (...hosts: string[]): ListedMember[] =>
  hosts.map((host) => ({ name: host, clientURLs: [`http://${host}:2379`] }));

/** Names that lead to loopback are the proxy's own, by any of its ports. */
const resolver: DnsResolver = {
  srv: () => Promise.resolve([]),
  addresses: (hostname) => Promise.resolve(hostname.startsWith("me") ? ["127.0.0.1"] : ["10.0.0.1"]),
};

/** What has been begun goes on until it waits for time, or for an answer. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A proxy that began with the endpoints `named`, and whose cluster answers with `answers.members`. */
function upkeep(named: string[], options: Partial<EndpointUpkeepOptions> = {}) {
  const clock = new FakeClock();
  const log = new RecordedLog();
  const lists: string[] = [];
  const requests: { linearizable: boolean; token: string | null }[] = [];
  const answers: { members: ListedMember[] | Error } = { members: [] };
  const kept = new EndpointUpkeep({
    endpoints: named.map(endpoint),
    discovery: null,
    autoSyncIntervalMs: INTERVAL_MS,
    unstatedScheme: "http",
    members: {
      async memberList(request, options) {
        const { linearizable = false } = request;
        requests.push({ linearizable, token: new Headers(options?.headers).get("token") });
        if (answers.members instanceof Error) throw answers.members;
        return create(MemberListResponseSchema, { members: answers.members });
      },
    },
    own: null,
    listening: [LISTENING],
    resolver,
    onChange: (endpoints) => lists.push(endpoints.map(({ scheme, name }) => `${scheme}://${name}`).join()),
    clock,
    log,
    ...options,
  });
  kept.start();
  return {
    kept,
    clock,
    log,
    requests,
    /** Every list that the channel was given. */
    lists,
    async sync(members: ListedMember[] | Error) {
      answers.members = members;
      clock.advance(INTERVAL_MS);
      await settled();
    },
    async allFail() {
      kept.allFailed();
      clock.advance(30_000);
      await settled();
    },
  };
}

describe("the member list as endpoints", () => {
  test("is asked for linearizably, after each interval, the first one included", async () => {
    const { clock, requests, sync } = upkeep(["a"]);
    expect(requests).toEqual([]);
    await sync(listed("a"));
    await sync(listed("a"));
    const anonymous = { linearizable: true, token: null };
    expect(requests).toEqual([anonymous, anonymous]);
    expect(clock.timers).toBe(1);
  });

  test("is asked for in the name of the proxy's own user, and no more once its token has ended", async () => {
    let tokens = 0;
    const own = new OwnIdentity({
      signIn: (handler) => queueMicrotask(() => handler.onToken(`token ${++tokens}`)),
      clock: new FakeClock(),
      reports: { onSignedIn() {}, onAuthOff() {}, onTrouble() {} },
    });
    own.start();
    // What the first token was asked for lies longer back than a mistake would.
    const { requests, sync } = upkeep(["a"], { own });
    await sync(new ConnectError("etcdserver: permission denied", Code.PermissionDenied));
    await sync(new ConnectError("etcdserver: invalid auth token", Code.Unauthenticated));
    own.close();
    await sync(listed("a"));
    expect(requests.map(({ token }) => token)).toEqual(["token 1", "token 1", null]);
  });

  test("adds members and drops those that are gone", async () => {
    const { lists, sync, log } = upkeep(["a"]);
    await sync(listed("a"));
    await sync(listed("a", "b"));
    await sync(listed("b"));
    expect(lists).toEqual(["http://a:2379,http://b:2379", "http://b:2379"]);
    expect(log.fieldsOf("the endpoints have changed")[0]).toEqual({
      source: "member list",
      added: ["b:2379"],
      removed: [],
      changed: [],
    });
  });

  test("skips learners, and members that have not started; a promoted learner is used", async () => {
    const { lists, sync } = upkeep(["a"]);
    const learner = { name: "l", clientURLs: ["http://l:2379"], isLearner: true };
    await sync([...listed("b"), learner, { clientURLs: [] }, { clientURLs: ["http://n:2379"] }]);
    await sync([...listed("b"), { ...learner, isLearner: false }]);
    expect(lists).toEqual(["http://b:2379", "http://b:2379,http://l:2379"]);
  });

  test("takes every client URL of a member, each address once, under its own scheme", async () => {
    const { lists, sync, log } = upkeep(["a"]);
    await sync([
      { name: "b", clientURLs: ["https://b:2379", "http://10.0.0.7:2379", "10.0.0.8:1"] },
      { name: "c", clientURLs: ["https://B:2379", "unix://c.sock", "http://c:2379/path", ""] },
    ]);
    expect(lists).toEqual(["https://b:2379,http://10.0.0.7:2379,http://10.0.0.8:1"]);
    expect(log.warnings()).toHaveLength(3);
    expect(log.warnings()[0]).toBe(
      "a client URL of the member list is left out: the client URL of member c: " +
        '"unix://c.sock" has the scheme unix: write http://, https:// or only host:port',
    );
  });

  test("never takes an address that leads back to the proxy, by any name", async () => {
    const { lists, sync, log } = upkeep(["a"]);
    const own = ["http://127.0.0.1:23790", "http://me.test:23790"];
    await sync([{ name: "b", clientURLs: [...own, "http://me.test:2379", "http://b:2379"] }]);
    await sync([{ name: "b", clientURLs: [...own, "http://me.test:2379", "http://b:2379"] }]);
    expect(lists).toEqual(["http://me.test:2379,http://b:2379"]);
    expect(log.fieldsOf("an endpoint is this proxy itself, left out")).toEqual([
      { endpoints: ["127.0.0.1:23790", "me.test:23790"] },
    ]);
  });

  test("changes nothing when it cannot be had, or would leave no endpoint; each reason is told once", async () => {
    const { lists, sync, log } = upkeep(["a"]);
    for (let round = 0; round < 2; round++) await sync(new ConnectError("no leader", Code.Unavailable));
    for (let round = 0; round < 2; round++)
      await sync([{ name: "b", clientURLs: ["unix://b"], isLearner: true }]);
    await sync(listed("b"));
    expect(lists).toEqual(["http://b:2379"]);
    expect(log.warnings()).toEqual([
      "the member list cannot be had, the endpoints stay as they are: no leader",
      "the member list names no endpoint that can be used: the endpoints stay as they are",
    ]);
  });

  test("keeps the weights that the flags give", async () => {
    const weights: number[][] = [];
    const { sync } = upkeep([], {
      endpoints: [createEndpoint("http", "a", 2379, { weight: 3 })],
      onChange: (endpoints) => weights.push(endpoints.map(({ weight }) => weight)),
    });
    await sync(listed("a", "b"));
    expect(weights).toEqual([[3, 1]]);
  });

  test("is cut at a hundred endpoints", async () => {
    const { lists, sync } = upkeep(["a"]);
    await sync(listed(...Array.from({ length: 150 }, (_, index) => `m${index}`)));
    expect(lists[0]?.split(",")).toHaveLength(100);
  });

  test("is not asked for any more after the end", async () => {
    const { kept, clock, lists, sync, requests } = upkeep(["a"]);
    kept.close();
    await sync(listed("b"));
    expect({ requests, lists, timers: clock.timers }).toEqual({ requests: [], lists: [], timers: 0 });
  });
});

describe("when all that the member list names fails", () => {
  test("what the flags name is used as well, until the members change", async () => {
    const { lists, sync, allFail } = upkeep(["a"]);
    await sync(listed("unreachable-from-here"));
    await allFail();
    expect(lists).toEqual([
      "http://unreachable-from-here:2379",
      "http://a:2379,http://unreachable-from-here:2379",
    ]);
    // The members are still the same: that would only fail again.
    await sync(listed("unreachable-from-here"));
    expect(lists).toHaveLength(2);
    await sync(listed("b"));
    expect(lists.at(-1)).toBe("http://b:2379");
  });

  test("what DNS names now is used as well", async () => {
    const source: EndpointSource = {
      name: "SRV records",
      lookUp: async () => ({
        endpoints: ["found", "me.test"].map(endpoint),
        warnings: [],
        incomplete: false,
      }),
      refreshMs: 1000,
      first: { endpoints: [endpoint("a")], warnings: [], incomplete: true },
    };
    const { lists, sync, allFail, clock } = upkeep(["a"], {
      discovery: source,
      listening: [{ hostname: "127.0.0.1", port: 2379 }],
    });
    // The member list says who the endpoints are, as with etcd's Go client: nothing is looked up meanwhile.
    clock.advance(INTERVAL_MS - 1);
    expect(lists).toEqual([]);
    await sync(listed("b"));
    expect(lists).toEqual(["http://b:2379"]);
    await allFail();
    expect(lists.at(-1)).toBe("http://found:2379,http://b:2379");
  });
});

test("without --endpoints-auto-sync-interval records are looked up, and what is the proxy's own is left out", async () => {
  const found = ["b", "me.test"].map((host) => createEndpoint("http", host, LISTENING.port));
  const { lists, clock, requests } = upkeep(["a"], {
    autoSyncIntervalMs: 0,
    discovery: {
      name: "SRV records",
      lookUp: async () => ({ endpoints: found, warnings: [], incomplete: false }),
      refreshMs: 1000,
      first: { endpoints: [endpoint("a")], warnings: [], incomplete: false },
    },
  });
  clock.advance(1200);
  await settled();
  expect({ lists, requests }).toEqual({ lists: [`http://b:${LISTENING.port}`], requests: [] });
});
