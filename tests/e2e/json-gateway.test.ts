/**
 * etcd's JSON over HTTP: the same requests by curl to a member and to the grpc-proxy, over HTTP/1.1 and HTTP/2.
 *
 * The answers are equal as JSON. Errors are: members of different versions word the body differently, so of theirs the
 * status and what it says are compared.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { JSON_ROUTES } from "../../src/etcd/json-routes.ts";
import { SERVICES } from "../../src/etcd/services.ts";
import { spawnPiped } from "../harness/child-process.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { LineLog } from "../harness/line-log.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { curl, type HttpVersion } from "./curl.ts";
import { useTargets } from "./targets.ts";

const targets = useTargets({ members: 1, grpcProxyFlags: ["--advertise-client-url="] });
let namespaced: EtcdproxyProcess;

beforeAll(async () => {
  namespaced = await startGrpcProxy([member()], ["--namespace=tenant/"]);
}, 60_000);

afterAll(async () => {
  await namespaced[Symbol.asyncDispose]();
});

function member(): string {
  return targets.cluster.member(0).endpoint;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

interface Told {
  readonly status: number;
  readonly body: unknown;
}

async function post(
  address: string,
  path: string,
  request: unknown,
  version: HttpVersion = "HTTP/1.1",
  headers: readonly string[] = [],
): Promise<Told> {
  const { status, body } = await curl(version, `http://${address}${path}`, [
    ...headers.flatMap((field) => ["--header", field]),
    "--data",
    typeof request === "string" ? request : JSON.stringify(request),
  ]);
  return { status, body: JSON.parse(body) as unknown };
}

/** The one key that there is before each request. */
async function startAfresh(): Promise<void> {
  await post(member(), "/v3/kv/deleterange", { key: base64("json/"), range_end: base64("json0") });
  await post(member(), "/v3/kv/put", { key: base64("json/a"), value: base64("0") });
}

/** What an answer says apart from what moves on by itself. */
function steady({ status, body }: Told): unknown {
  const text = JSON.stringify(body, (name, value: unknown) =>
    [
      "revision",
      "raft_term",
      "mod_revision",
      "create_revision",
      "raftIndex",
      "raftAppliedIndex",
      "dbSizeInUse",
      "dbSize",
    ].includes(name)
      ? typeof value
      : value,
  );
  return { status, body: JSON.parse(text) as unknown };
}

const requests: readonly (readonly [path: string, request: unknown])[] = [
  ["/v3/kv/put", { key: base64("json/a"), value: base64("1") }],
  ["/v3/kv/put", { key: base64("json/a"), value: base64("2"), prev_kv: true }],
  ["/v3/kv/put", { key: base64("json/a"), value: base64("3"), prevKv: true }],
  [
    "/v3/kv/range",
    { key: base64("json/"), range_end: base64("json0"), sort_order: "DESCEND", sort_target: "KEY" },
  ],
  ["/v3/kv/range", { key: base64("json/a"), limit: "5", unknown_field: 1 }],
  ["/v3/kv/range", { key: base64("json/a"), limit: 5, serializable: true }],
  ["/v3/kv/range", { key: base64("json/none") }],
  [
    "/v3/kv/txn",
    {
      compare: [{ result: "EQUAL", target: "VERSION", key: base64("json/none"), version: "0" }],
      success: [{ requestRange: { key: base64("json/a"), keys_only: true, count_only: true } }],
    },
  ],
  ["/v3/kv/deleterange", { key: base64("json/a"), prev_kv: true }],
  ["/v3/lease/timetolive", { ID: "404" }],
  ["/v3/cluster/member/list", {}],
  ["/v3/cluster/member/list", ""],
  ["/v3/maintenance/status", {}],
  ["/v3/maintenance/alarm", { action: "GET" }],
  ["/v3/auth/user/list", {}],
];

describe.each(["HTTP/1.1", "HTTP/2"] as const)("over %s a request is answered as by a member:", (version) => {
  test.each(requests)("%s %j", async (path, request) => {
    await startAfresh();
    const theirs = await post(member(), path, request);
    await startAfresh();
    const ours = await post(targets.grpcProxy.address, path, request, version);
    expect(steady(ours)).toEqual(steady(theirs));
    expect(ours.status).toBe(200);
  });
});

describe("a request that fails is told why, with the status that members give:", () => {
  test.each([
    ["/v3/kv/range", {}],
    ["/v3/kv/put", { value: base64("1") }],
    ["/v3/lease/revoke", { ID: "404" }],
    ["/v3/kv/put", { key: base64("json/a"), lease: "404" }],
    ["/v3/kv/compaction", { revision: "9000000" }],
    ["/v3/election/leader", { name: base64("nobody") }],
  ])("%s %j", async (path, request) => {
    const theirs = await post(member(), path, request);
    const ours = await post(targets.grpcProxy.address, path, request);
    const said = ({ status, body }: Told) => ({ status, message: (body as { message: string }).message });
    expect(said(ours)).toEqual(said(theirs));
    expect(ours.body).toMatchObject({ error: said(ours).message, code: expect.any(Number), details: [] });
  });

  test.each([
    ["no JSON", "key"],
    ["JSON that is cut short", '{"key":"YQ=='],
    ["two objects", "{}{}"],
    ["what is no message of the method", { key: 1 }],
    ["what is not base64", { key: "*" }],
  ])("%s", async (_what, request) => {
    const { status, body } = await post(targets.grpcProxy.address, "/v3/kv/range", request);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 3 });
  });

  test.each([
    ["what is no message", '{"create_request":{"key":1}}', "WatchCreateRequest.key"],
    ["what is no JSON", "x", "the body is not made of JSON objects"],
  ])("%s on a stream", async (_what, request, why) => {
    const { status, body } = await post(targets.grpcProxy.address, "/v3/watch", request);
    expect([status, body]).toEqual([
      400,
      expect.objectContaining({ code: 3, message: expect.stringContaining(why) }),
    ]);
  });

  test("another method than POST", async () => {
    for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
      const { status } = await curl(version, `http://${targets.grpcProxy.address}/v3/kv/range`);
      expect(status).toBe(405);
    }
  });
});

describe("a stream is a line for each message:", () => {
  test.each(["HTTP/1.1", "HTTP/2"] as const)("a watch over %s", async (version) => {
    const prior = version === "HTTP/2" ? ["--http2-prior-knowledge"] : [];
    const request = JSON.stringify({ create_request: { key: base64("json/w"), prev_kv: true } });
    const url = `http://${targets.grpcProxy.address}/v3/watch`;
    const watch = spawnPiped([
      "curl",
      "--silent",
      "--no-buffer",
      "--max-time",
      "60",
      ...prior,
      "--data",
      request,
      url,
    ]);
    const lines = new LineLog("curl", watch.stdout);
    expect(JSON.parse(await lines.next())).toMatchObject({ result: { header: {}, created: true } });
    await post(member(), "/v3/kv/put", { key: base64("json/w"), value: base64(version) });
    expect(JSON.parse(await lines.next())).toMatchObject({
      result: { events: [{ kv: { key: base64("json/w"), value: base64(version) } }] },
    });
    watch.kill();
    await watch.exited;
  });

  test("heartbeats, of which a request may have several", async () => {
    const { body } = await post(member(), "/v3/lease/grant", { TTL: 60 });
    const { ID } = body as { ID: string };
    const { status, body: answers } = await curl(
      "HTTP/1.1",
      `http://${targets.grpcProxy.address}/v3/lease/keepalive`,
      ["--data", `{"ID":"${ID}"}\n{"ID":"${ID}"}`],
    );
    expect(status).toBe(200);
    const lines = answers
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    expect(lines).toEqual([
      { result: expect.objectContaining({ ID, TTL: "60" }) },
      { result: expect.objectContaining({ ID, TTL: "60" }) },
    ]);
  });
});

describe("a request may be as large as in gRPC, though its value is a third longer in base64:", () => {
  const put = async (version: HttpVersion, valueBytes: number): Promise<Told> => {
    using folder = new TemporaryFolder("json");
    const request = { key: base64("json/large"), value: base64("x".repeat(valueBytes)) };
    const file = folder.file("request.json");
    await Bun.write(file, JSON.stringify(request));
    return await post(targets.grpcProxy.address, "/v3/kv/put", `@${file}`, version);
  };

  test.each(["HTTP/1.1", "HTTP/2"] as const)("over %s", async (version) => {
    expect(await put(version, 1_500_000)).toMatchObject({ status: 200, body: { header: {} } });
    expect(await put(version, 1_600_000)).toMatchObject({
      status: 429,
      body: { message: expect.stringContaining("1572864") },
    });
    expect(await put(version, 3_000_000)).toMatchObject({ status: 400, body: { code: 3 } });
  });
});

test("the ID of a lease may be written as a number, which is read to its last digit", async () => {
  const ID = "4590190658680458771";
  await post(member(), "/v3/lease/grant", { ID, TTL: 600 });
  const { body } = await post(targets.grpcProxy.address, "/v3/lease/timetolive", `{"ID":${ID}}`);
  expect(body).toMatchObject({ ID, grantedTTL: "600" });
});

test("a namespace and metadata hold for it too", async () => {
  await post(namespaced.address, "/v3/kv/put", { key: base64("in"), value: base64("1") });
  const { body } = await post(member(), "/v3/kv/range", { key: base64("tenant/in") });
  expect(body).toMatchObject({ kvs: [{ key: base64("tenant/in") }] });
  const read = { key: base64("a") };
  for (const field of ["Grpc-Metadata-token: unknown", "Authorization: unknown"]) {
    const theirs = await post(member(), "/v3/kv/range", read, "HTTP/1.1", [field]);
    const ours = await post(targets.grpcProxy.address, "/v3/kv/range", read, "HTTP/1.1", [field]);
    expect([ours.status, theirs.status]).toEqual([401, 401]);
  }
});

describe.each(["HTTP/1.1", "HTTP/2"] as const)("over %s calls of web pages", (version) => {
  const call = async (path: string, ...fields: string[]) => {
    const { address } = targets.grpcProxy;
    const headers = [...fields, "content-type: text/plain"].flatMap((field) => ["--header", field]);
    return await curl(version, `http://${address}${path}`, [
      ...headers,
      "--data",
      `{"key":"${base64("a")}"}`,
    ]);
  };

  test("are refused, whichever page it is, and not run", async () => {
    const { address } = targets.grpcProxy;
    const port = address.slice(address.lastIndexOf(":") + 1);
    for (const origin of [
      "https://evil.example",
      `http://127.0.0.1:1`,
      "null",
      `http://rebound.example:${port}`,
    ]) {
      const host = origin.includes("rebound") ? [`Host: rebound.example:${port}`] : [];
      for (const path of ["/v3/kv/put", "/etcdserverpb.KV/Put"]) {
        const answer = await call(path, `Origin: ${origin}`, ...host);
        expect(answer).toMatchObject({
          status: 403,
          body: "etcdproxy: calls of web pages are not served: the request has an Origin\n",
        });
      }
    }
    expect((await post(address, "/v3/kv/range", { key: base64("a") })).body).not.toHaveProperty("kvs");
  });

  test("are served where the page is the proxy's own, by its address; pages are, whoever asks", async () => {
    const { address } = targets.grpcProxy;
    expect((await call("/v3/kv/range", `Origin: http://${address}`)).status).toBe(200);
    const page = await curl(version, `http://${address}/health`, [
      "--header",
      "Origin: https://evil.example",
    ]);
    expect(page.status).toBe(200);
  });
});

test("each method has a path", () => {
  const routed = new Set(JSON_ROUTES.values());
  const methods = SERVICES.flatMap((service) => service.methods);
  expect(methods.filter((method) => !routed.has(method)).map(({ name }) => name)).toEqual([]);
});
