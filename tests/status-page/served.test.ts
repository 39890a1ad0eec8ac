/** How the status page is served: where, with which header fields, and that it needs nothing else. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { curl, type HttpVersion } from "../e2e/curl.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";

setDefaultTimeout(60_000);

const PAGES = "--metrics-addr=http://127.0.0.1:0";
/** What a browser takes at once, offline: more would be no small page any more. */
const PAGE_BYTES_MAX = 100_000;

let cluster: EtcdCluster;
let grpcProxy: EtcdproxyProcess;
let gateway: EtcdproxyProcess;
let workers: EtcdproxyProcess;

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  [grpcProxy, gateway, workers] = await Promise.all([
    startGrpcProxy(cluster.endpoints, [PAGES]),
    startGateway(cluster.endpoints, [PAGES]),
    startGateway(cluster.endpoints, [PAGES, "--workers=2"]),
  ]);
}, 120_000);
afterAll(async () => {
  for (const proxy of [grpcProxy, gateway, workers]) await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

const urlOf = async (proxy: EtcdproxyProcess): Promise<string> =>
  String((await proxy.logged("listening for metrics"))["address"]);

const servers: readonly [string, () => EtcdproxyProcess, HttpVersion][] = [
  ["a grpc-proxy", () => grpcProxy, "HTTP/1.1"],
  ["a grpc-proxy", () => grpcProxy, "HTTP/2"],
  ["a gateway", () => gateway, "HTTP/1.1"],
  ["a gateway of several workers", () => workers, "HTTP/1.1"],
];

describe.each(servers)("GET / of %s", (_, proxy, version) => {
  const head = async (rest: readonly string[] = []): Promise<Map<string, string>> => {
    const { status, body } = await curl(version, `${await urlOf(proxy())}/`, ["--head", ...rest]);
    expect(status).toBe(200);
    const fields = [...body.matchAll(/^([\w-]+): (.*?)\r?$/gm)];
    return new Map(fields.map(([, name = "", value = ""]) => [name.toLowerCase(), value]));
  };

  test(`is a page over ${version}`, async () => {
    const { status, contentType, body } = await curl(version, `${await urlOf(proxy())}/`);
    expect([status, contentType]).toEqual([200, "text/html; charset=utf-8"]);
    expect(body).toStartWith("<!doctype html>");
    expect(body.trimEnd()).toEndWith("</html>");
    expect(body.length).toBeLessThan(PAGE_BYTES_MAX);
  });

  test(`says over ${version} that it is not kept, not framed, not sniffed, and refers nobody`, async () => {
    const fields = await head();
    expect(fields.get("cache-control")).toBe("no-store");
    expect(fields.get("x-frame-options")).toBe("DENY");
    expect(fields.get("x-content-type-options")).toBe("nosniff");
    expect(fields.get("referrer-policy")).toBe("no-referrer");
    expect(Number(fields.get("content-length"))).toBeGreaterThan(1000);
  });

  test(`lets over ${version} nobody of another origin read it, or what it reads`, async () => {
    const fields = await head(["--header", "origin: http://elsewhere.example"]);
    expect([...fields.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(fields.get("cross-origin-resource-policy")).toBe("same-origin");
  });

  test(`allows over ${version} its own script and style only, by their hashes`, async () => {
    const policy = (await head()).get("content-security-policy") ?? "";
    const { body } = await curl(version, `${await urlOf(proxy())}/`);
    const hashOf = (tag: string): string => {
      const [, text = ""] = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(body) ?? [];
      expect(text.length).toBeGreaterThan(1000);
      return `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;
    };
    const directives = policy.split("; ");
    expect(directives).toContain("default-src 'none'");
    expect(directives).toContain(`script-src ${hashOf("script")}`);
    expect(directives).toContain(`style-src ${hashOf("style")}`);
    expect(directives).toContain("connect-src 'self'");
    expect(directives).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
  });

  test(`is only there to be read over ${version}`, async () => {
    const { status } = await curl(version, `${await urlOf(proxy())}/`, ["--data", "x"]);
    expect(status).toBe(405);
  });
});

test("the page names no address but its own pages'", async () => {
  const { body } = await curl("HTTP/1.1", `${await urlOf(gateway)}/`);
  const [, markup = ""] = /<body>([^]*)<script>/.exec(body) ?? [];
  const links = [...markup.matchAll(/\b(?:href|src)="([^"]*)"/g)].map(([, link]) => link);
  expect(links).toEqual(["#endpoints", "/proxy/metrics", "/proxy/endpoints"]);
  const urls = [...body.matchAll(/https?:\/\/[^\s"'`)<]+/g)].map(([url]) => url);
  // Names of SVG's namespace, which nobody asks for.
  expect([...new Set(urls)]).toEqual(["http://www.w3.org/2000/svg"]);
});

test("the port of clients has no such page", async () => {
  for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
    const { status, body } = await curl(version, `http://${grpcProxy.address}/`);
    expect([status, body.trim()]).toEqual([404, "/ is not served here"]);
  }
});
