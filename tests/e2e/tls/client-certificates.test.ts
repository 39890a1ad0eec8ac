/** Certificates that clients show: whose connection is refused in the handshake, and what a certificate is not. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { EXPIRED, type IssuedCertificate, NOT_YET_VALID } from "../../harness/certificates.ts";
import { startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl, etcdctlTls } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient, statusOf } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { curl, curlTls } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { complains, fresh, useSecureMember } from "./secure-member.ts";
import { handshake } from "./s-client.ts";

const secure = useSecureMember();

/** Starts a proxy that asks clients for a certificate. */
function startAsking(...flags: readonly string[]): Promise<EtcdproxyProcess> {
  const { member, memberFlags, clientFlags, outer } = secure();
  return startGrpcProxy(
    [member.url],
    [...memberFlags, ...clientFlags, `--trusted-ca-file=${outer.file}`, ...flags],
  );
}

/** Complaints of the log about a client's handshake for this reason. */
function refusals(proxy: EtcdproxyProcess, reason: RegExp): number {
  return proxy.log.filter((entry) => complains(entry, [/127\.0\.0\.1:\d+/, reason])).length;
}

/** The connection of whoever shows `certificate` ends before any byte of an answer, and the log says why. */
async function refuses(
  proxy: EtcdproxyProcess,
  certificate: IssuedCertificate | undefined,
  reason: RegExp,
): Promise<void> {
  const { caFile } = secure().tls;
  const tls = certificate === undefined ? { caFile } : { caFile, certificate };
  const before = refusals(proxy, reason);
  for (const flags of [["-tls1_3"], ["-tls1_2"]]) {
    const { answer } = await handshake(proxy.address, { tls, flags, request: true });
    expect(answer).toBe("");
  }
  await expect(curl("negotiated", `https://${proxy.address}/health`, curlTls(tls))).rejects.toThrow("curl");
  using client = new GrpcClient(proxy.address, {}, tls);
  const call = client.unary(KV.method.range, { key: bytes("key") }, { timeoutMs: 10_000 });
  expect([14, 4]).toContain((await statusOf(call)).code);
  await waitFor(`a refusal that tells ${reason}`, () => refusals(proxy, reason) > before);
}

async function admits(proxy: EtcdproxyProcess, certificate: IssuedCertificate): Promise<void> {
  const tls = { caFile: secure().outer.file, certificate };
  for (const flags of [["-tls1_3"], ["-tls1_2"]]) {
    const { answer } = await handshake(proxy.address, { tls, flags, request: true });
    expect(answer).toStartWith("HTTP/1.1 200");
  }
  using client = new GrpcClient(proxy.address, {}, tls);
  await client.unary(KV.method.range, { key: bytes("key") });
}

describe("with --trusted-ca-file", () => {
  let proxy: EtcdproxyProcess;
  beforeAll(async () => {
    proxy = await startAsking();
  });
  afterAll(() => proxy[Symbol.asyncDispose]());

  test("a client with a certificate of that authority is served, in every protocol", async () => {
    await admits(proxy, secure().client);
    const url = `https://${proxy.address}`;
    expect(await etcdctl([url], [...etcdctlTls(secure().tls), "put", "key", "value"])).toMatchObject({
      stdout: "OK\n",
    });
    for (const version of ["negotiated", "HTTP/1.1"] as const) {
      expect((await curl(version, `${url}/health`, curlTls(secure().tls))).status).toBe(200);
    }
  });

  test("so is one with a certificate of an authority below it, and one with an RSA key", async () => {
    const below = await secure().outer.intermediate("clients-below");
    await admits(proxy, await fresh(below, "client"));
    await admits(proxy, await fresh(secure().outer, "client", { keyType: "rsa" }));
  });

  test("one without a certificate is refused", () => refuses(proxy, undefined, /certificate/i));

  test("one with a certificate of another authority is refused", async () => {
    await refuses(proxy, await fresh(secure().inner, "client"), /verif|issuer|authority/i);
  });

  test("one with an expired certificate is refused", async () => {
    await refuses(proxy, await fresh(secure().outer, "client", EXPIRED), /expired/i);
  });

  test("one with a certificate that is not valid yet is refused", async () => {
    await refuses(proxy, await fresh(secure().outer, "client", NOT_YET_VALID), /not.yet.valid/i);
  });

  test("after all those the proxy serves the others as before", () => admits(proxy, secure().client));
});

describe("with --client-crl-file", () => {
  test.each(["pem", "der"] as const)("a revoked client is refused, the list being in %s", async (form) => {
    const { outer } = secure();
    const revoked = await fresh(outer, "client");
    const list = await outer.revocationList(`clients-${form}`, [revoked], { form });
    await using proxy = await startAsking(`--client-crl-file=${list}`);
    await admits(proxy, secure().client);
    await refuses(proxy, revoked, /revoked/i);
    await refuses(proxy, undefined, /certificate/i);
    await admits(proxy, secure().client);
  });

  test("a client whose authority is revoked is refused, and so are all below it", async () => {
    const { outer } = secure();
    const revoked = await outer.intermediate("clients-revoked");
    const list = await outer.revocationList("clients-authority", [revoked]);
    await using proxy = await startAsking(`--client-crl-file=${list}`);
    await refuses(proxy, await fresh(revoked, "client"), /revoked/i);
    await admits(proxy, await fresh(await outer.intermediate("clients-kept"), "client"));
  });

  test("an empty list refuses nobody", async () => {
    const list = await secure().outer.revocationList("clients-none", []);
    await using proxy = await startAsking(`--client-crl-file=${list}`);
    await admits(proxy, secure().client);
  });
});

test("a certificate is no credential: who has none of etcd's is nobody, whatever the CommonName", async () => {
  const { outer, clientFlags } = secure();
  const cluster = await startEtcdCluster({ members: 1 });
  try {
    for (const words of ["user add root:secret", "user grant-role root root", "auth enable"]) {
      expect((await etcdctl(cluster.endpoints, words.split(" "))).code).toBe(0);
    }
    const flags = [...clientFlags, `--trusted-ca-file=${outer.file}`];
    await using proxy = await startGrpcProxy(cluster.endpoints, flags);
    const certificate = await fresh(outer, "client", { commonName: "root" });
    using client = new GrpcClient(proxy.address, {}, { caFile: outer.file, certificate });
    const put = { key: bytes("key"), value: bytes("value") };
    expect(await statusOf(client.unary(KV.method.put, put))).toMatchObject({
      code: 3,
      details: "etcdserver: user name is empty",
    });
    const login = { name: "root", password: "secret" };
    const { token } = await client.unary(Auth.method.authenticate, login);
    await client.unary(KV.method.put, put, { metadata: { token } });
  } finally {
    await cluster.dispose();
  }
});
