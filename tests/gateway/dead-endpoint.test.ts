// What becomes of connections whose member was found dead, and what is counted for each member.
import { describe, expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import type { EndpointTraffic } from "../../src/gateway/endpoint-traffic.ts";
import { DnsError, type DnsResolver } from "../../src/net/resolver.ts";
import { StandInMember } from "../grpc/stand-in-member.ts";
import { until } from "../net/until.ts";
import { connectClient } from "./tcp-peer.ts";
import { testBlackHole, testGateway, testMember, type TestGateway } from "./test-gateway.ts";

const nameOf = (port: number): string => `127.0.0.1:${port}`;

function trafficOf(gateway: TestGateway, port: number): EndpointTraffic {
  return gateway.connections.traffic([nameOf(port)]).get(nameOf(port))!;
}

/** A client of `gateway` that some member has greeted. */
async function greeted(gateway: TestGateway) {
  const client = await connectClient(gateway.port);
  await until(() => client.text !== "");
  return client;
}

const DEAD = "endpoint is dead, its clients are reset";

describe("an endpoint that is found dead", () => {
  test("only because its name does not resolve any more keeps its clients; new ones go to another", async () => {
    using named = new StandInMember();
    using other = new StandInMember();
    let failing = false;
    const resolver: DnsResolver = {
      srv: async () => [],
      addresses: async () => {
        if (failing) throw new DnsError("member.test", "ETIMEOUT", undefined);
        return ["127.0.0.1"];
      },
    };
    const gateway = await testGateway([], {
      endpoints: [createEndpoint("http", "member.test", named.endpoint.port), other.endpoint],
      healthChecks: { intervalMs: 50, timeoutMs: 5_000 },
      resolver,
    });
    const client = await connectClient(gateway.port);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    await until(() => client.text !== "");
    failing = true;
    await until(() => gateway.log.fieldsOf("endpoint fails its checks").length > 0);
    // The time of some further checks.
    const asked = other.accepted;
    await until(() => other.accepted > asked + 3);
    expect(client.closed).toBe("no");
    expect(gateway.stats.connectionsOpen).toBe(1);
    const next = await connectClient(gateway.port);
    await until(() => trafficOf(gateway, other.endpoint.port).connectionsTotal === 1);
    expect(next.closed).toBe("no");
  });

  test("has all of its connections reset on both sides, counted, and told in one line", async () => {
    const member = testMember("A");
    const gateway = await testGateway([member.port]);
    const clients = [await greeted(gateway), await greeted(gateway)];
    expect(gateway.connections.closeAll(nameOf(member.port), "no answer to a check within 1000 ms")).toBe(2);
    await until(() => clients.every(({ closed }) => closed === "reset"));
    await until(() => member.clients.every(({ closed }) => closed === "reset"));
    expect(gateway.stats.connectionsOpen).toBe(0);
    expect(trafficOf(gateway, member.port)).toMatchObject({ connectionsOpen: 0, resetAsDead: 2 });
    expect(gateway.log.fieldsOf(DEAD)).toEqual([
      {
        endpoint: nameOf(member.port),
        reason: "no answer to a check within 1000 ms",
        connections: 2,
      },
    ]);
  });

  test("costs the connections to other endpoints nothing", async () => {
    const [a, b] = [testMember("A"), testMember("B")];
    const gateway = await testGateway([a.port, b.port], { balancer: "round-robin" });
    const clients = [await greeted(gateway), await greeted(gateway)];
    const [toA, toB] = clients.toSorted((first, second) => first.text.localeCompare(second.text));
    expect([toA?.text, toB?.text]).toEqual(["A", "B"]);
    gateway.connections.closeAll(nameOf(a.port), "dead");
    await until(() => toA?.closed === "reset");
    (await b.client(0)).send("still here");
    await until(() => toB?.text === "Bstill here");
  });

  test("with no connections is not spoken of", async () => {
    const member = testMember("A");
    const gateway = await testGateway([member.port]);
    expect(gateway.connections.closeAll(nameOf(member.port), "dead")).toBe(0);
    const client = await greeted(gateway);
    client.reset();
    await until(() => gateway.stats.connectionsOpen === 0);
    expect(gateway.connections.closeAll(nameOf(member.port), "dead")).toBe(0);
    expect(gateway.log.fieldsOf(DEAD)).toEqual([]);
  });

  test("has those who still dial it go to another at once, not when their dial has run out of time", async () => {
    const hole = await testBlackHole();
    const member = testMember("A");
    const gateway = await testGateway([hole.port, member.port], { dialTimeoutMs: 600_000 });
    const client = await connectClient(gateway.port);
    await until(() => gateway.stats.connectionsOpen === 1);
    gateway.connections.closeAll(nameOf(hole.port), "no answer to a check within 1000 ms");
    await until(() => client.text === "A");
    expect(gateway.log.fieldsOf("endpoint failed, set aside")).toEqual([
      { endpoint: nameOf(hole.port), reason: "no answer to a check within 1000 ms" },
    ]);
  });

  test("has its clients reset too where they do not read what it has sent", async () => {
    const member = testMember("A");
    const gateway = await testGateway([member.port]);
    const client = await greeted(gateway);
    client.socket?.pause();
    (await member.client(0)).send(new Uint8Array(1 << 20), 100);
    await until(() => gateway.stats.bytesDownstream > 1 << 20);
    gateway.connections.closeAll(nameOf(member.port), "dead");
    client.socket?.resume();
    await until(() => client.closed === "reset");
  });
});

describe("for each endpoint is counted", () => {
  test("who is connected, and what passes, while it passes and afterwards", async () => {
    const [a, b] = [testMember("A"), testMember("BB")];
    const gateway = await testGateway([a.port, b.port], { balancer: "round-robin" });
    const clients = [await greeted(gateway), await greeted(gateway)];
    const toB = clients.find(({ text }) => text === "BB")!;
    toB.send("question");
    const server = await b.client(0);
    await until(() => server.text === "question");
    const ofB = { connectionsTotal: 1, bytesToMember: 8, bytesToClients: 2 };
    expect(trafficOf(gateway, b.port)).toMatchObject({ ...ofB, connectionsOpen: 1 });
    expect(trafficOf(gateway, a.port)).toMatchObject({ bytesToMember: 0, bytesToClients: 1 });
    for (const client of clients) client.reset();
    await until(() => gateway.stats.connectionsOpen === 0);
    expect(trafficOf(gateway, b.port)).toMatchObject({ ...ofB, connectionsOpen: 0 });
    expect(gateway.stats).toMatchObject({ bytesUpstream: 8, bytesDownstream: 3 });
  });

  test("nothing any more once it is not listed and its last client has gone", async () => {
    const [a, b] = [testMember("A"), testMember("B")];
    const gateway = await testGateway([a.port]);
    const client = await greeted(gateway);
    const listed = [createEndpoint("unstated", "127.0.0.1", b.port)];
    gateway.replaceEndpoints(listed);
    const counted = (): string[] => [...gateway.connections.traffic(listed.map(({ name }) => name)).keys()];
    expect(counted().toSorted()).toEqual([nameOf(a.port), nameOf(b.port)].toSorted());
    client.reset();
    await until(() => gateway.stats.connectionsOpen === 0);
    expect(counted()).toEqual([nameOf(b.port)]);
    expect(gateway.stats.bytesDownstream).toBe(1);
  });
});
