import { afterAll, describe, expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import { type CheckResult, createTlsCheck } from "../../src/endpoints/srv-check.ts";
import { createDialContext, type DialTls, dialTls } from "../../src/net/tls.ts";
import {
  CertificateAuthority,
  EXPIRED,
  type CertificateOptions,
  type IssuedCertificate,
} from "../harness/certificates.ts";
import { freePorts } from "../harness/free-ports.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { openBlackHole } from "../net/black-hole.ts";

const DOMAIN = "cluster.test";
const folder = new TemporaryFolder("srv-check");
const authority = await CertificateAuthority.create(folder, "ours");
const stranger = await CertificateAuthority.create(folder, "theirs");
const cleanups: (() => void)[] = [() => folder[Symbol.dispose]()];
afterAll(() => {
  for (const cleanup of cleanups.toReversed()) cleanup();
});

/** What the server was told by those who came. */
interface Seen {
  connections: number;
  closed: number;
  bytes: number;
}

function startTlsServer(
  { certificatePem, keyPem }: IssuedCertificate,
  clientCa: string | null = null,
): { port: number; seen: Seen } {
  const seen: Seen = { connections: 0, closed: 0, bytes: 0 };
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    tls: {
      cert: certificatePem,
      key: keyPem,
      ...(clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
    },
    socket: {
      open: () => void seen.connections++,
      close: () => void seen.closed++,
      data: (_, chunk) => void (seen.bytes += chunk.length),
    },
  });
  cleanups.push(() => server.stop(true));
  return { port: server.port, seen };
}

const tls = (name: string): DialTls =>
  dialTls(
    createDialContext({ certificate: null, key: null, trustedCa: authority.certificatePem }),
    name,
    true,
  );
const check = createTlsCheck({ tls, timeoutMs: 20_000 });

/** Checks, by the address of loopback, a server whose certificate has these names. */
async function checkServer(names: readonly string[], options: CertificateOptions = {}, by = authority) {
  const certificate = await by.server(`server${cleanups.length}`, { names, ...options });
  return checkPort(startTlsServer(certificate).port);
}

function checkPort(port: number, hostname = "127.0.0.1"): Promise<CheckResult> {
  return check(createEndpoint("https", hostname, port), DOMAIN);
}

describe("a discovered member", () => {
  test("passes with a certificate for the domain, whatever the name that DNS gives it", async () => {
    const certificate = await authority.server("good", { names: [DOMAIN] });
    const { port } = startTlsServer(certificate);
    expect(await checkPort(port)).toEqual({ kind: "passed" });
    expect(await checkPort(port, "localhost")).toEqual({ kind: "passed" });
  });

  test("fails with a certificate for its own name only, which a forged record could name", async () => {
    const result = await checkServer(["localhost", "127.0.0.1", `infra0.${DOMAIN}`]);
    expect(result).toMatchObject({ kind: "failed" });
    expect(result).toMatchObject({
      reason: expect.stringContaining("the certificate is for another name") as unknown,
    });
  });

  test("fails with a certificate of an authority that is not trusted, and with one that has expired", async () => {
    expect(await checkServer([DOMAIN], {}, stranger)).toMatchObject({ kind: "failed" });
    expect(await checkServer([DOMAIN], EXPIRED)).toMatchObject({ kind: "failed" });
  });

  test("fails when it does not speak TLS", async () => {
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
    });
    cleanups.push(() => server.stop(true));
    expect(await checkPort(server.port)).toMatchObject({ kind: "failed" });
  });

  test("passes though it wants a certificate of its clients: the gateway has none", async () => {
    const certificate = await authority.server("strict", { names: [DOMAIN] });
    const { port } = startTlsServer(certificate, authority.certificatePem);
    expect(await checkPort(port)).toEqual({ kind: "passed" });
  });

  test("that nobody listens for, that has no name, or that leaves in the handshake, cannot be reached", async () => {
    const [port = 0] = freePorts(1);
    expect(await checkPort(port)).toEqual({ kind: "unreachable", reason: "connection refused" });
    expect(await checkPort(port, "no-such-host.invalid")).toMatchObject({ kind: "unreachable" });
    for (const leave of ["terminate", "end"] as const) {
      const leaving = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { data: (socket) => void socket[leave]() },
      });
      cleanups.push(() => leaving.stop(true));
      expect(await checkPort(leaving.port)).toMatchObject({ kind: "unreachable" });
    }
  });

  test("is told apart by a name server of our own, too", async () => {
    const own = createTlsCheck({
      tls,
      resolver: { srv: async () => [], addresses: async () => ["127.0.0.9", "127.0.0.1"] },
      timeoutMs: 20_000,
    });
    const named = ({ port }: { port: number }) => own(createEndpoint("https", "member.test", port), DOMAIN);
    expect(await named(startTlsServer(await authority.server("right", { names: [DOMAIN] })))).toEqual({
      kind: "passed",
    });
    expect(await named(startTlsServer(await stranger.server("wrong", { names: [DOMAIN] })))).toMatchObject({
      kind: "failed",
    });
    const [port = 0] = freePorts(1);
    expect(await named({ port })).toMatchObject({ kind: "unreachable" });
  });

  test("that answers nothing cannot be reached", async () => {
    const hole = await openBlackHole();
    cleanups.push(() => hole.close());
    const impatient = createTlsCheck({ tls, timeoutMs: 50 });
    expect(await impatient(createEndpoint("https", "127.0.0.1", hole.port), DOMAIN)).toEqual({
      kind: "unreachable",
      reason: "no answer within 50 ms",
    });
  });
});
