/**
 * Members whose answers to calls do harm: header sections that inflate, answers without an end, calls that are never
 * taken, and what decodes to a hundred times its size. The call ends, the proxy lives, and others are served.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { curl } from "../e2e/curl.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { statusOf } from "../harness/grpc-client.ts";
import { MIB } from "../faults/memory.ts";
import {
  concat,
  DATA,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  rstStream,
  REFUSED_STREAM,
  CANCEL,
} from "../http2/frames.ts";
import { type FieldList } from "../http2/wire.ts";
import { PUT, RANGE, rangeAnswer, text } from "./etcd-words.ts";
import { GRPC_HEAD, type HostileCall, prefixed, type Script } from "./hostile-member.ts";
import { HostileScene } from "./scene.ts";

const GROWTH_BYTES_MAX = 150 * MIB;
const UNKNOWN = 2;
const RESOURCE_EXHAUSTED = 8;
const INTERNAL = 13;
const UNAVAILABLE = 14;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
});
afterAll(async () => {
  await cluster.dispose();
});

/** A script that answers calls, once they are whole, by `answer`. */
const answering = (answer: (call: HostileCall) => void): Script => ({
  onRequest: (call) => {
    if (call.ended) answer(call);
  },
});

/** The proxy leaves the member, which resets its connections, for etcd; and nothing is broken. */
async function unharmed(scene: HostileScene, growthBytesMax = GROWTH_BYTES_MAX): Promise<void> {
  for (const connection of scene.member.connections) connection.cut();
  await scene.served();
  expect(scene.proxy.running).toBe(true);
  expect(scene.peakGrowthBytes).toBeLessThan(growthBytesMax);
  expect(scene.ownFaults).toEqual([]);
}

const put = { key: text("k"), value: text("v") };
const many = (field: readonly [string, string], count: number): FieldList =>
  Array.from({ length: count }, () => field);

describe("a header section that is too large", () => {
  /** 4,000 references to one field of 4 KiB: 16 MiB out of 8 KiB. */
  const bomb = concat([
    Uint8Array.of(0x88, 0x40, 1, 0x78, 0x7f, 0xa1, 0x1e),
    new Uint8Array(4000).fill(0x61),
    new Uint8Array(4000).fill(0xbe),
  ]);
  const sections: Record<string, (call: HostileCall) => void> = {
    "in an answer's head": ({ connection, streamId }) =>
      connection.send(
        connection.headers(streamId, [...GRPC_HEAD, ...many(["x-much", "y".repeat(1000)], 30)]),
      ),
    "in trailers": ({ connection, streamId }) => {
      connection.begin(streamId, rangeAnswer());
      const trailers: FieldList = [
        ["grpc-status", "0"],
        ["grpc-message", "m".repeat(16_000)],
        ["x", "y".repeat(400)],
      ];
      connection.send(connection.headers(streamId, trailers, END_STREAM));
    },
    "by an HPACK bomb": ({ connection, streamId }) =>
      connection.send(frame(HEADERS, END_HEADERS, streamId, bomb)),
  };
  for (const [name, answer] of Object.entries(sections)) {
    test(`${name} ends the call, and the line names the limit and the member`, async () => {
      await using scene = await HostileScene.start(cluster, answering(answer));
      const status = await statusOf(scene.client.unary(KV.method.put, put));
      expect([RESOURCE_EXHAUSTED, INTERNAL]).toContain(status.code);
      expect(status.details).toContain(scene.member.endpoint);
      await scene.limitReached("headerList");
      await unharmed(scene);
    });
  }
});

describe("a call that is ended by RST_STREAM", () => {
  test("REFUSED_STREAM for ever: it is sent six times in all", async () => {
    const script = answering(({ connection, streamId }) =>
      connection.send(rstStream(streamId, REFUSED_STREAM)),
    );
    await using scene = await HostileScene.start(cluster, script);
    const status = await statusOf(scene.client.unary(KV.method.put, put));
    expect([status.code, scene.member.requests.filter(({ path }) => path === PUT).length]).toEqual([
      UNAVAILABLE,
      6,
    ]);
    await unharmed(scene);
  });

  test("CANCEL: it is not sent again", async () => {
    const script = answering(({ connection, streamId }) => connection.send(rstStream(streamId, CANCEL)));
    await using scene = await HostileScene.start(cluster, script);
    await statusOf(scene.client.unary(KV.method.put, put));
    await statusOf(scene.client.unary(KV.method.range, put));
    expect(scene.member.requests.map(({ path }) => path)).toEqual([PUT, RANGE]);
    await unharmed(scene);
  });
});

describe("frames that cost the member nothing", () => {
  const floods: Record<string, [limit: string, flood: (call: HostileCall) => void]> = {
    "1xx responses": [
      "idleFrames",
      ({ connection, streamId }) =>
        connection.flood(() => connection.headers(streamId, [[":status", "103"]])),
    ],
    "empty DATA": [
      "emptyData",
      ({ connection, streamId }) => {
        connection.send(connection.headers(streamId, GRPC_HEAD));
        connection.flood(() => data(streamId, ""));
      },
    ],
    "HEADERS of a call that is over": [
      "lateFrames",
      ({ connection, streamId }) => {
        connection.answer(streamId, rangeAnswer());
        const late = concat(
          Array.from({ length: 500 }, () => connection.headers(streamId, [[":status", "200"]])),
        );
        connection.flood(() => late);
      },
    ],
    "RST_STREAM of a call that is over": [
      "lateFrames",
      ({ connection, streamId }) => {
        connection.answer(streamId, rangeAnswer());
        const late = concat(Array.from({ length: 500 }, () => rstStream(streamId, CANCEL)));
        connection.flood(() => late);
      },
    ],
    "DATA of a call that is over": [
      "streamWindow",
      ({ connection, streamId }) => {
        connection.answer(streamId, rangeAnswer());
        const late = frame(DATA, 0, streamId, new Uint8Array(16_384));
        connection.flood(() => late);
      },
    ],
  };
  for (const [name, [limit, flood]] of Object.entries(floods)) {
    test(`${name}: the connection ends, and the line names the limit and the member`, async () => {
      await using scene = await HostileScene.start(cluster, answering(flood));
      const call = scene.client.unary(KV.method.put, put, { timeoutMs: 20_000 }).catch(() => {});
      await scene.limitReached(limit);
      await call;
      await unharmed(scene);
    });
  }
});

describe("an answer that is no answer", () => {
  const answers: Record<string, [codes: number[], answer: (call: HostileCall) => void]> = {
    "a web page": [
      [UNKNOWN],
      ({ connection, streamId }) => {
        const head: FieldList = [
          [":status", "200"],
          ["content-type", "text/html"],
        ];
        connection.send(connection.headers(streamId, head), data(streamId, "<html>", END_STREAM));
      },
    ],
    "an end without a status": [
      [UNKNOWN],
      ({ connection, streamId }) =>
        connection.send(
          connection.headers(streamId, GRPC_HEAD),
          data(streamId, prefixed(rangeAnswer()), END_STREAM),
        ),
    ],
    "a status that is no number": [
      [UNKNOWN],
      ({ connection, streamId }) =>
        connection.send(connection.headers(streamId, [...GRPC_HEAD, ["grpc-status", "OK!"]], END_STREAM)),
    ],
    "a status with control characters and broken details": [
      [UNKNOWN, 7],
      ({ connection, streamId }) =>
        connection.send(
          connection.headers(
            streamId,
            [
              ...GRPC_HEAD,
              ["grpc-status", "7"],
              ["grpc-message", "%zz%00\x01\x7f\xff"],
              ["grpc-status-details-bin", "@@@"],
              ["x-odd", "\x01\x7f\xe9"],
            ],
            END_STREAM,
          ),
        ),
    ],
    "trailers that are no trailers": [
      [INTERNAL],
      ({ connection, streamId }) => {
        connection.begin(streamId, rangeAnswer());
        connection.send(connection.headers(streamId, [[":status", "200"]], END_STREAM));
      },
    ],
    "DATA beyond the window": [
      [INTERNAL],
      ({ connection, streamId }) => {
        connection.send(
          connection.headers(streamId, GRPC_HEAD),
          frame(DATA, 0, streamId, Uint8Array.of(0, 0x7f)),
        );
        for (let i = 0; i < 64; i++) connection.send(frame(DATA, 0, streamId, new Uint8Array(16_384)));
      },
    ],
  };
  for (const [name, [codes, answer]] of Object.entries(answers)) {
    test(`${name} is an error of the call, for gRPC and for JSON`, async () => {
      await using scene = await HostileScene.start(cluster, answering(answer));
      const { code } = await statusOf(scene.client.unary(KV.method.put, put));
      // A small window takes all of the DATA at once: the client reads faster than the member breaks the rule.
      if (name !== "DATA beyond the window") expect(codes).toContain(code);
      const json = await curl("HTTP/1.1", `http://${scene.proxy.address}/etcdserverpb.KV/Put`, [
        "--header",
        "content-type: application/json",
        "--data",
        '{"key":"a2V5"}',
      ]);
      expect(json.status).toBeGreaterThanOrEqual(200);
      await unharmed(scene);
    });
  }
});

describe("a message", () => {
  const url = (scene: HostileScene): string => `http://${scene.proxy.address}/etcdserverpb.KV/Range`;
  const flags = ["--header", "content-type: application/json", "--data", '{"key":"a2V5"}'];

  test("without an end is not gathered beyond the buffers for a caller of JSON", async () => {
    const piece = new Uint8Array(16_384);
    const script = answering(({ connection, streamId }) => {
      connection.send(connection.headers(streamId, GRPC_HEAD));
      let first = true;
      connection.stream(streamId, () => {
        const next = first ? Uint8Array.of(0, 0x7f, 0xff, 0xff, 0xff) : piece;
        first = false;
        return next;
      });
    });
    await using scene = await HostileScene.start(cluster, script, ["--max-buffer-bytes=67108864"]);
    const answer = await curl("HTTP/1.1", url(scene), flags);
    expect(answer.body).toContain("resource_exhausted");
    await unharmed(scene);
  });

  test("that decodes to a hundred times its size is not decoded for a caller of JSON", async () => {
    // Four million empty key-values in 8 MiB: a gigabyte of objects.
    const bomb: Uint8Array | null = prefixed(
      new Uint8Array(8 * MIB).map((_, at) => (at % 2 === 0 ? 0x12 : 0)),
    );
    const script = answering(({ connection, streamId }) => {
      connection.send(connection.headers(streamId, GRPC_HEAD));
      let left: Uint8Array | null = bomb;
      connection.stream(streamId, () => {
        const next = left;
        left = null;
        return next;
      });
    });
    await using scene = await HostileScene.start(cluster, script);
    const answer = await curl("HTTP/1.1", url(scene), flags);
    expect(answer.body).toContain("resource_exhausted");
    await unharmed(scene);
  });
});
