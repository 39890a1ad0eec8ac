// The gateway's pages, over real sockets.
import { describe, expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import { connectionsWithinFileLimit } from "../../src/net/file-limit.ts";
import { PAGES_CONNECTIONS_MAX } from "../../src/observe/pages-server.ts";
import { readExposition, valueOf } from "../harness/exposition.ts";
import { until } from "../net/until.ts";
import { connectClient } from "./tcp-peer.ts";
import { closedPort, testGateway, testMember, type TestGateway } from "./test-gateway.ts";

const ANY_PORT = { hostname: "127.0.0.1", port: 0 };

const page = (gateway: TestGateway, path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${gateway.metricsAddress!.port}${path}`);

const metricsOf = async (gateway: TestGateway) =>
  readExposition(await (await page(gateway, "/metrics")).text());

async function greeted(gateway: TestGateway) {
  const client = await connectClient(gateway.port);
  await until(() => client.text !== "");
  return client;
}

describe("/metrics", () => {
  test("tell of clients, and of each endpoint", async () => {
    const refused = closedPort();
    const member = testMember("hello");
    const gateway = await testGateway([refused, member.port], {
      metricsAddress: ANY_PORT,
      connectionsMax: 2,
    });
    const [leaving, staying] = [await greeted(gateway), await greeted(gateway)];
    const turnedAway = await connectClient(gateway.port);
    await until(() => turnedAway.closed === "reset");
    staying.send("question");
    await until(() => gateway.stats.bytesUpstream === 8);
    leaving.reset();
    await until(() => gateway.stats.connectionsOpen === 1);

    const families = await metricsOf(gateway);
    const told = (name: string): number => valueOf(families, `etcdproxy_gateway_${name}`);
    expect(told("client_connections")).toBe(1);
    expect(told("client_connections_max")).toBe(2);
    expect(told("client_connections_total")).toBe(2);
    expect(told("client_connections_refused_total")).toBe(1);
    expect(told("client_connections_failed_total")).toBe(0);
    const [dead, good] = [`endpoint="127.0.0.1:${refused}"`, `endpoint="127.0.0.1:${member.port}"`];
    expect(told(`endpoint_usable{${dead}}`)).toBe(0);
    expect(told(`endpoint_usable{${good}}`)).toBe(1);
    expect(told(`endpoint_dial_failures_total{${dead}}`)).toBe(1);
    expect(told(`endpoint_dial_failures_total{${good}}`)).toBe(0);
    expect(told(`endpoint_connections{${good}}`)).toBe(1);
    expect(told(`endpoint_connections_total{${good}}`)).toBe(2);
    expect(told(`endpoint_connections_total{${dead}}`)).toBe(0);
    const dials = families.get("etcdproxy_gateway_endpoint_dial_duration_seconds")!.samples;
    expect(dials.get(`etcdproxy_gateway_endpoint_dial_duration_seconds_count{${good}}`)).toBe(2);
    expect([...dials.keys()].filter((series) => series.includes(dead))).toEqual([]);
    expect(valueOf(families, "etcdproxy_draining")).toBe(0);
    expect(valueOf(families, "etcdproxy_event_loop_delay_seconds")).toBeGreaterThanOrEqual(0);
    expect(told(`endpoint_transferred_bytes_total{${good},direction="to_member"}`)).toBe(8);
    expect(told(`endpoint_transferred_bytes_total{${good},direction="to_clients"}`)).toBe(10);
    expect(valueOf(families, "process_resident_memory_bytes")).toBeGreaterThan(0);
  });

  test("tell how many clients the limit of open files leaves room for, beside those who read pages", async () => {
    const gateway = await testGateway([1], {
      metricsAddress: ANY_PORT,
      connectionsMax: Number.POSITIVE_INFINITY,
    });
    const max = valueOf(await metricsOf(gateway), "etcdproxy_gateway_client_connections_max");
    expect(max).toBe(connectionsWithinFileLimit(2, PAGES_CONNECTIONS_MAX));
    expect(max).toBeLessThan(connectionsWithinFileLimit(2));
  });

  test("tell why the gateway ended connections, and follow what happens", async () => {
    const member = testMember("hello");
    const gateway = await testGateway([member.port], { metricsAddress: ANY_PORT });
    const name = `127.0.0.1:${member.port}`;
    const closed = async (reason: string): Promise<number> =>
      valueOf(
        await metricsOf(gateway),
        `etcdproxy_gateway_endpoint_closed_connections_total{endpoint="${name}",reason="${reason}"}`,
      );
    await greeted(gateway);
    expect([await closed("idle"), await closed("endpoint_dead")]).toEqual([0, 0]);
    gateway.connections.closeAll(name, "dead");
    expect([await closed("idle"), await closed("endpoint_dead")]).toEqual([0, 1]);
    await greeted(gateway);
    gateway.connections.sweep(1);
    gateway.connections.sweep(1);
    expect([await closed("idle"), await closed("endpoint_dead")]).toEqual([1, 1]);
  });

  test("are the same page as /proxy/metrics", async () => {
    const gateway = await testGateway([1], { metricsAddress: ANY_PORT });
    const names = [...readExposition(await (await page(gateway, "/proxy/metrics")).text()).keys()];
    expect(names).toEqual([...(await metricsOf(gateway)).keys()]);
  });
});

describe("/health", () => {
  const healthOf = async (gateway: TestGateway): Promise<[number, unknown]> => {
    const response = await page(gateway, "/health");
    return [response.status, await response.json()];
  };

  test("is good while some endpoint can be used", async () => {
    const gateway = await testGateway([closedPort(), testMember("hello").port], { metricsAddress: ANY_PORT });
    expect(await healthOf(gateway)).toEqual([200, { health: "true", reason: "" }]);
    await greeted(gateway);
    expect(await healthOf(gateway)).toEqual([200, { health: "true", reason: "" }]);
  });

  test("is bad, with each endpoint's reason, once all have failed, and good again when one works", async () => {
    const [a, b] = [closedPort(), closedPort()];
    const gateway = await testGateway([a, b], { metricsAddress: ANY_PORT });
    const client = await connectClient(gateway.port);
    await until(() => client.ended);
    const reason =
      `no endpoint can be used: 127.0.0.1:${a}: connection refused, ` + `127.0.0.1:${b}: connection refused`;
    expect(await healthOf(gateway)).toEqual([503, { health: "false", reason }]);
    testMember("hello", b);
    await greeted(gateway);
    expect(await healthOf(gateway)).toEqual([200, { health: "true", reason: "" }]);
  });
});

describe("/livez and /readyz", () => {
  const told = async (gateway: TestGateway, path: string): Promise<[number, string]> => {
    const response = await page(gateway, path);
    return [response.status, await response.text()];
  };

  test("pass while some endpoint can be used", async () => {
    const gateway = await testGateway([testMember("hello").port], { metricsAddress: ANY_PORT });
    expect(await told(gateway, "/readyz?verbose")).toEqual([200, "[+]not_draining ok\n[+]endpoint ok\nok\n"]);
    expect(await told(gateway, "/livez")).toEqual([200, "ok\n"]);
  });

  test("tell apart a gateway that lives and one that is ready", async () => {
    const refused = closedPort();
    const gateway = await testGateway([refused], { metricsAddress: ANY_PORT });
    const client = await connectClient(gateway.port);
    await until(() => client.ended);
    const reason = `no endpoint can be used: 127.0.0.1:${refused}: connection refused`;
    expect(await told(gateway, "/readyz/endpoint")).toEqual([503, `[-]endpoint failed: ${reason}\n\n`]);
    expect(await told(gateway, "/livez?verbose")).toEqual([200, "[+]event_loop ok\nok\n"]);
  });

  test("tell of a stop", async () => {
    const gateway = await testGateway([testMember("hello").port], {
      metricsAddress: ANY_PORT,
      drainTimeoutMs: 30_000,
    });
    const client = await greeted(gateway);
    const closing = gateway.close();
    expect(await told(gateway, "/readyz/not_draining")).toEqual([
      503,
      "[-]not_draining failed: the gateway is about to stop\n\n",
    ]);
    expect((await told(gateway, "/livez"))[0]).toBe(200);
    client.reset();
    await closing;
  });
});

test("/health turns clients away while the last ones finish before a stop; then its listener is closed", async () => {
  const gateway = await testGateway([testMember("hello").port], {
    metricsAddress: ANY_PORT,
    drainTimeoutMs: 30_000,
  });
  const client = await greeted(gateway);
  const closing = gateway.close();
  const response = await page(gateway, "/health");
  expect([response.status, await response.json()]).toEqual([503, { health: "false", reason: "draining" }]);
  expect(await (await page(gateway, "/proxy/endpoints")).json()).toMatchObject({ draining: true });
  expect(valueOf(await metricsOf(gateway), "etcdproxy_draining")).toBe(1);
  client.reset();
  await closing;
  expect(await page(gateway, "/health").catch(() => "refused")).toBe("refused");
});

test("/proxy/endpoints tells what is known of each endpoint", async () => {
  const refused = closedPort();
  const member = testMember("hello");
  const endpoints = [
    createEndpoint("unstated", "127.0.0.1", refused, { priority: 0, weight: 2 }),
    createEndpoint("unstated", "127.0.0.1", member.port, { priority: 1 }),
  ];
  const gateway = await testGateway([], { endpoints, metricsAddress: ANY_PORT });
  await greeted(gateway);
  const response = await page(gateway, "/proxy/endpoints");
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.json()).toEqual({
    endpoints: [
      {
        endpoint: `127.0.0.1:${refused}`,
        state: "failed",
        reason: "connection refused",
        latencySeconds: null,
        priority: 0,
        weight: 2,
        connections: 0,
      },
      {
        endpoint: `127.0.0.1:${member.port}`,
        state: "fit",
        reason: "",
        latencySeconds: null,
        priority: 1,
        weight: 1,
        connections: 1,
      },
    ],
    events: [
      {
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        endpoint: `127.0.0.1:${refused}`,
        kind: "failed",
        reason: "connection refused",
      },
    ],
    draining: false,
  });
});

test("/proxy/endpoints tells which endpoints have come and gone, and from where", async () => {
  const gateway = await testGateway([1, 2], { metricsAddress: ANY_PORT });
  gateway.replaceEndpoints(
    [createEndpoint("unstated", "127.0.0.1", 2), createEndpoint("unstated", "127.0.0.1", 3)],
    "SRV records",
  );
  const { events } = (await (await page(gateway, "/proxy/endpoints")).json()) as { events: unknown[] };
  expect(events).toMatchObject([
    { endpoint: "127.0.0.1:3", kind: "added", reason: "SRV records" },
    { endpoint: "127.0.0.1:1", kind: "removed", reason: "SRV records" },
  ]);
});

describe("the listener for pages", () => {
  test("is announced before the gateway is ready, and closed with it", async () => {
    const gateway = await testGateway([1], { metricsAddress: ANY_PORT });
    const address = `http://127.0.0.1:${gateway.metricsAddress!.port}`;
    expect(gateway.log.lines.map(({ message }) => message)).toEqual([
      "listening for metrics",
      "ready to proxy client requests",
    ]);
    expect(gateway.log.fieldsOf("listening for metrics")).toEqual([{ address }]);
    await gateway.close();
    expect(await page(gateway, "/health").catch(() => "refused")).toBe("refused");
  });

  test("is refused where an endpoint leads to it", async () => {
    const port = closedPort();
    const start = testGateway([port], { metricsAddress: { hostname: "127.0.0.1", port } });
    expect(String(await start.catch((error: unknown) => error))).toContain(
      "should not resolve to the proxy's own --metrics-addr",
    );
  });

  test("is refused on the port of clients", async () => {
    const port = closedPort();
    const start = testGateway([1], {
      listenAddress: { hostname: "127.0.0.1", port },
      metricsAddress: { hostname: "0.0.0.0", port },
    });
    expect(String(await start.catch((error: unknown) => error))).toContain(
      `has the port of --listen-addr 127.0.0.1:${port}: choose another port`,
    );
  });

  test("that cannot be had leaves nothing listening", async () => {
    const other = testMember();
    const port = closedPort();
    const start = testGateway([1], {
      listenAddress: { hostname: "127.0.0.1", port },
      metricsAddress: { hostname: "127.0.0.1", port: other.port },
    });
    expect(String(await start.catch((error: unknown) => error))).toContain(
      `--metrics-addr 127.0.0.1:${other.port}: another process listens there already`,
    );
    expect(await connectClient(port).catch((error: unknown) => error)).toMatchObject({
      code: "ECONNREFUSED",
    });
  });
});
