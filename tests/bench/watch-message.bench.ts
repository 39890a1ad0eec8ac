/**
 * What a watch event costs on its way through the hub, in nanoseconds: reading a member's response, making the body
 * that clients share, and writing it for each client; beside Protobuf-ES, which makes objects of it. And finding the
 * watches of a key among thousands: `bun tests/bench/watch-message.bench.ts`.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { IntervalMap } from "../../src/base/interval-map.ts";
import { eventsBody, writeWatchMessage } from "../../src/etcd/watch-message.ts";
import { WatchResponseReader } from "../../src/etcd/watch-response.ts";
import { WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";

const RUNS = 5;
const TIMES = 200_000;
const INTERVALS = 10_000;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const REVISION = 1_234_567n;
const response = create(WatchResponseSchema, {
  header: { clusterId: 2n ** 63n + 5n, memberId: 2n ** 62n + 7n, revision: REVISION, raftTerm: 3n },
  watchId: 17n,
  events: [
    {
      kv: {
        key: utf8("/registry/pods/default/a-pod-with-a-name"),
        createRevision: REVISION - 1000n,
        modRevision: REVISION,
        version: 3n,
        value: utf8("v".repeat(64)),
      },
    },
  ],
});
const bytes = toBinary(WatchResponseSchema, response);
const reader = new WatchResponseReader();
reader.read(bytes, 0, bytes.length);
const { header, events } = reader;
const picked = events.map((event) => ({ bytes, event }));
const body = eventsBody(header, header.revision, picked, false, false);
const out = new ByteWriter();

const key = (number: number): string => `/key/${number.toString().padStart(6, "0")}`;
const singleKeys = new IntervalMap<number>();
const ranges = new IntervalMap<number>();
for (let i = 0; i < INTERVALS; i++) {
  singleKeys.set(key(i), `${key(i)}\0`, i);
  ranges.set(key(i), key(i + 3), i);
}
let sum = 0;
const add = (value: number): void => void (sum += value);

const steps: Readonly<Record<string, (turn: number) => void>> = {
  "read a response": () => reader.read(bytes, 0, bytes.length),
  "read it with Protobuf-ES": () => void fromBinary(WatchResponseSchema, bytes),
  "make a body": () => void eventsBody(header, header.revision, picked, false, false),
  "write a message": (turn) => {
    if (out.length > 60_000) out.clear();
    writeWatchMessage(out, turn & 0xfff, body);
  },
  "write it with Protobuf-ES": () => void toBinary(WatchResponseSchema, response),
  "find a single key": (turn) => singleKeys.forEachContaining(key(turn % INTERVALS), add),
  "find 3 ranges of a key": (turn) => ranges.forEachContaining(key(turn % INTERVALS), add),
  "find a covering range": (turn) =>
    void ranges.findCovering(key(turn % INTERVALS), key((turn % INTERVALS) + 1)),
  "set and delete a range": (turn) => {
    ranges.set(key(turn % INTERVALS), "/key/9", turn);
    ranges.delete(key(turn % INTERVALS), "/key/9");
  },
  "(making such a key)": (turn) => add(key(turn % INTERVALS).length),
};

function run(step: (turn: number) => void): number {
  const startedNs = Bun.nanoseconds();
  for (let turn = 0; turn < TIMES; turn++) step(turn);
  return (Bun.nanoseconds() - startedNs) / TIMES;
}

for (const [name, step] of Object.entries(steps)) {
  const best = Math.min(...Array.from({ length: RUNS }, () => run(step)));
  console.log(`${name.padEnd(26)}${best.toFixed(0).padStart(6)} ns`);
}
if (sum === 0) throw new Error("nothing was found");
