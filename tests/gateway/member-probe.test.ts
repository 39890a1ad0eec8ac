/** The gateway's question to a member, asked of real ones, of those that are silent, and of what is no member. */
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createEndpoint, type Endpoint, parseEndpoints } from "../../src/endpoints/endpoint.ts";
import type { ProbeResult } from "../../src/endpoints/health-checks.ts";
import type { MemberBytes } from "../../src/gateway/connections.ts";
import { MemberProbe } from "../../src/gateway/member-probe.ts";
import { CertificateAuthority } from "../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { until } from "../net/until.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { closedPort, testBlackHole, testMember } from "./test-gateway.ts";

setDefaultTimeout(60_000);

const TIMEOUT_MS = 500;
const folder = new TemporaryFolder("memberprobe");
let plain: EtcdCluster;
let secure: EtcdCluster;
let mutual: EtcdCluster;
beforeAll(async () => {
  const authority = await CertificateAuthority.create(folder, "authority");
  const [server, own] = await Promise.all([authority.server("member"), authority.client("harness")]);
  [plain, secure, mutual] = await Promise.all([
    startEtcdCluster({ members: 1 }),
    startEtcdCluster({ members: 1, tls: { server } }),
    startEtcdCluster({ members: 1, tls: { server, clients: { caFile: authority.file, own } } }),
  ]);
});
afterAll(async () => {
  await Promise.all([plain, secure, mutual].map((cluster) => cluster.dispose()));
  folder[Symbol.dispose]();
});

const giveUps: (() => void)[] = [];
afterEach(() => {
  for (const giveUp of giveUps.splice(0)) giveUp();
});

/** What has passed between clients and the member. */
let passed: MemberBytes = { fromClients: 0, fromMember: 0 };

const newProbe = (loops = false): MemberProbe =>
  new MemberProbe({
    timeoutMs: TIMEOUT_MS,
    now: () => performance.now(),
    loopGuard: { leadsBack: () => loops },
    bytesOf: () => passed,
  });

/** What the probe says, or "nothing" when it says nothing for longer than its dials may take. */
function ask(endpoint: Endpoint, probe = newProbe()): Promise<ProbeResult | "nothing"> {
  return new Promise((resolve) => {
    giveUps.push(probe.start(endpoint, resolve));
    setTimeout(resolve, 3 * TIMEOUT_MS, "nothing");
  });
}

const endpointOf = (cluster: EtcdCluster, scheme: Endpoint["scheme"]): Endpoint => {
  const [{ hostname, port }] = parseEndpoints(cluster.endpoints) as [Endpoint];
  return createEndpoint(scheme, hostname, port);
};
const loopback = (port: number, scheme: Endpoint["scheme"] = "http"): Endpoint =>
  createEndpoint(scheme, "127.0.0.1", port);

describe("a member that serves", () => {
  test.each(["http", "unstated"] as const)("in plain text is fit, its scheme %s", async (scheme) => {
    expect(await ask(endpointOf(plain, scheme))).toMatchObject({ kind: "fit" });
  });

  test.each(["https", "unstated"] as const)("over TLS is fit, its scheme %s", async (scheme) => {
    expect(await ask(endpointOf(secure, scheme))).toMatchObject({ kind: "fit" });
  });

  test.each(["https", "unstated"] as const)(
    "and wants certificates of its clients is fit, its scheme %s",
    async (scheme) => {
      expect(await ask(endpointOf(mutual, scheme))).toMatchObject({ kind: "fit" });
    },
  );

  test("is asked in what it was found to speak, from the second time on", async () => {
    const probe = newProbe();
    const endpoint = endpointOf(secure, "unstated");
    await ask(endpoint, probe);
    const { logFile } = secure.member(0);
    const refusals = (): number =>
      readFileSync(logFile, "utf8").split("does not look like a TLS handshake").length;
    const before = refusals();
    expect(await ask(endpoint, probe)).toMatchObject({ kind: "fit" });
    expect(refusals()).toBe(before);
  });
});

describe("a member that does not serve", () => {
  test("because it is stopped says nothing, though the kernel accepts for it", async () => {
    for (const cluster of [plain, secure]) {
      cluster.member(0).stop();
      const scheme = cluster === plain ? "http" : "https";
      const result = await ask(endpointOf(cluster, scheme));
      cluster.member(0).continue();
      if (cluster === plain) expect(result).toBe("nothing");
      else expect(result).toMatchObject({ kind: "silent", refused: false });
    }
  });

  test("because nobody listens is refused at once", async () => {
    expect(await ask(loopback(closedPort()))).toMatchObject({
      kind: "silent",
      reason: "connection refused",
      refused: true,
    });
  });

  test("behind a black hole is silent", async () => {
    const hole = await testBlackHole();
    expect(await ask(loopback(hole.port))).toMatchObject({ kind: "silent", refused: false });
  });

  test.each([
    ["http", "it does not speak HTTP/2"],
    ["https", "it does not speak TLS"],
    ["unstated", "it speaks neither HTTP/2 nor TLS"],
  ] as const)(
    "but something else does, its scheme %s, is told by what it does not speak",
    async (scheme, reason) => {
      const other = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: {
          data(socket) {
            socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
          },
        },
      });
      try {
        expect(await ask(loopback(other.port, scheme))).toEqual({ kind: "silent", reason, refused: false });
      } finally {
        other.stop(true);
      }
    },
  );

  test("because it is the gateway itself is no member", async () => {
    const probe = newProbe(true);
    expect(await ask(loopback(testMember().port), probe)).toMatchObject({
      kind: "silent",
      reason: "resolves to the gateway's own listen address",
    });
  });
});

test("a probe that is given up says nothing, and leaves no connection", async () => {
  const member = testMember();
  let said = false;
  const giveUp = newProbe().start(loopback(member.port), () => (said = true));
  giveUp();
  expect(await ask(endpointOf(plain, "http"))).toMatchObject({ kind: "fit" });
  expect(said).toBe(false);
});

describe("a member that demands certificates of clients, and logs a line for each connection without one", () => {
  test("is not asked again while it is well, but when what clients send stays without an answer", async () => {
    const endpoint = endpointOf(mutual, "https");
    const probe = newProbe();
    passed = { fromClients: 10, fromMember: 10 };
    expect(await ask(endpoint, probe)).toMatchObject({ kind: "fit" });
    await until(() => !probe.isDue(endpoint));
    passed = { fromClients: 20, fromMember: 11 };
    expect(probe.isDue(endpoint)).toBe(false);
    passed = { fromClients: 30, fromMember: 11 };
    expect(probe.isDue(endpoint)).toBe(true);
    expect(await ask(endpoint, probe)).toMatchObject({ kind: "fit" });
    expect(probe.isDue(endpoint)).toBe(false);
  });

  test("is asked again when it was not well", async () => {
    const endpoint = endpointOf(mutual, "https");
    const probe = newProbe();
    expect(await ask(endpoint, probe)).toMatchObject({ kind: "fit" });
    await until(() => !probe.isDue(endpoint));
    expect(await ask({ ...endpoint, port: closedPort() }, probe)).toMatchObject({ kind: "silent" });
    expect(probe.isDue(endpoint)).toBe(true);
  });

  test("is told from one that lets everybody in: that is always asked", async () => {
    const endpoint = endpointOf(secure, "https");
    const probe = newProbe();
    for (let times = 0; times < 3; times++) {
      expect(await ask(endpoint, probe)).toMatchObject({ kind: "fit" });
      expect(probe.isDue(endpoint)).toBe(true);
      await Bun.sleep(600); // As long as it may take to say that it wants a certificate, in all.
    }
    expect(probe.isDue(endpoint)).toBe(true);
  });
});
