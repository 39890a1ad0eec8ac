/** Listening and dialling over TLS, on real sockets, with certificates made for the occasion. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Socket } from "bun";
import { Dialer, type DialTarget } from "../../src/net/dial.ts";
import type { DialError } from "../../src/net/dial-error.ts";
import { listen, type Listener } from "../../src/net/listen.ts";
import {
  agreedProtocol,
  createDialContext,
  dialTls,
  type ListenerTls,
  type TlsCredentials,
} from "../../src/net/tls.ts";
import { CertificateAuthority, EXPIRED, type IssuedCertificate } from "../harness/certificates.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { until } from "./until.ts";

let folder: TemporaryFolder;
let authority: CertificateAuthority;
let stranger: CertificateAuthority;
let server: IssuedCertificate;
let client: IssuedCertificate;

beforeAll(async () => {
  folder = new TemporaryFolder("tls");
  authority = await CertificateAuthority.create(folder, "authority");
  stranger = await CertificateAuthority.create(folder, "stranger");
  server = await authority.server("server");
  client = await authority.client("client");
});
afterAll(() => folder[Symbol.dispose]());

class TestTls implements ListenerTls {
  readonly versionMin = "TLSv1.2";
  readonly versionMax = "TLSv1.3";
  readonly cipherList = null;
  credentials: TlsCredentials;
  revokedSerial = "";
  #renewed = (): void => {};

  constructor(certificate: IssuedCertificate, trustedCa: string | null = null) {
    this.credentials = { certificate: certificate.certificatePem, key: certificate.keyPem, trustedCa };
  }

  watch(renewed: () => void): void {
    this.#renewed = renewed;
  }

  renew(credentials: TlsCredentials): void {
    this.credentials = credentials;
    this.#renewed();
  }

  refusalOf(shown: Iterable<{ serialNumber: string }>): string {
    const serials = [...shown].map(({ serialNumber }) => serialNumber.toLowerCase());
    return serials.includes(this.revokedSerial) ? "revoked" : "";
  }
}

interface Peer {
  bytes: number;
  text: string;
  ended: boolean;
  closed: boolean;
}

const newPeer = (): Peer => ({ bytes: 0, text: "", ended: false, closed: false });

/** A server that says what it heard of each client. */
function serve(tls: ListenerTls) {
  const secured: { protocol: string; socket: Socket<Peer> }[] = [];
  const failed: { reason: string; left: boolean }[] = [];
  const dataBeforeSecured: Peer[] = [];
  const known = new Set<Peer>();
  const listener: Listener = listen<Peer>({
    address: { hostname: "127.0.0.1", port: 0 },
    connectionsMax: 100,
    tls,
    handlers: {
      open(socket) {
        socket.data = newPeer();
      },
      secured(socket) {
        known.add(socket.data);
        secured.push({ protocol: agreedProtocol(socket), socket });
      },
      handshakeFailed(_socket, reason, left) {
        failed.push({ reason, left });
      },
      data(socket, chunk) {
        if (!known.has(socket.data)) dataBeforeSecured.push(socket.data);
        socket.data.bytes += chunk.length;
        socket.data.text += chunk.toString("latin1").slice(0, 100);
      },
      end(socket) {
        socket.data.ended = true;
      },
      close(socket) {
        socket.data.closed = true;
      },
    },
  });
  return {
    listener,
    secured,
    failed,
    dataBeforeSecured,
    [Symbol.dispose]() {
      listener.stop();
      for (const { socket } of secured) socket.terminate();
    },
  };
}

interface DialPlan {
  readonly hostname?: string;
  readonly serverName?: string;
  readonly trustedCa?: string;
  readonly certificate?: IssuedCertificate;
  readonly verify?: boolean;
}

function target(listener: Listener, plan: DialPlan = {}): DialTarget {
  const { hostname = "127.0.0.1", trustedCa = authority.certificatePem, certificate, verify = true } = plan;
  const context = createDialContext({
    certificate: certificate?.certificatePem ?? null,
    key: certificate?.keyPem ?? null,
    trustedCa,
  });
  const { port } = listener.address;
  return {
    hostname,
    port,
    name: `${hostname}:${port}`,
    tls: dialTls(context, plan.serverName ?? hostname, verify),
  };
}

function newDialer(timeoutMs = 20_000) {
  const errors: Error[] = [];
  const dialer = new Dialer<Peer>({
    timeoutMs,
    retryDelayMs: 1000,
    handlers: {
      data(socket, chunk) {
        socket.data.text += chunk.toString("latin1");
      },
      end(socket) {
        socket.data.ended = true;
      },
      close(socket) {
        socket.data.closed = true;
      },
      error(_socket, error) {
        errors.push(error);
      },
    },
  });
  return { dialer, errors };
}

async function failure(promise: Promise<unknown>): Promise<DialError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error as DialError;
}

describe("a dial over TLS", () => {
  test("is up once the handshake is, and bytes pass both ways", async () => {
    using served = serve(new TestTls(server));
    const socket = await newDialer().dialer.dial(target(served.listener), newPeer());
    socket.write("ping");
    await until(() => served.secured[0]?.socket.data.text === "ping");
    served.secured[0]!.socket.write("pong");
    await until(() => socket.data.text === "pong");
    expect(agreedProtocol(socket)).toBe("h2");
    socket.terminate();
  });

  test.each(["127.0.0.1", "localhost"])("to %s is checked for that", async (hostname) => {
    using served = serve(new TestTls(server));
    const socket = await newDialer().dialer.dial(target(served.listener, { hostname }), newPeer());
    socket.terminate();
  });

  test("to a server with a certificate for another name or address fails, with the names", async () => {
    const elsewhere = await authority.server("elsewhere", { names: ["etcd.example.com", "10.0.0.1"] });
    using served = serve(new TestTls(elsewhere));
    const byAddress = await failure(newDialer().dialer.dial(target(served.listener), newPeer()));
    expect(byAddress.reason).toBe("tls");
    expect(byAddress.message).toContain("the certificate is for another name");
    expect(byAddress.message).toContain("10.0.0.1");
    const plan = { hostname: "localhost" };
    const byName = await failure(newDialer().dialer.dial(target(served.listener, plan), newPeer()));
    expect(byName.message).toContain("etcd.example.com");
  });

  test("to a server of an unknown authority, or with one that has ended, fails with the reason", async () => {
    using unknown = serve(new TestTls(await stranger.server("unknown")));
    expect((await failure(newDialer().dialer.dial(target(unknown.listener), newPeer()))).message).toContain(
      "an authority that is not trusted here",
    );
    using expired = serve(new TestTls(await authority.server("expired", EXPIRED)));
    expect((await failure(newDialer().dialer.dial(target(expired.listener), newPeer()))).message).toContain(
      "the certificate has expired (CERT_HAS_EXPIRED)",
    );
  });

  test("that takes any certificate takes these", async () => {
    const elsewhere = await stranger.server("any", { names: ["etcd.example.com"], ...EXPIRED });
    using served = serve(new TestTls(elsewhere));
    const socket = await newDialer().dialer.dial(target(served.listener, { verify: false }), newPeer());
    socket.write("ping");
    await until(() => served.secured[0]?.socket.data.text === "ping");
    socket.terminate();
  });

  test("to a server that does not speak TLS fails", async () => {
    const plain = listen<Peer>({
      address: { hostname: "127.0.0.1", port: 0 },
      connectionsMax: 1,
      handlers: {
        open(socket) {
          socket.data = newPeer();
        },
        data(socket) {
          socket.write("HTTP/1.1 400 Bad Request\r\n\r\n");
        },
      },
    });
    const error = await failure(newDialer().dialer.dial(target(plain), newPeer()));
    expect(error.reason).toBe("tls");
    expect(error.message).toContain("does not speak TLS");
    plain.stop();
  });

  test.each(["close", "reset"])("to a server that %ss instead of shaking hands fails", async (how) => {
    const plain = listen<Peer>({
      address: { hostname: "127.0.0.1", port: 0 },
      connectionsMax: 1,
      handlers: {
        open(socket) {
          socket.data = newPeer();
        },
        data(socket) {
          if (how === "close") socket.end();
          else socket.terminate();
        },
      },
    });
    expect((await failure(newDialer().dialer.dial(target(plain), newPeer()))).reason).toBe("tls");
    plain.stop();
  });

  test("to a server that never answers the handshake ends with its timeout, and is not stuck", async () => {
    const silent = newPeer();
    const plain = listen<Peer>({
      address: { hostname: "127.0.0.1", port: 0 },
      connectionsMax: 2,
      handlers: {
        open(socket) {
          socket.data = silent;
        },
        data() {},
        close(socket) {
          socket.data.closed = true;
        },
      },
    });
    const { dialer } = newDialer(50);
    const error = await failure(dialer.dial(target(plain), newPeer()));
    expect([error.reason, error.detail]).toEqual(["timeout", "TLS: no handshake within 50 ms"]);
    expect(dialer.stuckDials).toBe(0);
    await until(() => silent.closed);
    plain.stop();
  });

  test("that was abandoned in its handshake tells nothing, and closes", async () => {
    const seen = { ...newPeer(), opened: false };
    const plain = listen<typeof seen>({
      address: { hostname: "127.0.0.1", port: 0 },
      connectionsMax: 1,
      handlers: {
        open(socket) {
          socket.data = seen;
        },
        data() {
          seen.opened = true;
        },
        close() {
          seen.closed = true;
        },
      },
    });
    const told: string[] = [];
    const dial = newDialer().dialer.start(target(plain), newPeer(), {
      dialled: () => told.push("dialled"),
      dialFailed: () => told.push("failed"),
    });
    await until(() => seen.opened);
    dial.abandon();
    await until(() => seen.closed);
    expect(told).toEqual([]);
    plain.stop();
  });

  test("whose certificate is refused hears of it after the handshake", async () => {
    using served = serve(new TestTls(server, authority.certificatePem));
    const { dialer, errors } = newDialer();
    const socket = await dialer.dial(target(served.listener), newPeer());
    await until(() => socket.data.closed);
    expect(errors.map(({ message }) => message).join()).toContain("CERTIFICATE_REQUIRED");
  });
});

describe("a listener over TLS", () => {
  test("lets in clients with a certificate of its authority", async () => {
    using served = serve(new TestTls(server, authority.certificatePem));
    const socket = await newDialer().dialer.dial(target(served.listener, { certificate: client }), newPeer());
    socket.write("hello");
    await until(() => served.secured[0]?.socket.data.text === "hello");
    expect(served.secured[0]?.protocol).toBe("h2");
    socket.terminate();
  });

  test("refuses clients of another authority, and those whose time is over, before a byte of theirs is read", async () => {
    using served = serve(new TestTls(server, authority.certificatePem));
    const refused = [await stranger.client("foreign"), await authority.client("late", EXPIRED)];
    for (const certificate of refused) {
      const socket = await newDialer().dialer.dial(target(served.listener, { certificate }), newPeer());
      socket.write("hello");
      await until(() => socket.data.closed || socket.data.ended);
      socket.terminate();
    }
    expect(served.failed.map(({ reason }) => reason)).toEqual([
      "the certificate is signed by an authority that is not trusted here (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
      "the certificate has expired (CERT_HAS_EXPIRED)",
    ]);
    expect([served.secured, served.dataBeforeSecured]).toEqual([[], []]);
  });

  test("refuses whom its owner refuses", async () => {
    const tls = new TestTls(server, authority.certificatePem);
    using served = serve(tls);
    const first = await newDialer().dialer.dial(target(served.listener, { certificate: client }), newPeer());
    await until(() => served.secured.length === 1);
    tls.revokedSerial = client.serialNumber.toLowerCase();
    const second = await newDialer().dialer.dial(target(served.listener, { certificate: client }), newPeer());
    await until(() => second.data.closed || second.data.ended);
    expect(served.failed).toEqual([{ reason: "revoked", left: false }]);
    expect(served.secured).toHaveLength(1);
    first.terminate();
    second.terminate();
  });

  test("tells apart who leaves during the handshake, and who speaks no TLS", async () => {
    using served = serve(new TestTls(server));
    const { port } = served.listener.address;
    const quiet = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    quiet.end();
    await until(() => served.failed.length === 1);
    const loud = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    loud.write("GET / HTTP/1.1\r\n\r\n");
    await until(() => served.failed.length === 2);
    expect(served.failed).toEqual([
      { reason: expect.stringContaining("closed the connection"), left: true },
      { reason: "the peer does not speak TLS but plain HTTP (HTTP_REQUEST)", left: false },
    ]);
    loud.end();
  });

  test("serves handshakes that begin after a renewal with the new certificate and authority; open connections live on", async () => {
    const tls = new TestTls(server, authority.certificatePem);
    using served = serve(tls);
    const before = await newDialer().dialer.dial(target(served.listener, { certificate: client }), newPeer());
    const renewed = await stranger.server("renewed");
    tls.renew({
      certificate: renewed.certificatePem,
      key: renewed.keyPem,
      trustedCa: stranger.certificatePem,
    });
    const strangerClient = await stranger.client("client of the new authority");
    const after = await newDialer().dialer.dial(
      target(served.listener, { trustedCa: stranger.certificatePem, certificate: strangerClient }),
      newPeer(),
    );
    after.write("after");
    await until(() => served.secured.at(-1)?.socket.data.text === "after");
    expect(served.secured.map(({ protocol }) => protocol)).toEqual(["h2", "h2"]);

    const old = await failure(
      newDialer().dialer.dial(target(served.listener, { certificate: client }), newPeer()),
    );
    expect(old.reason).toBe("tls");
    const formerClient = await newDialer().dialer.dial(
      target(served.listener, { trustedCa: stranger.certificatePem, certificate: client }),
      newPeer(),
    );
    await until(() => formerClient.data.closed || formerClient.data.ended);

    before.write("still there");
    await until(() => served.secured[0]?.socket.data.text === "still there");
    for (const socket of [before, after, formerClient]) socket.terminate();
  });

  test("passes a half-close on, and what comes the other way behind it", async () => {
    using served = serve(new TestTls(server));
    const socket = await newDialer().dialer.dial(target(served.listener), newPeer());
    socket.write("last");
    socket.shutdown();
    await until(() => served.secured[0]?.socket.data.ended === true);
    expect(served.secured[0]?.socket.data.text).toBe("last");
    served.secured[0]!.socket.write("answer");
    await until(() => socket.data.text === "answer");
    socket.terminate();
  });

  test("takes a certificate with its chain", async () => {
    const middle = await authority.intermediate("middle");
    const chained = await middle.server("chained");
    using served = serve(new TestTls(chained, authority.certificatePem));
    const certificate = await middle.client("chained client");
    const socket = await newDialer().dialer.dial(target(served.listener, { certificate }), newPeer());
    await until(() => served.secured.length === 1);
    socket.terminate();
  });
});

test("what is no certificate, or not the key of this one, makes no context", async () => {
  const other = await authority.client("other");
  const { certificatePem: certificate, keyPem: key } = client;
  expect(() => createDialContext({ certificate, key: other.keyPem, trustedCa: null })).toThrow(
    "KEY_VALUES_MISMATCH",
  );
  expect(() => createDialContext({ certificate: "junk", key, trustedCa: null })).toThrow();
  expect(readFileSync(client.keyFile, "utf8")).toBe(key);
});
