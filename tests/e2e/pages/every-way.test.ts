/**
 * The grpc-proxy's pages on every way to them: HTTP/1.1 and HTTP/2, plain and over TLS with client certificates, on the port of
 * clients and on that of `--metrics-addr`; in front of a real member that wants certificates too.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CertificateAuthority, type IssuedCertificate } from "../../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { checkCpuProfile, checkHeapSnapshot } from "../../observe/profile-formats.ts";
import { curl, type HttpVersion } from "../curl.ts";

setDefaultTimeout(60_000);

const folder = new TemporaryFolder("everyway");
let authority: CertificateAuthority;
let client: IssuedCertificate;
let cluster: EtcdCluster;
const proxies: EtcdproxyProcess[] = [];
/** Where the pages are, by scheme and port. */
const urls = new Map<string, string>();

const HEALTHY = '{"health":"true","reason":""}';
const READY = "[+]not_draining ok\n[+]member ok\n[+]certificate ok\n[+]linearizable_read ok\nok\n";

beforeAll(async () => {
  authority = await CertificateAuthority.create(folder, "authority");
  client = await authority.client("client");
  const served = await authority.server("served");
  const toMembers = await authority.client("to-members");
  const clients = { caFile: authority.file, own: client };
  cluster = await startEtcdCluster({
    members: 1,
    tls: { server: await authority.server("member"), clients },
  });
  const towardsMembers = [
    `--cert=${toMembers.certificateFile}`,
    `--key=${toMembers.keyFile}`,
    `--cacert=${authority.file}`,
    "--enable-pprof",
  ];
  const towardsClients = [
    `--cert-file=${served.certificateFile}`,
    `--key-file=${served.keyFile}`,
    `--trusted-ca-file=${authority.file}`,
  ];
  for (const [scheme, flags] of [
    ["http", []],
    ["https", towardsClients],
  ] as const) {
    const metrics = `--metrics-addr=${scheme}://127.0.0.1:0`;
    const proxy = await startGrpcProxy(cluster.endpoints, [metrics, ...towardsMembers, ...flags]);
    proxies.push(proxy);
    urls.set(`${scheme} clients`, `${scheme}://${proxy.address}`);
    urls.set(`${scheme} metrics`, String((await proxy.logged("listening for metrics"))["address"]));
  }
}, 120_000);
afterAll(async () => {
  for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
  folder[Symbol.dispose]();
});

const showing = (): string[] => [
  ...["--cacert", authority.file],
  ...["--cert", client.certificateFile, "--key", client.keyFile],
];

/** Resolves once the member says the same: since 3.6 it tells more after a while. */
async function isWhatTheMemberSays(version: () => Promise<string>): Promise<void> {
  await waitFor("the member's version", async () => {
    const told = await version();
    return told === (await curl("HTTP/1.1", `${cluster.urls[0]}/version`, showing())).body;
  });
}

const ways = (["http", "https"] as const).flatMap((scheme) =>
  (["clients", "metrics"] as const).flatMap((port) =>
    (["HTTP/1.1", "HTTP/2"] as const).map((version) => ({ scheme, port, version })),
  ),
);

describe.each(ways)("$scheme, the port of $port, $version", ({ scheme, port, version }) => {
  const ask = (path: string, rest: readonly string[] = [], by: HttpVersion = version) =>
    curl(by, `${urls.get(`${scheme} ${port}`)}${path}`, scheme === "http" ? rest : [...showing(), ...rest]);

  test("/version is the member's", async () => {
    const { status, httpVersion, contentType, body } = await ask("/version");
    expect([status, httpVersion, contentType]).toEqual([
      200,
      version === "HTTP/2" ? "2" : "1.1",
      "application/json",
    ]);
    expect(JSON.parse(body)).toMatchObject({
      etcdserver: expect.any(String),
      etcdcluster: expect.any(String),
    });
    await isWhatTheMemberSays(async () => (await ask("/version")).body);
  });

  test("/metrics is the member's, under its content type", async () => {
    const { status, contentType, body } = await ask("/metrics");
    expect([status, body.includes("etcd_server_has_leader 1")]).toEqual([200, true]);
    expect(contentType).toStartWith("text/plain; version=0.0.4");
  });

  test("/proxy/metrics are the proxy's, under the same content type", async () => {
    const { status, contentType } = await ask("/proxy/metrics");
    expect([status, contentType]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
  });

  test.each(["/health", "/proxy/health"])("%s is healthy, with or without a query", async (path) => {
    for (const query of ["", "?serializable=true"]) {
      const { status, contentType, body } = await ask(`${path}${query}`);
      expect([status, contentType, body]).toEqual([200, "application/json", HEALTHY]);
    }
  });

  test("/livez and /readyz pass, and name their checks when asked so", async () => {
    for (const path of ["/livez", "/readyz", "/readyz/linearizable_read", "/livez/event_loop"]) {
      const { status, contentType, body } = await ask(path);
      expect([status, contentType, body]).toEqual([200, "text/plain; charset=utf-8", "ok\n"]);
    }
    expect((await ask("/readyz?verbose")).body).toBe(READY);
    expect((await ask("/livez?verbose&exclude=buffers")).body).toBe("[+]event_loop ok\nok\n");
  });

  test("HEAD has the length and no body, and other methods are told what is allowed", async () => {
    for (const path of ["/version", "/readyz", "/proxy/health", "/debug/pprof/"]) {
      const head = await ask(path, ["--head"]);
      expect(head.status).toBe(200);
      expect(head.body).toMatch(/^content-length: [1-9]/im);
      expect(head.body.trimEnd().split("\n").length).toBeLessThan(12);
      const refused = await ask(path, ["--include", "--request", "PUT", "--data", "x"]);
      expect(refused.status).toBe(405);
      expect(refused.body).toMatch(/^allow: GET, HEAD\r?$/im);
    }
  });

  test("/debug/pprof/ lists what there is", async () => {
    const index = await ask("/debug/pprof/");
    expect([index.status, index.contentType]).toEqual([200, "text/html; charset=utf-8"]);
    expect((await ask("/debug/pprof", ["--include"])).body).toMatch(/^location: \/debug\/pprof\/\r?$/im);
    const words = (await ask("/debug/pprof/cmdline")).body.split("\0");
    expect(words.slice(1, 3)).toEqual(["grpc-proxy", "start"]);
    expect(words[0]).toEndWith("/dist/etcdproxy");
    expect((await ask("/debug/pprof/goroutine")).status).toBe(404);
  });

  test("/debug/pprof/ is not for web pages that somebody looks at", async () => {
    const asked = async (path: string, field: string): Promise<number> =>
      (await ask(path, ["--header", field])).status;
    for (const name of ["", "cmdline", "profile", "heap", "goroutine"]) {
      expect(await asked(`/debug/pprof/${name}`, "host: rebound.example:2379")).toBe(403);
      expect(await asked(`/debug/pprof/${name}`, "sec-fetch-site: cross-site")).toBe(403);
    }
    for (const host of ["LOCALHOST:2379", "localhost", "[::1]:2379", "192.0.2.1"]) {
      expect(await asked("/debug/pprof/cmdline", `host: ${host}`)).toBe(200);
    }
    expect(await asked("/debug/pprof/", "sec-fetch-site: same-origin")).toBe(200);
    expect(await asked("/proxy/metrics", "host: rebound.example")).toBe(200);
  });

  test("/debug/pprof/ has profiles and snapshots that tools open, whole and under a file name", async () => {
    for (const [name, check, file] of [
      ["profile?seconds=0.2", checkCpuProfile, "etcdproxy-cpu.cpuprofile"],
      ["heap", checkHeapSnapshot, "etcdproxy-heap.heapsnapshot"],
    ] as const) {
      using kept = new TemporaryFolder("profile");
      const [to, head] = [kept.file("body"), kept.file("head")];
      const answer = await ask(`/debug/pprof/${name}`, ["--output", to, "--dump-header", head]);
      expect([answer.status, answer.contentType]).toEqual([200, "application/json"]);
      check(await Bun.file(to).bytes());
      expect(await Bun.file(head).text()).toMatch(
        new RegExp(`^content-disposition: attachment; filename="${file}"\r?$`, "im"),
      );
    }
  });
});

test("HTTP/1.0 clients are answered, and several requests on one connection", async () => {
  const url = urls.get("http clients")!;
  await isWhatTheMemberSays(async () => (await curl("negotiated", `${url}/version`, ["--http1.0"])).body);
  const { body } = await curl("HTTP/1.1", `${url}/livez`, [`${url}/readyz`, `${url}/health`]);
  expect(body).toContain("ok\n");
  expect(body).toContain(HEALTHY);
});

test("what Accept asks for changes nothing", async () => {
  const accepting = ["--header", "accept: application/openmetrics-text;q=1, text/html;q=0.5"];
  const { status, contentType } = await curl(
    "HTTP/1.1",
    `${urls.get("http clients")}/proxy/metrics`,
    accepting,
  );
  expect([status, contentType]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
});
