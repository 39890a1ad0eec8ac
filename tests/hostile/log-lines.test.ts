/** Clients that do wrong by the thousands: the log tells of it in a few lines, which count the others. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { BareClient } from "../faults/bare-client.ts";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { waitFor } from "../harness/wait-for.ts";
import { concat, PREFACE, settings, text } from "../http2/frames.ts";

setDefaultTimeout(180_000);

const CONNECTIONS = 10_000;
const AT_ONCE = 50;

/** Connects so many times, says something, and waits for the end. */
async function flood(address: string, said: Uint8Array): Promise<void> {
  let left = CONNECTIONS;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      using client = await BareClient.connect(address);
      client.send(said);
      await client.closed;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/** Floods the proxy; resolves with the lines of this message, once they account for all connections. */
async function linesOf(
  proxy: EtcdproxyProcess,
  message: string,
  said: Uint8Array,
  connections: (line: Record<string, unknown>) => number,
): Promise<void> {
  const beganMs = performance.now();
  await flood(proxy.address, said);
  const lines = () => proxy.log.filter(({ msg }) => msg === message);
  const told = (): number => lines().reduce((sum, line) => sum + connections(line), 0);
  await waitFor("every connection to be accounted for", () => told() === CONNECTIONS, { deadlineMs: 30_000 });
  const seconds = (performance.now() - beganMs) / 1000;
  expect(lines().length).toBeLessThanOrEqual(2 + seconds);
  for (const { peer } of lines()) expect(peer).toMatch(/^127\.0\.0\.1:\d+$/);
}

const suppressed = (line: Record<string, unknown>): number => 1 + Number(line["suppressed"] ?? 0);

test("ten thousand connections that speak broken HTTP/2 to the grpc-proxy are a line a second", async () => {
  await using proxy = await startGrpcProxy([`127.0.0.1:${freePorts(1)[0]}`]);
  // DATA on stream 0.
  const broken = concat([PREFACE, settings(), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0)]);
  await linesOf(proxy, "ended a client's connection", broken, suppressed);
});

test("ten thousand connections that speak broken HTTP/1.1 to the grpc-proxy are a line a second", async () => {
  await using proxy = await startGrpcProxy([`127.0.0.1:${freePorts(1)[0]}`]);
  const broken = text("GET / HTTP/1.1\r\nbroken header\r\n\r\n");
  await linesOf(proxy, "refused a client's HTTP/1.1 request", broken, suppressed);
});

test("ten thousand connections to a gateway whose members are down are a line in five seconds", async () => {
  await using proxy = await startGateway([`127.0.0.1:${freePorts(1)[0]}`]);
  await linesOf(proxy, "no endpoint can be reached, client closed", new Uint8Array(0), (line) =>
    Number(line["clients"]),
  );
  // The member itself is told of once.
  const about = proxy.log.filter(({ msg }) => /endpoint (fail|works|pass)/.test(msg));
  expect(about.length).toBeLessThanOrEqual(2);
});
