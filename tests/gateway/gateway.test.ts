import { describe, expect, onTestFinished, test } from "bun:test";
import { readdirSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { parseEndpoints } from "../../src/endpoints/endpoint.ts";
import { GatewayError, startGateway } from "../../src/gateway/gateway.ts";
import { ListenError } from "../../src/net/listen.ts";
import { createResolver, type DnsResolver } from "../../src/net/resolver.ts";
import { startDnsServer } from "../net/dns-server.ts";
import { until } from "../net/until.ts";
import { RecordedLog } from "./recorded-log.ts";
import { connectClient } from "./tcp-peer.ts";
import { closedPort, testBlackHole, testGateway, testMember } from "./test-gateway.ts";

/** A member on another loopback address than the gateway's. */
function memberAt(address: string, port: number): { addresses: string[] } {
  const server = Bun.listen({
    hostname: address,
    port,
    socket: {
      open(socket) {
        socket.write("hello");
      },
      data() {},
    },
  });
  onTestFinished(() => server.stop(true));
  return { addresses: [address] };
}

const openFiles = (): number => readdirSync("/proc/self/fd").length;

describe("a gateway", () => {
  test("says where it is ready and for which endpoints", async () => {
    const { port, log } = await testGateway([1, 2]);
    expect(log.lines).toEqual([
      {
        level: "info",
        message: "ready to proxy client requests",
        fields: { address: `127.0.0.1:${port}`, endpoints: ["127.0.0.1:1", "127.0.0.1:2"] },
      },
    ]);
  });

  test("leaves nothing open after 1000 clients have come and gone", async () => {
    const member = testMember("hello");
    const gateway = await testGateway([member.port]);
    const before = openFiles();
    const visit = async (): Promise<void> => {
      const client = await connectClient(gateway.port);
      await until(() => client.text === "hello");
      client.socket?.end();
    };
    for (let wave = 0; wave < 20; wave++) await Promise.all(Array.from({ length: 50 }, visit));
    await until(() => member.clients.every(({ ended }) => ended));
    for (const upstream of member.clients) upstream.socket?.end();
    await until(() => gateway.stats.connectionsOpen === 0 && member.open() === 0);
    expect(gateway.stats).toMatchObject({
      connectionsTotal: 1000,
      connectionsFailed: 0,
      connectionsRefused: 0,
    });
    expect(gateway.stats.bytesDownstream).toBe(5_000);
    expect(openFiles()).toBeLessThanOrEqual(before);
  });

  test("resets clients beyond its maximum, counts them and says so", async () => {
    const member = testMember("hello");
    const { port, stats, log } = await testGateway([member.port], { connectionsMax: 1 });
    const first = await connectClient(port);
    await until(() => first.text === "hello");
    const second = await connectClient(port);
    await until(() => second.closed === "reset");
    expect(stats).toMatchObject({ connectionsOpen: 1, connectionsRefused: 1, connectionsTotal: 1 });
    const peer = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
    expect(log.fieldsOf("too many clients, client reset")).toEqual([{ connectionsMax: 1, peer, clients: 1 }]);
  });

  test("that is closed accepts no more and closes every connection", async () => {
    const member = testMember("hello");
    const gateway = await testGateway([member.port]);
    const clients = [await connectClient(gateway.port), await connectClient(gateway.port)];
    await until(() => clients.every(({ text }) => text === "hello"));
    await gateway.close();
    await until(() => clients.every(({ ended }) => ended) && member.clients.every(({ ended }) => ended));
    expect(gateway.stats.connectionsOpen).toBe(0);
    const refused = await connectClient(gateway.port).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("that is closed gives up its dials", async () => {
    const hole = await testBlackHole();
    const gateway = await testGateway([hole.port]);
    const client = await connectClient(gateway.port);
    await until(() => gateway.stats.connectionsOpen === 1);
    await gateway.close();
    await until(() => client.ended);
    expect(gateway.stats).toMatchObject({ connectionsOpen: 0, connectionsFailed: 0 });
  });

  test("dials names that its resolver knows", async () => {
    const member = testMember("hello");
    const dns = await startDnsServer("--host-record=infra0.cluster.test,127.0.0.1");
    onTestFinished(() => dns.stop());
    const { port } = await testGateway([], {
      endpoints: parseEndpoints(`infra0.cluster.test:${member.port}`),
      resolver: createResolver({ servers: [dns.address] }),
    });
    const client = await connectClient(port);
    await until(() => client.text === "hello");
  });

  test("starts although a name does not resolve, and serves with the others", async () => {
    const member = testMember("hello");
    const { port } = await testGateway([], {
      endpoints: parseEndpoints(["no-such-host.invalid:2379", `127.0.0.1:${member.port}`]),
    });
    const client = await connectClient(port);
    await until(() => client.text === "hello");
  });

  test("cannot start on a port in use", async () => {
    const { port } = await testGateway([1]);
    const start = testGateway([1], { listenAddress: { hostname: "127.0.0.1", port } });
    expect(await start.catch((error: unknown) => error)).toBeInstanceOf(ListenError);
  });
});

describe("an endpoint that is the gateway itself is refused:", () => {
  const start = async (listening: string, endpoint: string, resolver?: DnsResolver): Promise<unknown> => {
    const port = closedPort();
    const gateway = startGateway({
      listenAddress: { hostname: listening, port },
      endpoints: parseEndpoints(`10.0.1.10:2379,${endpoint}:${port}`),
      retryDelayMs: 60_000,
      log: new RecordedLog(),
      ...(resolver && { resolver }),
    });
    return await gateway.then(
      (started) => started.close(),
      (error: unknown) => error,
    );
  };

  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const ownIpv4 = own.find(({ family }) => family === "IPv4")?.address ?? "127.0.0.1";

  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1", "localhost"],
    ["localhost", "127.0.0.1"],
    ["127.0.0.1", "0.0.0.0"],
    ["127.0.0.1", "[::ffff:127.0.0.1]"],
    ["0.0.0.0", "127.0.0.1"],
    ["0.0.0.0", "127.0.0.2"],
    ["0.0.0.0", ownIpv4],
    ["", "localhost"],
    ["", ownIpv4],
    ["::", "[::1]"],
  ])('listening on "%s", endpoint %s', async (listening, endpoint) => {
    const error = await start(listening, endpoint);
    expect(error).toBeInstanceOf(GatewayError);
    expect(String(error)).toContain("should not resolve to the gateway listen addr");
  });

  test("another port of this machine is not the gateway itself", async () => {
    const { log } = await testGateway([closedPort()]);
    expect(log.fieldsOf("ready to proxy client requests")).toHaveLength(1);
  });

  test("another address of this machine is not the gateway itself", async () => {
    expect(await start("127.0.0.1", "127.0.0.2")).toBeUndefined();
  });

  test("also when its name changes later: it is left for the next at the dial", async () => {
    let answer = ["127.0.0.2"];
    const resolver: DnsResolver = {
      srv: () => Promise.resolve([]),
      addresses: () => Promise.resolve(answer),
    };
    const listenPort = closedPort();
    const member = testMember("hello");
    const { log, stats } = await testGateway([], {
      listenAddress: { hostname: "127.0.0.1", port: listenPort },
      endpoints: parseEndpoints(`moving.test:${listenPort},127.0.0.1:${member.port}`),
      resolver,
    });
    answer = ["127.0.0.1"];
    const client = await connectClient(listenPort);
    await until(() => client.text === "hello");
    expect(log.fieldsOf("endpoint failed, set aside")).toEqual([
      { endpoint: `moving.test:${listenPort}`, reason: "resolves to the gateway's own listen address" },
    ]);
    // The client, and its own dials before the loop was found out.
    expect(stats.connectionsTotal).toBeLessThan(10);
  });

  test("also when nothing else can be reached: its dials do not feed themselves", async () => {
    let nowMs = 0;
    let answer = ["127.0.0.2"];
    const resolver: DnsResolver = {
      srv: () => Promise.resolve([]),
      addresses: () => Promise.resolve(answer),
    };
    const listenPort = closedPort();
    const { stats } = await testGateway([], {
      listenAddress: { hostname: "127.0.0.1", port: listenPort },
      endpoints: parseEndpoints(`moving.test:${listenPort}`),
      retryDelayMs: 1_000,
      now: () => nowMs,
      resolver,
    });
    answer = ["127.0.0.1"];
    const client = await connectClient(listenPort);
    await until(() => client.ended && stats.connectionsOpen === 0);
    expect(stats.connectionsTotal).toBeLessThan(10);

    // Once DNS is right and the pause is over, the member is reached.
    const { addresses } = memberAt("127.0.0.2", listenPort);
    answer = addresses;
    nowMs = 1_000;
    const later = await connectClient(listenPort);
    await until(() => later.text === "hello");
  });
});
