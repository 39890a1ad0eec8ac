// Connections on which nothing moves: --idle-timeout, and TCP keepalive.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../net/until.ts";
import { atRest } from "./at-rest.ts";
import { connectClient } from "./tcp-peer.ts";
import { testBlackHole, testGateway, testMember, type TestGateway } from "./test-gateway.ts";

/** A client and the member it has reached. */
async function connected(gateway: TestGateway, member: ReturnType<typeof testMember>) {
  const before = member.clients.length;
  const client = await connectClient(gateway.port);
  return { client, server: await member.client(before) };
}

const idleCloses = ({ connections }: TestGateway, port: number): number =>
  connections.traffic([`127.0.0.1:${port}`]).get(`127.0.0.1:${port}`)!.closedAsIdle;

describe("a connection that is silent", () => {
  test("for the idle time-out is closed in the orderly way, on both sides", async () => {
    const member = testMember("hello");
    const gateway = await testGateway([member.port], { idleTimeoutMs: 100 });
    const { client, server } = await connected(gateway, member);
    await until(() => client.text === "hello");
    await until(() => client.ended && server.ended);
    expect([client.closed, server.closed]).not.toContain("reset");
    expect(gateway.stats.connectionsOpen).toBe(0);
    expect(idleCloses(gateway, member.port)).toBe(1);
  });

  test("is kept for ever without a time-out", async () => {
    const member = testMember("hello");
    const patient = await testGateway([member.port], { idleTimeoutMs: 0 });
    const impatient = await testGateway([member.port], { idleTimeoutMs: 50 });
    const { client: kept } = await connected(patient, member);
    await until(() => kept.text === "hello");
    const { client: closed } = await connected(impatient, member);
    await until(() => closed.ended);
    expect(kept.ended).toBe(false);
  });

  test("is closed at the last sweep of the time-out, not before", async () => {
    const member = testMember("hello");
    const gateway = await testGateway([member.port]);
    const { client } = await connected(gateway, member);
    await until(() => client.text === "hello");
    for (let sweep = 0; sweep < 4; sweep++) gateway.connections.sweep(4);
    expect(gateway.stats.connectionsOpen).toBe(1);
    gateway.connections.sweep(4);
    expect(gateway.stats.connectionsOpen).toBe(0);
  });

  test.each(["client", "member"])("begins anew when the %s sends something", async (sender) => {
    const member = testMember();
    const gateway = await testGateway([member.port]);
    const { client, server } = await connected(gateway, member);
    const [from, to] = sender === "client" ? [client, server] : [server, client];
    for (let byte = 1; byte <= 3; byte++) {
      for (let sweep = 0; sweep < 4; sweep++) gateway.connections.sweep(4);
      from.send("x");
      await until(() => to.receivedBytes === byte);
    }
    expect(gateway.stats.connectionsOpen).toBe(1);
  });

  test("counts as silent too when one side has half-closed and the other never does", async () => {
    const member = testMember();
    const gateway = await testGateway([member.port], { idleTimeoutMs: 100 });
    const { client, server } = await connected(gateway, member);
    client.halfClose();
    await until(() => server.ended);
    await until(() => client.ended && gateway.stats.connectionsOpen === 0);
  });

  test("with bytes that nobody takes is reset: what is missing is not taken for the end", async () => {
    const member = testMember();
    const gateway = await testGateway([member.port]);
    const { client, server } = await connected(gateway, member);
    client.socket?.pause();
    server.send(new Uint8Array(1 << 20), 100);
    await atRest(() => gateway.stats.bytesDownstream);
    for (let sweep = 0; sweep < 5; sweep++) gateway.connections.sweep(4);
    expect(gateway.stats.connectionsOpen).toBe(0);
    await until(() => server.closed === "reset");
    client.socket?.resume();
    await until(() => client.closed === "reset");
  });

  test("does not count while its member is dialled, which has a time-out of its own", async () => {
    const hole = await testBlackHole();
    const gateway = await testGateway([hole.port]);
    const client = await connectClient(gateway.port);
    await until(() => gateway.stats.connectionsOpen === 1);
    for (let sweep = 0; sweep < 10; sweep++) gateway.connections.sweep(4);
    expect(gateway.stats.connectionsOpen).toBe(1);
    expect(client.ended).toBe(false);
  });
});

/** Of each connection of `port`, at either end, that the kernel will ask for a sign of life: when, in seconds from now. */
function keepAlives(port: number): number[] {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when …; the state 01 is ESTABLISHED, the timer 02 keepalive.
  const rows = readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1);
  return rows.flatMap((row) => {
    const [, local = "", remote = "", state, , timer = ""] = row.trim().split(/\s+/);
    const found = local.endsWith(hexPort) || remote.endsWith(hexPort);
    const [, ticks] = /^02:([0-9A-F]+)$/.exec(timer) ?? [];
    return found && state === "01" && ticks !== undefined ? [Number.parseInt(ticks, 16) / 100] : [];
  });
}

const keptAlive = (port: number): number => keepAlives(port).length;

describe("TCP keepalive", () => {
  test("is on towards the client and the member, a moment after the connection is made", async () => {
    const member = testMember();
    const gateway = await testGateway([member.port], { keepAliveMs: 15_000 });
    await connected(gateway, member);
    await until(() => keptAlive(gateway.port) === 1 && keptAlive(member.port) === 1);
  });

  test("is off on both sides when the flag says so", async () => {
    const [member, other] = [testMember(), testMember()];
    const without = await testGateway([member.port], { keepAliveMs: 0 });
    const withKeepAlive = await testGateway([other.port], { keepAliveMs: 15_000 });
    await connected(without, member);
    await connected(withKeepAlive, other);
    await until(() => keptAlive(other.port) === 1);
    expect([keptAlive(without.port), keptAlive(member.port)]).toEqual([0, 0]);
  });

  test("waits as long as the kernel can count where the flag says longer, and a second where it says less", async () => {
    const [member, other] = [testMember(), testMember()];
    const patient = await testGateway([member.port], { keepAliveMs: 40_000_000 });
    const impatient = await testGateway([other.port], { keepAliveMs: 1 });
    await connected(patient, member);
    await connected(impatient, other);
    await until(() => keptAlive(member.port) === 1 && keptAlive(other.port) === 1);
    expect(keepAlives(member.port)[0]).toBeWithin(32_000, 32_768);
    expect(keepAlives(other.port)[0]).toBeLessThanOrEqual(1);
  });
});
