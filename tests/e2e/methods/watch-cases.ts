/** Watch, as one client's stream sees it. */
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch, WatchCreateRequest_FilterType } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { bytes, type MethodCase, type Side } from "./side.ts";

const PREFIX = bytes("watch/");
const PREFIX_END = bytes("watch0");
const RANGE = { key: PREFIX, rangeEnd: PREFIX_END };

/** Three changes: two puts of one key and its deletion. Returns the revision of the first. */
async function changes(side: Side): Promise<bigint> {
  const key = bytes("watch/a");
  const first = await side.backstage.unary(KV.method.put, { key, value: bytes("one") });
  await side.backstage.unary(KV.method.put, { key, value: bytes("two") });
  await side.backstage.unary(KV.method.deleteRange, { key });
  return first.header!.revision;
}

export const watchCases: readonly MethodCase[] = [
  {
    name: "Watch shows the history from a revision, then what happens, until it is cancelled",
    covers: [Watch.method.watch],
    async run(side) {
      const startRevision = await changes(side);
      const watch = side.bidirectional(Watch.method.watch);
      watch.send({
        requestUnion: { case: "createRequest", value: { ...RANGE, startRevision, prevKv: true } },
      });
      await watch.heard(); // created
      await watch.heard(); // the history
      await side.backstage.unary(KV.method.put, { key: bytes("watch/b"), value: bytes("live") });
      await watch.heard();
      await side.backstage.unary(KV.method.deleteRange, { key: bytes("watch/b") });
      const { watchId } = await watch.heard();
      watch.send({ requestUnion: { case: "cancelRequest", value: { watchId } } });
      await watch.heard();
      watch.cancel();
    },
  },
  {
    name: "Watches on one stream have ids and filters of their own",
    covers: [Watch.method.watch],
    async run(side) {
      const startRevision = await changes(side);
      const watch = side.bidirectional(Watch.method.watch);
      const { NOPUT, NODELETE } = WatchCreateRequest_FilterType;
      for (const filters of [[NOPUT], [NODELETE]]) {
        watch.send({ requestUnion: { case: "createRequest", value: { ...RANGE, startRevision, filters } } });
        await watch.heard();
        await watch.heard();
      }
      const value = { ...RANGE, watchId: 7n, fragment: true };
      watch.send({ requestUnion: { case: "createRequest", value } });
      await watch.heard();
      watch.send({ requestUnion: { case: "createRequest", value } }); // its id is taken
      await watch.heard();
      watch.cancel();
    },
  },
  {
    name: "A watch from a compacted revision is cancelled with the revision that is still there",
    covers: [Watch.method.watch],
    async run(side) {
      const startRevision = await changes(side);
      await side.backstage.unary(KV.method.compact, { revision: startRevision + 2n, physical: true });
      const watch = side.bidirectional(Watch.method.watch);
      watch.send({ requestUnion: { case: "createRequest", value: { ...RANGE, startRevision } } });
      await watch.heard();
      await watch.heard();
      watch.cancel();
    },
  },
  {
    name: "A progress request on a quiet stream is answered with the revision",
    covers: [Watch.method.watch],
    async run(side) {
      const watch = side.bidirectional(Watch.method.watch);
      watch.send({ requestUnion: { case: "createRequest", value: RANGE } });
      await watch.heard();
      watch.send({ requestUnion: { case: "progressRequest", value: {} } });
      await watch.heard();
      watch.cancel();
    },
  },
  {
    name: "a watch goes on when its client has sent its last request",
    covers: [Watch.method.watch],
    async run(side) {
      const watch = side.bidirectional(Watch.method.watch);
      watch.send({ requestUnion: { case: "createRequest", value: RANGE } });
      watch.halfClose();
      await watch.heard();
      await changes(side);
      for (let events = 0; events < 3;) events += (await watch.heard()).events.length;
      watch.cancel();
    },
  },
];
