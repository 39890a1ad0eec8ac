/** The grpc-proxy's TLS towards clients: every protocol of the one port, versions, cipher suites. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import type { ClientTls } from "../../harness/certificates.ts";
import { etcdctl, etcdctlTls } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { curl, curlTls } from "../curl.ts";
import { bytes } from "../methods/side.ts";
import { fresh, shownToClients, useSecureMember } from "./secure-member.ts";
import { handshake } from "./s-client.ts";

const secure = useSecureMember();

const KEY = bytes("towards-clients");
const VALUE = bytes("value");

let proxy: EtcdproxyProcess;
/** Trusts the proxy, and shows nothing. */
let bare: ClientTls;
beforeAll(async () => {
  const { member, memberFlags, clientFlags, outer } = secure();
  proxy = await startGrpcProxy([member.url], [...memberFlags, ...clientFlags]);
  bare = { caFile: outer.file };
  using client = new GrpcClient(proxy.address, {}, bare);
  await client.unary(KV.method.put, { key: KEY, value: VALUE });
});
afterAll(() => proxy[Symbol.asyncDispose]());

const url = (path = ""): string => `https://${proxy.address}${path}`;

/** Starts a proxy with these flags on top of those for TLS on both sides. */
function startWith(...flags: readonly string[]): Promise<EtcdproxyProcess> {
  const { member, memberFlags, clientFlags } = secure();
  return startGrpcProxy([member.url], [...memberFlags, ...clientFlags, ...flags]);
}

describe("on the one port", () => {
  test("etcdctl puts and gets", async () => {
    const tls = etcdctlTls(bare);
    expect(await etcdctl([url()], [...tls, "put", "by-etcdctl", "value"])).toMatchObject({ stdout: "OK\n" });
    expect(await etcdctl([url()], [...tls, "get", "by-etcdctl"])).toMatchObject({
      stdout: "by-etcdctl\nvalue\n",
    });
  });

  test.each([
    ["negotiated", "2"],
    ["HTTP/2", "2"],
    ["HTTP/1.1", "1.1"],
  ] as const)("curl (%s) gets the pages over HTTP/%s", async (version, httpVersion) => {
    const health = await curl(version, url("/health"), curlTls(bare));
    expect(health).toMatchObject({ status: 200, httpVersion, contentType: "application/json" });
    expect(JSON.parse(health.body)).toEqual({ health: "true", reason: "" });
    const metrics = await curl(version, url("/metrics"), curlTls(bare));
    expect(metrics).toMatchObject({ status: 200, httpVersion });
    expect(metrics.body).toContain("etcd_server_has_leader 1");
  });

  test.each(["HTTP/2", "HTTP/1.1"] as const)("a call in JSON is answered over %s", async (version) => {
    const data = JSON.stringify({ key: Buffer.from(KEY).toString("base64") });
    const rest = ["--header", "content-type: application/json", "--data", data, ...curlTls(bare)];
    const answer = await curl(version, url("/etcdserverpb.KV/Range"), rest);
    expect(answer).toMatchObject({ status: 200, contentType: "application/json" });
    expect(JSON.parse(answer.body)).toMatchObject({ count: "1" });
  });

  const transports = [
    ["Connect", "1.1", createConnectTransport],
    ["Connect", "2", createConnectTransport],
    ["gRPC-Web", "1.1", createGrpcWebTransport],
    ["gRPC-Web", "2", createGrpcWebTransport],
    ["gRPC", "2", createGrpcTransport],
  ] as const;

  describe.each(transports)("connect-node: %s over HTTP/%s", (_name, httpVersion, create) => {
    const open = (): Transport => {
      const baseUrl = url().replace("127.0.0.1", "localhost");
      const nodeOptions = { ca: secure().outer.certificatePem };
      return create === createGrpcTransport
        ? createGrpcTransport({ baseUrl, nodeOptions })
        : create({ baseUrl, httpVersion, nodeOptions });
    };

    test("a call is answered", async () => {
      const { kvs } = await createClient(KV, open()).range({ key: KEY });
      expect(Buffer.from(kvs[0]!.value).equals(VALUE)).toBe(true);
    });

    test("a server stream is read to its end", async () => {
      let remainingBytes = -1n;
      for await (const piece of createClient(Maintenance, open()).snapshot({})) {
        ({ remainingBytes } = piece);
      }
      expect(remainingBytes).toBe(0n);
    });
  });
});

describe("the application protocol", () => {
  test.each([
    ["h2", "h2"],
    ["http/1.1", "http/1.1"],
    ["http/1.1,h2", "h2"],
    ["spdy/3,http/1.1", "http/1.1"],
  ])("of a client that offers %s is %s", async (offered, chosen) => {
    const { application } = await handshake(proxy.address, { tls: bare, flags: ["-alpn", offered] });
    expect(application).toBe(chosen);
  });

  test("of a client that offers none is HTTP/1.1, if that is what it speaks", async () => {
    const { application, answer } = await handshake(proxy.address, { tls: bare, request: true });
    expect(application).toBe("");
    expect(answer).toStartWith("HTTP/1.1 200");
  });

  test("of a client that offers only others: there is no connection", async () => {
    const { protocol, code } = await handshake(proxy.address, { tls: bare, flags: ["-alpn", "spdy/3"] });
    expect({ protocol, code }).toEqual({ protocol: "", code: 1 });
  });
});

describe("a client without TLS", () => {
  test("gets no answer, is logged, and hurts nobody", async () => {
    await expect(curl("HTTP/1.1", `http://${proxy.address}/health`)).rejects.toThrow("curl");
    await expect(curl("HTTP/2", `http://${proxy.address}/health`)).rejects.toThrow("curl");
    await proxy.loggedWhere("a failed handshake", (entry) => {
      const text = JSON.stringify(entry);
      return /handshake|tls/i.test(text) && /127\.0\.0\.1:\d+/.test(text) && entry.level !== "info";
    });
    expect((await curl("negotiated", url("/health"), curlTls(bare))).status).toBe(200);
  });
});

describe("versions", () => {
  test("1.2 and 1.3 are spoken by default, older ones never", async () => {
    expect(await handshake(proxy.address, { tls: bare })).toMatchObject({ protocol: "TLSv1.3" });
    const second = await handshake(proxy.address, { tls: bare, flags: ["-tls1_2"] });
    expect(second).toMatchObject({ protocol: "TLSv1.2" });
    const flags = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    expect(await handshake(proxy.address, { tls: bare, flags })).toMatchObject({ protocol: "" });
  });

  test("--tls-min-version=TLS1.3 ends 1.2", async () => {
    await using strict = await startWith("--tls-min-version=TLS1.3");
    expect(await handshake(strict.address, { tls: bare })).toMatchObject({ protocol: "TLSv1.3" });
    const second = await handshake(strict.address, { tls: bare, flags: ["-tls1_2"] });
    expect(second).toMatchObject({ protocol: "" });
  });

  test("--tls-max-version=TLS1.2 ends 1.3", async () => {
    await using old = await startWith("--tls-max-version=TLS1.2");
    expect(await handshake(old.address, { tls: bare })).toMatchObject({ protocol: "TLSv1.2" });
    const third = await handshake(old.address, { tls: bare, flags: ["-tls1_3"] });
    expect(third).toMatchObject({ protocol: "" });
  });

  test("both may be the same", async () => {
    await using only = await startWith("--tls-min-version=TLS1.2", "--tls-max-version=TLS1.2");
    expect(await handshake(only.address, { tls: bare })).toMatchObject({ protocol: "TLSv1.2" });
  });
});

describe("--listen-cipher-suites", () => {
  const second = (...offered: readonly string[]) => ({
    tls: bare,
    flags: ["-tls1_2", ...(offered.length === 0 ? [] : ["-cipher", offered.join(":")])],
  });

  test("allows these for TLS 1.2 and no other", async () => {
    await using few = await startWith(
      "--listen-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    );
    const { address } = few;
    expect(await handshake(address, second("ECDHE-ECDSA-AES256-GCM-SHA384"))).toMatchObject({
      cipher: "ECDHE-ECDSA-AES256-GCM-SHA384",
    });
    expect(await handshake(address, second("ECDHE-ECDSA-CHACHA20-POLY1305"))).toMatchObject({
      cipher: "ECDHE-ECDSA-CHACHA20-POLY1305",
    });
    expect(await handshake(address, second("ECDHE-ECDSA-AES128-GCM-SHA256"))).toMatchObject({ cipher: "" });
    expect(await handshake(proxy.address, second("ECDHE-ECDSA-AES128-GCM-SHA256"))).toMatchObject({
      cipher: "ECDHE-ECDSA-AES128-GCM-SHA256",
    });
  });

  test("is for RSA keys too", async () => {
    const certificate = await fresh(secure().outer, "server", { keyType: "rsa" });
    const { member, memberFlags } = secure();
    const suites = "--listen-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    await using few = await startGrpcProxy(
      [member.url],
      [...memberFlags, ...shownToClients(certificate), suites],
    );
    expect(await handshake(few.address, second())).toMatchObject({ cipher: "ECDHE-RSA-AES128-GCM-SHA256" });
  });

  test("names suites of TLS 1.3 without effect", async () => {
    await using few = await startWith(
      "--listen-cipher-suites=TLS_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    );
    const flags = ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"];
    expect(await handshake(few.address, { tls: bare, flags })).toMatchObject({
      cipher: "TLS_AES_128_GCM_SHA256",
    });
    expect(await handshake(few.address, second())).toMatchObject({ cipher: "ECDHE-ECDSA-AES128-GCM-SHA256" });
  });
});

test("a chain is shown with the authorities between", async () => {
  const below = await secure().outer.intermediate("below-outer");
  const certificate = await fresh(below, "server");
  const { member, memberFlags } = secure();
  await using chained = await startGrpcProxy([member.url], [...memberFlags, ...shownToClients(certificate)]);
  const { status } = await curl("negotiated", `https://${chained.address}/health`, curlTls(bare));
  expect(status).toBe(200);
});

test("one client's stalled handshake holds up nobody", async () => {
  const [hostname = "", port] = proxy.address.split(":");
  const stalled = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } });
  try {
    stalled.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    expect((await curl("negotiated", url("/health"), curlTls(bare))).status).toBe(200);
  } finally {
    stalled.terminate();
  }
});
