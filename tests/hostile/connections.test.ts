/** Connections that say too little, stop in the middle, or come by the thousands. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { methodPath } from "../../src/etcd/services.ts";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { BareClient } from "../faults/bare-client.ts";
import { MIB } from "../faults/memory.ts";
import { startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import {
  concat,
  data,
  END_HEADERS,
  frame,
  HEADER_TABLE_SIZE,
  HEADERS,
  PREFACE,
  settings,
  text,
  uint32,
} from "../http2/frames.ts";
import { requestBlock } from "../http2/literal-block.ts";
import { useScene } from "./scene.ts";

const scene = useScene();

const RANGE = requestBlock(methodPath(KV.method.range));

describe("slow beginnings", () => {
  const greeting = concat([PREFACE, settings([HEADER_TABLE_SIZE, 0], [HEADER_TABLE_SIZE, 0])]);
  const beginnings: readonly (readonly [what: string, said: Uint8Array])[] = [
    ["nothing at all", new Uint8Array(0)],
    ["a preface, byte by byte", PREFACE],
    ["a preface, then SETTINGS byte by byte", greeting],
  ];
  test("are cut after ten seconds, however they drip", async () => {
    const clients = await Promise.all(beginnings.map(() => scene.connect()));
    const drip = async (client: BareClient, said: Uint8Array): Promise<void> => {
      for (let i = 0; !client.isClosed; i++) {
        // The last byte never comes.
        if (i < said.length - 1) client.send(said.subarray(i, i + 1));
        await Promise.race([client.closed, Bun.sleep(250)]);
      }
    };
    await scene.attack(
      async () => {
        const cut = beginnings.map(([, said], index) => drip(clients[index]!, said));
        await withDeadline(Promise.all(cut), () => "all slow beginnings to be cut");
      },
      { limit: "preface" },
    );
    const peers = scene.limitLines("preface").map(({ peer }) => peer);
    expect(clients.map(({ address }) => address)).toContain(String(peers[0]));
  });
});

describe("connections that stop in the middle", () => {
  const prefix = concat([Uint8Array.of(0), uint32(100)]);
  const middles: readonly (readonly [where: string, said: Uint8Array])[] = [
    ["a frame's header", concat([PREFACE, settings(), Uint8Array.of(0, 0, 9)])],
    ["a header section", concat([PREFACE, settings(), frame(HEADERS, 0, 1, RANGE)])],
    ["a message", concat([PREFACE, settings(), frame(HEADERS, END_HEADERS, 1, RANGE), data(1, prefix)])],
    ["an HTTP/1.1 header section", text("GET /health HTTP/1.1\r\nHo")],
    [
      "an HTTP/1.1 body",
      text("POST /etcdserverpb.KV/Range HTTP/1.1\r\nHost: etcd\r\nContent-Length: 9\r\n\r\n{"),
    ],
  ];

  test.each(middles)("of %s and close their side leave nothing behind", async (_where, said) => {
    const before = scene.proxy.openFiles();
    await scene.attack(async () => {
      const clients = await Promise.all(Array.from({ length: 50 }, () => scene.connect()));
      for (const client of clients) client.send(said);
      await waitFor("the bytes to be sent", () => clients.every(({ sentAll }) => sentAll));
      for (const client of clients) client.halfClose();
      await withDeadline(
        Promise.all(clients.map(({ closed }) => closed)),
        () => "the proxy to close them all",
      );
    });
    await waitFor("the sockets to be gone", () => scene.proxy.openFiles() <= before + 2);
  });

  test.each(middles)("of %s and vanish leave nothing behind", async (_where, said) => {
    const before = scene.proxy.openFiles();
    await scene.attack(async () => {
      const clients = await Promise.all(Array.from({ length: 50 }, () => scene.connect()));
      for (const client of clients) client.send(said);
      await waitFor("the bytes to be sent", () => clients.every(({ sentAll }) => sentAll));
      for (const client of clients) client.reset();
    });
    await waitFor("the sockets to be gone", () => scene.proxy.openFiles() <= before + 2);
  });

  test("a client that is silent is asked by the kernel whether it still exists", async () => {
    using client = await scene.http2();
    await waitFor("the proxy's greeting", () => client.receivedBytes > 0);
    const port = Number(client.address.split(":").at(-1));
    // The keepalive timer (2) of the proxy's end of the connection.
    await waitFor("the keepalive timer", () => timerTo(port) === "02");
  });
});

/** The kernel's timer of the socket whose other end is the loopback port `port`, as /proc/net/tcp tells it. */
function timerTo(port: number): string | undefined {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "utf8").trimEnd().split("\n").slice(1);
  const line = lines
    .map((each) => each.trim().split(/\s+/))
    .find(([, , remote]) => remote?.endsWith(`:${hex}`));
  return line?.[5]?.split(":")[0];
}

test("10,000 connections at once against --max-connections: who was there before is served all the while", async () => {
  await using bounded = await startGrpcProxy(scene.cluster.endpoints, ["--max-connections=1000"]);
  using honest = new GrpcClient(bounded.address);
  const read = (): Promise<unknown> => honest.unary(KV.method.range, { key: text("k") });
  await read();
  const before = bounded.rssBytes();
  const clients: BareClient[] = [];
  for (let batch = 0; batch < 40; batch++) {
    const results = await Promise.allSettled(
      Array.from({ length: 250 }, () => BareClient.connect(bounded.address)),
    );
    clients.push(...results.filter((result) => result.status === "fulfilled").map(({ value }) => value));
    await read();
  }
  await waitFor(
    "all but the limit to be reset",
    () => clients.filter(({ isClosed }) => !isClosed).length < 1000,
  );
  expect(bounded.openFiles()).toBeLessThan(1100);
  expect(bounded.rssBytes() - before).toBeLessThan(96 * MIB);
  const lines = bounded.log.filter(({ limit }) => limit === "connections");
  expect(lines.length).toBeGreaterThan(0);
  expect(String(lines[0]?.["peer"])).toStartWith("127.0.0.1:");
  for (const client of clients) client.reset();
  await waitFor("a new client to be served", async () => {
    using late = new GrpcClient(bounded.address);
    await late.unary(KV.method.range, { key: text("k") });
    return true;
  });
});
