/** Clients that make the process hold things: answers they do not take, requests they do not finish. */
import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { methodPath } from "../../src/etcd/services.ts";
import { KV, RangeRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Watch, WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { MIB } from "../faults/memory.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import {
  concat,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  text,
  windowUpdate,
} from "../http2/frames.ts";
import { literalBlock, requestBlock } from "../http2/literal-block.ts";
import { useScene } from "./scene.ts";

const BUFFERS = 64 * MIB;
/** What the process may grow by while its buffers are full: garbage, sockets and what is counted roughly come on top. */
const GROWTH = 10 * BUFFERS;

const scene = useScene({ flags: [`--max-buffer-bytes=${BUFFERS}`] });

/** The frames of a whole call. */
function call(streamId: number, block: Uint8Array, message: Uint8Array): Uint8Array {
  return concat([frame(HEADERS, END_HEADERS, streamId, block), data(streamId, framed(message), END_STREAM)]);
}

async function writeLargeValue(): Promise<void> {
  using client = new GrpcClient(scene.proxy.address);
  await client.unary(KV.method.put, { key: text("large"), value: new Uint8Array(MIB) });
}

const READ_LARGE = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: text("large") }));
const RANGE = requestBlock(methodPath(KV.method.range));
const SNAPSHOT = requestBlock(methodPath(Maintenance.method.snapshot));
const put = requestBlock(methodPath(KV.method.put));
const WATCH = requestBlock(methodPath(Watch.method.watch));

describe("answers that are not taken", () => {
  test("hundreds of large reads with a window of zero, on one connection", async () => {
    await writeLargeValue();
    using client = await scene.http2([INITIAL_WINDOW_SIZE, 0]);
    await scene.attack(
      async () => {
        for (let i = 0; i < 400; i++) client.send(call(1 + 2 * i, RANGE, READ_LARGE));
        await waitFor("answers", () => client.receivedBytes > 400 * 20, { deadlineMs: 5000 }).catch(() => {});
      },
      { growthBytesMax: GROWTH },
    );
  });

  test("snapshots and reads that are never read, on many connections", async () => {
    await writeLargeValue();
    const clients = await Promise.all(Array.from({ length: 20 }, () => scene.http2()));
    await scene.attack(
      async () => {
        for (const client of clients) {
          client.stopReading();
          for (let i = 0; i < 50; i++) {
            client.send(call(1 + 4 * i, SNAPSHOT, new Uint8Array(0)), call(3 + 4 * i, RANGE, READ_LARGE));
          }
          client.send(windowUpdate(0, 1 << 30));
        }
        await Bun.sleep(3000);
      },
      { growthBytesMax: GROWTH },
    );
    for (const client of clients) client[Symbol.dispose]();
  });

  test("watches that are never read while much is written", async () => {
    const create1 = toBinary(
      WatchRequestSchema,
      create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key: text("large") } } }),
    );
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => scene.http2([INITIAL_WINDOW_SIZE, 0])),
    );
    await scene.attack(
      async () => {
        for (const client of clients) {
          for (let i = 0; i < 50; i++) {
            client.send(frame(HEADERS, END_HEADERS, 1 + 2 * i, WATCH), data(1 + 2 * i, framed(create1)));
          }
        }
        for (let i = 0; i < 60; i++) await writeLargeValue();
      },
      { growthBytesMax: GROWTH },
    );
    for (const client of clients) client[Symbol.dispose]();
  });
});

describe("requests that are not finished", () => {
  const unfinished = new Uint8Array(250_000).fill(0x20);
  const prefixed = concat([framed(new Uint8Array(1_400_000)).subarray(0, 5), unfinished]);
  const connect = literalBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", methodPath(KV.method.range)],
    ["content-type", "application/json"],
  ]);
  const connectStream = literalBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", methodPath(Watch.method.watch)],
    ["content-type", "application/connect+json"],
  ]);
  const kinds: readonly (readonly [what: string, block: Uint8Array, body: Uint8Array])[] = [
    ["gRPC", put, prefixed],
    ["a gRPC stream", WATCH, prefixed],
    ["Connect in JSON", connect, unfinished],
    ["a Connect stream in JSON", connectStream, prefixed],
  ];
  test.each(kinds)("%s", async (_what, block, body) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => scene.http2()));
    const frames = (streamId: number): Uint8Array => {
      const all = [frame(HEADERS, END_HEADERS, streamId, block)];
      for (let at = 0; at < body.length; at += 16_384)
        all.push(data(streamId, body.subarray(at, at + 16_384)));
      return concat(all);
    };
    await scene.attack(
      async () => {
        await Promise.all(
          clients.map((client) => client.flood((i) => (i === 250 ? null : frames(1 + 2 * i)))),
        );
        await waitFor("the buffers' limit to be told", () =>
          [...scene.limitLines("processBuffers"), ...scene.limitLines("connectionBuffers")].some(({ peer }) =>
            clients.some(({ address }) => address === peer),
          ),
        );
      },
      { limit: "processBuffers", growthBytesMax: GROWTH },
    );
    for (const client of clients) client[Symbol.dispose]();
  });
});

describe("calls that are opened and never finished", () => {
  test.each([
    ["unary ones", put],
    ["watches", WATCH],
    ["heartbeats", requestBlock("/etcdserverpb.Lease/LeaseKeepAlive")],
    ["unknown ones", requestBlock("/a.B/C")],
  ])("a hundred thousand of them: %s", async (_what, block) => {
    using client = await scene.http2();
    await scene.attack(
      () =>
        client.flood((i) =>
          i === 100
            ? null
            : concat(
                Array.from({ length: 1000 }, (_, k) =>
                  frame(HEADERS, END_HEADERS, 1 + 2 * (1000 * i + k), block),
                ),
              ),
        ),
      { growthBytesMax: GROWTH },
    );
    expect(client.isClosed).toBe(false);
    expect(scene.proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("pages", () => {
  test("asked for by the thousands cost the members one at a time", async () => {
    using client = await scene.http2([INITIAL_WINDOW_SIZE, 0]);
    const page = (path: string): Uint8Array =>
      literalBlock([
        [":method", "GET"],
        [":scheme", "http"],
        [":path", path],
      ]);
    const metrics = page("/metrics");
    const health = page("/health");
    await scene.attack(
      async () => {
        await client.flood((i) =>
          i === 100
            ? null
            : concat(
                Array.from({ length: 100 }, (_, k) =>
                  frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    1 + 2 * (100 * i + k),
                    k % 2 === 0 ? metrics : health,
                  ),
                ),
              ),
        );
        await waitFor("answers", () => client.receivedBytes > 1000 || client.isClosed);
      },
      { growthBytesMax: GROWTH },
    );
  });
});
