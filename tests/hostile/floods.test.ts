/** Floods of frames that cost us more than their sender: each is cut, named and forgotten. */
import { describe, expect, test } from "bun:test";
import { methodPath } from "../../src/etcd/services.ts";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { withDeadline } from "../harness/wait-for.ts";
import type { BareClient } from "../faults/bare-client.ts";
import {
  CANCEL,
  CONTINUATION,
  concat,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  PRIORITY,
  ping,
  priorityField,
  rstStream,
  settings,
  windowUpdate,
} from "../http2/frames.ts";
import { literalBlock, requestBlock } from "../http2/literal-block.ts";
import { useScene } from "./scene.ts";

const scene = useScene();

const RANGE = requestBlock(methodPath(KV.method.range));
const WATCH = requestBlock(methodPath(Watch.method.watch));
/** A read of the key "honest", framed. */
const READ = Uint8Array.from([0, 0, 0, 0, 8, 10, 6, ...new TextEncoder().encode("honest")]);

/** Frames in one chunk: as many as a socket takes at once. */
const BATCH = 1000;
/** Batches after which an attack that is not cut is given up. */
const BATCHES_MAX = 400;

function batch(make: (index: number) => Uint8Array, index: number): Uint8Array {
  return concat(Array.from({ length: BATCH }, (_, i) => make(index * BATCH + i)));
}

/** Sends frames without end; resolves once the connection is cut. */
async function floodUntilCut(client: BareClient, make: (index: number) => Uint8Array): Promise<void> {
  await client.flood((index) => (index === BATCHES_MAX ? null : batch(make, index)));
  await withDeadline(client.closed, () => "the proxy to cut the flood");
}

const id = (index: number): number => 1 + 2 * index;

interface Flood {
  readonly name: string;
  readonly limit: string;
  /** What is sent before the flood. */
  readonly first?: Uint8Array;
  readonly frame: (index: number) => Uint8Array;
}

const floods: readonly Flood[] = [
  {
    name: "streams opened and reset at once (rapid reset)",
    limit: "resets",
    frame: (i) => concat([frame(HEADERS, END_HEADERS, id(i), RANGE), rstStream(id(i), CANCEL)]),
  },
  {
    name: "whole reads, each reset at once",
    limit: "resets",
    frame: (i) =>
      concat([
        frame(HEADERS, END_HEADERS, id(i), RANGE),
        data(id(i), READ, END_STREAM),
        rstStream(id(i), CANCEL),
      ]),
  },
  {
    name: "malformed requests, which we reset",
    limit: "resets",
    frame: (i) => frame(HEADERS, END_HEADERS | END_STREAM, id(i), literalBlock([["X-Upper", "1"]])),
  },
  {
    name: "requests that the client's own WINDOW_UPDATE of zero ends",
    limit: "windowUpdates",
    frame: (i) => concat([frame(HEADERS, END_HEADERS, id(i), RANGE), windowUpdate(id(i), 0)]),
  },
  {
    name: "watches opened and reset at once",
    limit: "resets",
    frame: (i) => concat([frame(HEADERS, END_HEADERS, id(i), WATCH), rstStream(id(i), CANCEL)]),
  },
  {
    name: "resets of streams that have ended",
    limit: "resets",
    first: frame(HEADERS, END_HEADERS | END_STREAM, 1, RANGE),
    frame: () => rstStream(1, CANCEL),
  },
  { name: "PINGs", limit: "pingStrikes", frame: () => ping("12345678") },
  { name: "SETTINGS", limit: "settings", frame: () => settings() },
  {
    name: "DATA frames that carry nothing",
    limit: "emptyData",
    first: frame(HEADERS, END_HEADERS, 1, WATCH),
    frame: () => data(1, ""),
  },
  { name: "PRIORITY", limit: "idleFrames", frame: () => frame(PRIORITY, 0, 1, priorityField(0)) },
  { name: "unknown frames", limit: "idleFrames", frame: () => frame(0x42, 0, 0, new Uint8Array(16)) },
  { name: "WINDOW_UPDATE of the connection", limit: "windowUpdates", frame: () => windowUpdate(0, 1) },
  {
    name: "WINDOW_UPDATE of a stream",
    limit: "windowUpdates",
    first: frame(HEADERS, END_HEADERS, 1, WATCH),
    frame: () => windowUpdate(1, 1),
  },
  {
    name: "CONTINUATION, empty and endless",
    limit: "continuationFrames",
    first: frame(HEADERS, 0, 1),
    frame: () => frame(CONTINUATION, 0, 1),
  },
  {
    name: "CONTINUATION, large and endless",
    limit: "headerBlock",
    first: frame(HEADERS, 0, 1),
    frame: () => frame(CONTINUATION, 0, 1, new Uint8Array(16_384)),
  },
];

describe("floods", () => {
  test.each(floods.map((flood) => [flood.name, flood] as const))(
    "%s",
    async (_name, { limit, first, frame: make }) => {
      using client = await scene.http2();
      await scene.attack(
        async () => {
          if (first !== undefined) client.send(first);
          await floodUntilCut(client, make);
        },
        { limit },
      );
      expect(await scene.limitLine(limit, client)).toMatchObject({
        level: "warn",
        code: "ENHANCE_YOUR_CALM",
      });
    },
  );

  test("five clients that flood at once are all cut", async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => scene.http2()));
    await scene.attack(async () => {
      await Promise.all(clients.map((client) => floodUntilCut(client, () => ping("12345678"))));
    });
    for (const client of clients) client[Symbol.dispose]();
  });
});
