/**
 * The grpc-proxy's one port: gRPC, gRPC-Web, Connect and plain HTTP, over HTTP/1.1 and HTTP/2.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { withDeadline } from "../harness/wait-for.ts";
import { curl, type HttpVersion } from "./curl.ts";
import { bytes } from "./methods/side.ts";
import { useTargets } from "./targets.ts";

const targets = useTargets();
const url = (path: string): string => `http://${targets.grpcProxy.address}${path}`;

const KEY = bytes("one-port");
const VALUE = bytes("value");
const BASE64_KEY = Buffer.from(KEY).toString("base64");
const BASE64_VALUE = Buffer.from(VALUE).toString("base64");
const JSON_CONTENT = ["--header", "content-type: application/json"];

beforeAll(async () => {
  using client = new GrpcClient(targets.cluster.member(0).endpoint);
  await client.unary(KV.method.put, { key: KEY, value: VALUE });
});

describe.each<HttpVersion>(["HTTP/1.1", "HTTP/2"])("curl over %s", (version) => {
  test("/health tells that the cluster can be read", async () => {
    const { status, contentType, body } = await curl(version, url("/health"));
    expect({ status, contentType, body: JSON.parse(body) as unknown }).toEqual({
      status: 200,
      contentType: "application/json",
      body: { health: "true", reason: "" },
    });
  });

  test("/metrics is a member's page", async () => {
    const { status, contentType, body } = await curl(version, url("/metrics"));
    expect(status).toBe(200);
    expect(contentType).toStartWith("text/plain");
    expect(body).toContain("etcd_server_has_leader 1");
  });

  test("a HEAD request has no body", async () => {
    const { status, body } = await curl(version, url("/health"), ["--head"]);
    expect(status).toBe(200);
    expect(body).not.toContain("{");
  });

  test("another page is not found, and nothing but GET and HEAD is allowed", async () => {
    expect((await curl(version, url("/nothing"))).status).toBe(404);
    expect((await curl(version, url("/health"), ["--data", "x"])).status).toBe(405);
  });

  test("a call in JSON is answered in JSON", async () => {
    const data = JSON.stringify({ key: BASE64_KEY });
    const answer = await curl(version, url("/etcdserverpb.KV/Range"), [...JSON_CONTENT, "--data", data]);
    expect(answer).toMatchObject({ status: 200, contentType: "application/json" });
    expect(JSON.parse(answer.body)).toMatchObject({
      count: "1",
      kvs: [{ key: BASE64_KEY, value: BASE64_VALUE }],
    });
  });

  test("a gzipped call is answered", async () => {
    const data = Buffer.from(gzipSync(JSON.stringify({ key: BASE64_KEY })));
    using folder = new TemporaryFolder("curl");
    const file = folder.file("request.gz");
    await Bun.write(file, data);
    const rest = [...JSON_CONTENT, "--header", "content-encoding: gzip", "--data-binary", `@${file}`];
    const answer = await curl(version, url("/etcdserverpb.KV/Range"), [...rest, "--compressed"]);
    expect(JSON.parse(answer.body)).toMatchObject({ count: "1" });
  });

  test("an error of etcd's has its code and its text", async () => {
    const answer = await curl(version, url("/etcdserverpb.KV/Range"), [...JSON_CONTENT, "--data", "{}"]);
    expect(answer).toMatchObject({ status: 400, contentType: "application/json" });
    expect(JSON.parse(answer.body)).toEqual({
      code: "invalid_argument",
      message: "etcdserver: key is not provided",
    });
  });

  test("a call that is no JSON, or of no known type, is refused", async () => {
    const path = url("/etcdserverpb.KV/Range");
    const broken = await curl(version, path, [...JSON_CONTENT, "--data", "{"]);
    expect(broken).toMatchObject({ status: 400 });
    expect(JSON.parse(broken.body)).toMatchObject({ code: "invalid_argument" });
    const unknown = await curl(version, path, ["--header", "content-type: text/html", "--data", "{}"]);
    expect(unknown.status).toBe(415);
  });

  test("an unknown method in JSON is refused", async () => {
    const answer = await curl(version, url("/etcdserverpb.KV/Undo"), [...JSON_CONTENT, "--data", "{}"]);
    expect([404, 405]).toContain(answer.status);
  });
});

test("gRPC over HTTP/1.1 is refused with the reason", async () => {
  const rest = ["--header", "content-type: application/grpc", "--data", "x"];
  const answer = await curl("HTTP/1.1", url("/etcdserverpb.KV/Range"), rest);
  expect(answer).toMatchObject({ status: 505, body: "gRPC is served over HTTP/2\n" });
});

interface Protocol {
  readonly name: string;
  readonly open: () => Transport;
  /** Whether requests and answers can flow at the same time. */
  readonly bidirectional: boolean;
}

const gzip = { sendCompression: compressionGzip, acceptCompression: [compressionGzip], compressMinBytes: 1 };

const protocols: readonly Protocol[] = (["1.1", "2"] as const).flatMap((httpVersion) => {
  const baseUrl = (): { baseUrl: string; httpVersion: typeof httpVersion } => ({
    baseUrl: url(""),
    httpVersion,
  });
  const bidirectional = httpVersion === "2";
  const all: Protocol[] = [
    { name: "Connect", open: () => createConnectTransport(baseUrl()), bidirectional },
    {
      name: "Connect in JSON, gzipped",
      open: () => createConnectTransport({ ...baseUrl(), ...gzip, useBinaryFormat: false }),
      bidirectional,
    },
    { name: "gRPC-Web", open: () => createGrpcWebTransport(baseUrl()), bidirectional },
    {
      name: "gRPC-Web, gzipped",
      open: () => createGrpcWebTransport({ ...baseUrl(), ...gzip }),
      bidirectional,
    },
  ];
  if (httpVersion === "2") {
    all.push({ name: "gRPC", open: () => createGrpcTransport(baseUrl()), bidirectional });
  }
  return all.map((protocol) => ({ ...protocol, name: `${protocol.name} over HTTP/${httpVersion}` }));
});

for (const { name, open, bidirectional } of protocols) {
  describe(`connect-node: ${name}`, () => {
    test("a unary call is answered", async () => {
      const { kvs, header } = await createClient(KV, open()).range({ key: KEY });
      expect(Buffer.from(kvs[0]!.value).equals(VALUE)).toBe(true);
      expect(header!.revision).toBeGreaterThan(0n);
    });

    test("an error of etcd's has its code and its text", async () => {
      const error = await createClient(KV, open())
        .range({ key: KEY, revision: 1_000_000n })
        .catch((reason: unknown) => reason);
      expect(ConnectError.from(error)).toMatchObject({
        code: Code.OutOfRange,
        rawMessage: "etcdserver: mvcc: required revision is a future revision",
      });
    });

    test("a server stream is read to its end", async () => {
      let databaseBytes = 0;
      let remainingBytes = -1n;
      for await (const piece of createClient(Maintenance, open()).snapshot({})) {
        databaseBytes += piece.blob.length;
        remainingBytes = piece.remainingBytes;
      }
      expect(databaseBytes).toBeGreaterThan(4096);
      expect(remainingBytes).toBe(0n);
    });

    if (!bidirectional) return;

    test("a watch goes both ways at the same time", async () => {
      const stop = new AbortController();
      const key = bytes(`one-port/${name}`);
      async function* requests() {
        yield { requestUnion: { case: "createRequest" as const, value: { key } } };
        await new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
      }
      const answers = createClient(Watch, open()).watch(requests(), { signal: stop.signal });
      const iterator = answers[Symbol.asyncIterator]();
      const next = async () => (await withDeadline(iterator.next(), () => "the watch's next answer")).value;
      expect(await next()).toMatchObject({ created: true });
      await createClient(KV, open()).put({ key, value: VALUE });
      expect(await next()).toMatchObject({ events: [{ kv: { key } }] });
      stop.abort();
    });
  });
}

describe("clients that speak nothing", () => {
  test.each([
    ["garbage", Buffer.from([0x16, 0x03, 0x01, 0x00, 0xff, 0x80, 0x00])],
    ["a preface that goes wrong", Buffer.from("PRI * HTTP/1.0\r\n\r\nSM\r\n\r\n")],
    ["a preface followed by garbage", Buffer.from(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"\xff".repeat(64)}`)],
    ["half a request", Buffer.from("GET /health HT")],
  ])("%s hurts nobody else", async (_what, first) => {
    using client = new GrpcClient(targets.grpcProxy.address);
    const [hostname = "", port = ""] = targets.grpcProxy.address.split(":");
    const socket = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } });
    try {
      socket.write(first);
      expect((await client.unary(KV.method.range, { key: KEY })).count).toBe(1n);
      expect((await curl("HTTP/1.1", url("/health"))).status).toBe(200);
      expect(targets.grpcProxy.running).toBe(true);
    } finally {
      socket.terminate();
    }
  });
});
