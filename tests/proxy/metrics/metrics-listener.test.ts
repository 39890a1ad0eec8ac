/** The further listener's life: it begins and ends with the proxy, and its failure leaves nothing behind. */
import { expect, test } from "bun:test";
import { createEndpoint, EndpointError } from "../../../src/endpoints/endpoint.ts";
import { type Address, parseAddress } from "../../../src/net/address.ts";
import { ListenError } from "../../../src/net/listen.ts";
import { createLogger } from "../../../src/observe/log.ts";
import { startGrpcProxy } from "../../../src/proxy/grpc-proxy.ts";
import type { GrpcProxy } from "../../../src/proxy/grpc-proxy-options.ts";
import { freePorts } from "../../harness/free-ports.ts";

const ANY_PORT = { hostname: "127.0.0.1", port: 0 };

function start(metricsAddress: Address | null, listenAddress: Address = ANY_PORT): Promise<GrpcProxy> {
  return startGrpcProxy({
    listenAddress,
    metrics: metricsAddress === null ? null : { address: metricsAddress, tls: undefined },
    endpoints: [createEndpoint("http", "127.0.0.1", 1)],
    advertiseClientUrl: "",
    sendBytesMax: 1 << 20,
    receiveBytesMax: 1 << 20,
    concurrentStreamsMax: 100,
    bufferBytesMax: 1 << 20,
    connectionsMax: 10,
    dialTimeoutMs: 1000,
    balancer: "sticky",
    healthChecks: null,
    drainTimeoutMs: 0,
    watchCoalescing: false,
    readCoalescing: false,
    cache: null,
    leaseCoalescing: false,
    log: createLogger({ level: "error", output: "json", destination: { write() {} } }),
  });
}

/** Whether something accepts connections there. */
async function accepts(address: string): Promise<boolean> {
  try {
    (await Bun.connect({ ...parseAddress(address), socket: { data() {} } })).terminate();
    return true;
  } catch {
    return false;
  }
}

const pageAt = async (address: string): Promise<string> =>
  (await fetch(`http://${address}/proxy/metrics`, { keepalive: false })).text();

test("it is there with the proxy, tells of both listeners, and ends with the proxy", async () => {
  const proxy = await start(ANY_PORT);
  const address = proxy.metricsAddress!;
  try {
    const page = await pageAt(address);
    expect(page).toContain('etcdproxy_client_connections{listener="metrics",protocol="http1"} 1\n');
    expect(page).toContain('etcdproxy_client_connections{listener="clients",protocol="http1"} 0\n');
  } finally {
    await proxy.close();
  }
  expect([await accepts(address), await accepts(proxy.address)]).toEqual([false, false]);
});

test("without an address for it there is none, and the pages are on the main port", async () => {
  const proxy = await start(null);
  try {
    expect(proxy.metricsAddress).toBeNull();
    const page = await pageAt(proxy.address);
    expect(page).toContain('listener="clients"');
    expect(page).not.toContain('listener="metrics"');
    // Switched off, the parts are told as doing nothing.
    expect(page).toContain("\netcd_grpc_proxy_cache_hits_total 0\n");
  } finally {
    await proxy.close();
  }
});

test("when its port is taken the start fails by the flag's name, and the main port is free again", async () => {
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const [main = 0] = freePorts(1);
  const failure = await start(
    { hostname: "127.0.0.1", port: taken.port },
    { hostname: "127.0.0.1", port: main },
  ).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ListenError);
  expect(failure).toMatchObject({
    message: `--metrics-addr 127.0.0.1:${taken.port}: another process listens there already; stop it or choose another port`,
  });
  expect(await accepts(`127.0.0.1:${main}`)).toBe(false);
});

test("the address of the main port is refused before anything listens", async () => {
  const [port = 0] = freePorts(1);
  const failure = await start({ hostname: "", port }, { hostname: "127.0.0.1", port }).catch(
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(ListenError);
  expect(failure).toMatchObject({
    message:
      `--metrics-addr :${port} has the port of --listen-addr 127.0.0.1:${port}: ` +
      "choose another port, or leave the flag out: the pages are on --listen-addr too",
  });
});

test("an endpoint that is this listener is refused: its member's page would be its own for ever", async () => {
  const failure = await start({ hostname: "127.0.0.1", port: 1 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(EndpointError);
  expect(failure).toMatchObject({
    message: expect.stringContaining(
      "--endpoints 127.0.0.1:1 should not resolve to the proxy's own --metrics-addr",
    ),
  });
});
