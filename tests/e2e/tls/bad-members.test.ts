/** Members that are not who they should be, or that do not take the proxy for who it should be. */
import { createServer, type Server } from "node:tls";
import { describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { EXPIRED, type IssuedCertificate, NOT_YET_VALID } from "../../harness/certificates.ts";
import { startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient, statusOf } from "../../harness/grpc-client.ts";
import { withDeadline } from "../../harness/wait-for.ts";
import { bytes } from "../methods/side.ts";
import { complaint, complains, fresh, shownToMembers, useSecureMember } from "./secure-member.ts";

const secure = useSecureMember();

const UNAVAILABLE = 14;
const SKIP = "--insecure-skip-tls-verify";

/** A call fails with the endpoint and the reason, and the log says so too. */
async function failsFor(reason: RegExp, endpoint: string, flags: readonly string[]): Promise<void> {
  await using proxy = await startGrpcProxy([`https://${endpoint}`], flags);
  using client = new GrpcClient(proxy.address);
  const { code, details } = await statusOf(client.unary(KV.method.range, { key: bytes("key") }));
  expect({ code, details }).toEqual({ code: UNAVAILABLE, details: expect.stringContaining(endpoint) });
  expect(details).toMatch(reason);
  await complaint(proxy, endpoint, reason);
  expect(proxy.running).toBe(true);
}

/** A call succeeds when the member is not verified. */
async function passesUnverified(endpoint: string): Promise<void> {
  const flags = [SKIP, ...shownToMembers(secure().towardsMembers)];
  await using proxy = await startGrpcProxy([`https://${endpoint}`], flags);
  using client = new GrpcClient(proxy.address);
  await client.unary(KV.method.put, { key: bytes("unverified"), value: bytes("value") });
  expect(proxy.log.filter((entry) => complains(entry, [SKIP.slice(2)]))).toHaveLength(1);
}

interface BadMember {
  readonly what: string;
  readonly make: () => Promise<IssuedCertificate>;
  readonly reason: RegExp;
}

const badMembers: readonly BadMember[] = [
  {
    what: "an authority that the proxy does not know",
    make: () => fresh(secure().outer, "server"),
    reason: /verif|issuer|authority/i,
  },
  {
    what: "a certificate that has expired",
    make: () => fresh(secure().inner, "server", EXPIRED),
    reason: /expired/i,
  },
  {
    what: "a certificate that is not valid yet",
    make: () => fresh(secure().inner, "server", NOT_YET_VALID),
    reason: /not.yet.valid/i,
  },
  {
    what: "a certificate for other names",
    make: () => fresh(secure().inner, "server", { names: ["elsewhere.example", "10.1.2.3"] }),
    reason: /name/i,
  },
];

describe.each(badMembers)("a member with $what", ({ make, reason }) => {
  test("is not talked to", async () => {
    const { member, memberFlags } = secure();
    await secure().showing(await make(), () => failsFor(reason, member.endpoint, memberFlags));
  });

  test("is, when nobody wants it verified", async () => {
    const { member } = secure();
    await secure().showing(await make(), () => passesUnverified(member.endpoint));
  });
});

test("a certificate for a name only is not good for the address, and the other way round", async () => {
  const { member, memberFlags, inner } = secure();
  const byName = await fresh(inner, "server", { names: ["localhost"] });
  const atName = member.endpoint.replace("127.0.0.1", "localhost");
  await secure().showing(byName, async () => {
    await failsFor(/name|address/i, member.endpoint, memberFlags);
    await using proxy = await startGrpcProxy([`https://${atName}`], memberFlags);
    using client = new GrpcClient(proxy.address);
    await client.unary(KV.method.range, { key: bytes("key") });
  });
  const byAddress = await fresh(inner, "server", { names: ["127.0.0.1"] });
  await secure().showing(byAddress, () => failsFor(/name/i, atName, memberFlags));
});

describe("a member that refuses the proxy", () => {
  test("for it shows no certificate", async () => {
    const { member, inner } = secure();
    await failsFor(/certificate/i, member.endpoint, [`--cacert=${inner.file}`]);
  });

  test("for it shows one of an authority that the member does not know", async () => {
    const { member, inner, outer } = secure();
    const stranger = await fresh(outer, "client");
    await failsFor(/certificate/i, member.endpoint, [`--cacert=${inner.file}`, ...shownToMembers(stranger)]);
  });

  test("for it shows one that has expired", async () => {
    const { member, inner } = secure();
    const old = await fresh(inner, "client", EXPIRED);
    await failsFor(/certificate/i, member.endpoint, [`--cacert=${inner.file}`, ...shownToMembers(old)]);
  });
});

test("a member that does not speak TLS ends the call with its name, and so does TLS at a plain endpoint", async () => {
  const { member, memberFlags } = secure();
  const plain = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end("SSH-2.0-OpenSSH\r\n") },
  });
  try {
    await failsFor(/TLS|SSL/i, `127.0.0.1:${plain.port}`, memberFlags);
  } finally {
    plain.stop(true);
  }
  await using proxy = await startGrpcProxy([`http://${member.endpoint}`]);
  using client = new GrpcClient(proxy.address);
  const { code, details } = await statusOf(client.unary(KV.method.range, { key: bytes("key") }));
  expect({ code, details }).toEqual({ code: UNAVAILABLE, details: expect.stringContaining(member.endpoint) });
});

test("a member that never ends the handshake does not hold a call longer than one that is dead", async () => {
  const { memberFlags } = secure();
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  try {
    await failsFor(/TLS|handshake|timed? ?out|no answer/i, `127.0.0.1:${silent.port}`, [
      ...memberFlags,
      "--dial-timeout=500ms",
    ]);
  } finally {
    silent.stop(true);
  }
});

describe("beside a member that is bad", () => {
  /** A TLS server that is in the place of a member. */
  async function standIn({ certificatePem, keyPem }: IssuedCertificate): Promise<Server> {
    const server = createServer({ cert: certificatePem, key: keyPem, ALPNProtocols: ["h2"] });
    server.on("tlsClientError", () => {});
    const listening = new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await withDeadline(listening, () => "the stand-in to listen");
    return server;
  }

  /** Which endpoint is tried first is up to chance: so often it is the good one with a chance of one in a million. */
  const STARTS_MAX = 20;

  test("the good one is used, and the log names the bad one", async () => {
    const { member, memberFlags, inner } = secure();
    const bad = await standIn(await fresh(inner, "server", EXPIRED));
    const { port } = bad.address() as { port: number };
    const endpoints = [`https://127.0.0.1:${port}`, member.url];
    try {
      let met = false;
      for (let starts = 0; !met && starts < STARTS_MAX; starts++) {
        await using proxy = await startGrpcProxy(endpoints, memberFlags);
        using client = new GrpcClient(proxy.address);
        await client.unary(KV.method.put, { key: bytes("beside"), value: bytes("value") });
        met = proxy.log.some((entry) => complains(entry, [`127.0.0.1:${port}`, /expired/i]));
      }
      expect(met).toBe(true);
    } finally {
      bad.close();
    }
  });
});
