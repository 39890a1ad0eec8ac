/**
 * Keepalive pings towards members: silent ones are found out, and no etcd ends a connection for them again and again.
 *
 * Times are short here; what they are to each other is what matters to a member.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DeadlineTimer } from "../../src/base/deadline-wheel.ts";
import { createEndpoint, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { MemberKeepalive, type MemberKeepaliveOptions } from "../../src/grpc/member-keepalive.ts";
import { Code } from "../../src/grpc/status.ts";
import { parseAddress } from "../../src/net/address.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor } from "../harness/wait-for.ts";
import { ended, Forwarding, READ, WATCH } from "./forwarding.ts";
import { PingTap } from "./ping-tap.ts";
import { StandInMember } from "./stand-in-member.ts";

setDefaultTimeout(60_000);

const OK = { code: Code.OK, message: "" };

/** A keepalive on a timer as fine as these times, and how often members have made it back off: to how many milliseconds. */
function keepalive(options: Partial<MemberKeepaliveOptions> = {}): {
  keepalive: MemberKeepalive;
  backedOff: number[];
} {
  const backedOff: number[] = [];
  const all = { timeMs: 50, timeoutMs: 10_000, withoutStreams: false, ...options };
  return {
    keepalive: new MemberKeepalive(all, new DeadlineTimer(5), (_endpoint, timeMs) => backedOff.push(timeMs)),
    backedOff,
  };
}

function endpointAt(address: string): Endpoint {
  const { hostname, port } = parseAddress(address);
  return createEndpoint("http", hostname, port);
}

function nameOf(member: StandInMember): string {
  return `127.0.0.1:${member.endpoint.port}`;
}

describe("a connection that carries nothing any more", () => {
  test("is given up, and a read that waits on it is answered by another member", async () => {
    using silent = new StandInMember();
    using good = new StandInMember({ answer: (call) => call.answer("done") });
    using relay = new TcpRelay(nameOf(silent));
    const endpoints = [endpointAt(relay.endpoint), good.endpoint];
    const reasons: string[] = [];
    using proxy = new Forwarding([silent, good], {
      endpoints,
      keepalive: keepalive({ timeMs: 50, timeoutMs: 100 }).keepalive,
      events: {
        onConnected() {},
        onUnexpectedError: (error) => {
          throw error;
        },
        onEndpointFailed: ({ name }, reason) => reasons.push(`${name}: ${reason}`),
      },
    });
    const read = proxy.single(READ);
    await silent.call(0);
    relay.stall();
    expect(await ended(read)).toEqual(OK);
    expect(reasons[0]).toBe(`${endpoints[0]!.name}: no answer to a keepalive ping within 0.1 s`);
    expect(good.calls.length).toBe(1);
  });

  test("is found out by the first call that comes after a long rest", async () => {
    using silent = new StandInMember();
    using good = new StandInMember({ answer: (call) => call.answer("done") });
    const pings = new PingTap();
    using relay = new TcpRelay(nameOf(silent), pings);
    using proxy = new Forwarding([silent, good], {
      endpoints: [endpointAt(relay.endpoint), good.endpoint],
      keepalive: keepalive({ timeMs: 30, timeoutMs: 100 }).keepalive,
    });
    await waitFor("the connection", () => proxy.channel.connectionsOpen === 1);
    relay.stall();
    expect(await ended(proxy.single(READ))).toEqual(OK);
    expect(good.calls.length).toBe(1);
  });
});

describe("an idle connection", () => {
  test("is never pinged, one beside it twice where that is permitted", async () => {
    using member = new StandInMember();
    const [never, twice] = [new PingTap(), new PingTap()];
    using neverRelay = new TcpRelay(nameOf(member), never);
    using twiceRelay = new TcpRelay(nameOf(member), twice);
    using _idle = new Forwarding([member], {
      endpoints: [endpointAt(neverRelay.endpoint)],
      keepalive: keepalive({ timeMs: 20 }).keepalive,
    });
    using permitted = new Forwarding([member], {
      endpoints: [endpointAt(twiceRelay.endpoint)],
      keepalive: keepalive({ timeMs: 20, withoutStreams: true }).keepalive,
    });
    await waitFor("two answers", () => twice.answered === 2);
    // Six times as long as a third one would take: it tells by the pings of a call that time has passed.
    using busy = new StandInMember();
    const clock = new PingTap();
    using clockRelay = new TcpRelay(nameOf(busy), clock);
    using ticking = new Forwarding([busy], {
      endpoints: [endpointAt(clockRelay.endpoint)],
      keepalive: keepalive({ timeMs: 20 }).keepalive,
    });
    ticking.stream(WATCH);
    await waitFor("six pings of the other", () => clock.answered >= 6);
    expect([never.asked, twice.asked]).toEqual([0, 2]);
    expect(permitted.channel.connectionsOpen).toBe(1);
  });
});

/** Keeps a call open on `proxy` for as long as it is told, however often its connection ends. */
function keepsOneCallOpen(proxy: Forwarding): { stop(): void } {
  let again = async (): Promise<void> => {
    await proxy.stream(WATCH).status;
    await again();
  };
  void again();
  return {
    stop() {
      again = () => Promise.resolve();
    },
  };
}

describe("a member that answers too_many_pings", () => {
  test("is pinged half as often by each later connection, others as before", async () => {
    using strict = new StandInMember({ pingIntervalMinMs: 3_600_000 });
    const { keepalive: shared, backedOff } = keepalive({ timeMs: 20 });
    using proxy = new Forwarding([strict], { keepalive: shared });
    const call = keepsOneCallOpen(proxy);
    await waitFor("four connections that end", () => backedOff.length >= 4);
    call.stop();
    expect(backedOff.slice(0, 4)).toEqual([40, 80, 160, 320]);

    using lenient = new StandInMember();
    const pings = new PingTap();
    using relay = new TcpRelay(nameOf(lenient), pings);
    using other = new Forwarding([lenient], { endpoints: [endpointAt(relay.endpoint)], keepalive: shared });
    other.stream(WATCH);
    await waitFor("pings of the other", () => pings.answered >= 4);
    expect(lenient.accepted).toBe(1);
  });

  test("backs off once for connections that end together, and never beyond two hours", async () => {
    const { keepalive: shared, backedOff } = keepalive({ timeMs: 3_600_000 });
    using member = new StandInMember();
    using proxy = new Forwarding([member], { keepalive: shared });
    await proxy.connectedTo(member);
    const { connection } = proxy.channel.available!;
    const calm = (): void => shared.start(member.endpoint, connection).onGoaway(11, "too_many_pings");
    const together = [1, 2].map(() => shared.start(member.endpoint, connection));
    for (const run of together) run.onGoaway(11, "too_many_pings");
    expect(backedOff).toEqual([7_200_000]);
    calm();
    expect(backedOff).toEqual([7_200_000]);
    using another = new StandInMember();
    const run = shared.start(another.endpoint, connection);
    run.onGoaway(11, "something else");
    run.onGoaway(0, "too_many_pings");
    expect(backedOff).toEqual([7_200_000]);
    for (const each of [...together, run]) each.stop();
  });
});

describe("a real etcd", () => {
  const CLUSTERS = 3;
  const clusters: EtcdCluster[] = [];
  const flags = [[], ["--grpc-keepalive-min-time=10m"], ["--grpc-keepalive-min-time=100ms"]];
  beforeAll(async () => {
    clusters.push(...(await Promise.all(flags.map((own) => startEtcdCluster({ members: 1, flags: own })))));
  }, 60_000 * CLUSTERS);
  afterAll(async () => {
    await Promise.all(clusters.map((cluster) => cluster.dispose()));
  });

  test("lets all pings of an idle connection pass, and those between its calls", async () => {
    const pings = new PingTap();
    using relay = new TcpRelay(clusters[0]!.endpoints[0]!, pings);
    const { keepalive: idle, backedOff } = keepalive({ timeMs: 20, withoutStreams: true });
    using proxy = new Forwarding([], { endpoints: [endpointAt(relay.endpoint)], keepalive: idle });
    for (let round = 1; round <= 20; round++) {
      // oxlint-disable-next-line no-await-in-loop
      await waitFor(`two pings of round ${round}`, () => pings.answered >= 2 * round);
      // oxlint-disable-next-line no-await-in-loop
      expect((await ended(proxy.single(READ))).code).toBe(Code.OK);
    }
    expect([backedOff, relay.accepted]).toEqual([[], 1]);
  });

  test("lets all pings of a silent call pass when they are no closer than it demands", async () => {
    const pings = new PingTap();
    using relay = new TcpRelay(clusters[2]!.endpoints[0]!, pings);
    const { keepalive: close, backedOff } = keepalive({ timeMs: 101 });
    using proxy = new Forwarding([], { endpoints: [endpointAt(relay.endpoint)], keepalive: close });
    proxy.stream(WATCH);
    await waitFor("thirty pings", () => pings.answered >= 30);
    expect([backedOff, relay.accepted]).toEqual([[], 1]);
  });

  test("that demands ten minutes ends fewer and fewer connections, each after twice the time", async () => {
    const { keepalive: short, backedOff } = keepalive({ timeMs: 20 });
    using proxy = new Forwarding([], {
      endpoints: [endpointAt(clusters[1]!.endpoints[0]!)],
      keepalive: short,
    });
    const call = keepsOneCallOpen(proxy);
    await waitFor("five connections that end", () => backedOff.length >= 5);
    call.stop();
    expect(backedOff.slice(0, 5)).toEqual([40, 80, 160, 320, 640]);
    expect((await ended(proxy.single(READ))).code).toBe(Code.OK);
  });
});
