/**
 * Members that lie to the proxy's own streams: watches whose revisions never end or cannot be, messages that no etcd
 * sends, watches and streams that end as they are opened, heartbeats of other leases. The proxy leaves them, neither grows
 * nor spins, and the client's watch goes on at etcd without having missed anything.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import {
  Lease,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
} from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch, WatchRequestSchema, type WatchResponse } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { MIB } from "../faults/memory.ts";
import { CANCEL, concat, rstStream } from "../http2/frames.ts";
import {
  answeredProbe,
  createdIds,
  event,
  headerAt,
  KEEP_ALIVE,
  REVISION,
  text,
  WATCH,
  watchAnswer,
} from "./etcd-words.ts";
import { GRPC_HEAD, type HostileCall, prefixed, type Script } from "./hostile-member.ts";
import { HostileScene } from "./scene.ts";

const BUFFER_FLAG = `--max-buffer-bytes=${64 * MIB}`;
/** The buffers, what a message takes on its way through, and what the collector leaves for a while. */
const GROWTH_BYTES_MAX = 300 * MIB;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  // Watches are opened behind the revision that the hostile members tell.
  using etcd = new GrpcClient(cluster.endpoints[0]!);
  for (let i = 0n; i < REVISION; i++) await etcd.unary(KV.method.put, { key: text("earlier") });
});
afterAll(async () => {
  await cluster.dispose();
});

/** A client's watches on one stream, and what they have told. */
class Watcher implements Disposable {
  readonly told: WatchResponse[] = [];
  readonly #stream;

  constructor(client: GrpcClient, keys: readonly string[]) {
    this.#stream = client.bidirectional(Watch.method.watch);
    this.#stream.on("data", (response: WatchResponse) => this.told.push(response));
    this.#stream.on("error", () => {});
    for (const key of keys) {
      const value = { key: text(key) };
      this.#stream.write(create(WatchRequestSchema, { requestUnion: { case: "createRequest", value } }));
    }
  }

  /** Values of the events on a key, in their order. */
  valuesOf(key: string): string[] {
    const events = this.told.flatMap((response) => response.events);
    return events
      .filter(({ kv }) => Buffer.from(kv?.key ?? []).toString() === key)
      .map(({ kv }) => Buffer.from(kv?.value ?? []).toString());
  }

  [Symbol.dispose](): void {
    this.#stream.cancel();
  }
}

/** What a member does to a Watch call whose watch it has just opened, and to each request behind that. */
type Deed = (call: HostileCall, watchId: bigint) => void;

/** A script that behaves until the first watch is open. */
function openingWatches(deed: Deed, opens = true): Script {
  const begun = new Set<string>();
  return {
    onRequest: (call) => {
      if (answeredProbe(call) || call.path !== WATCH) return;
      const [watchId] = createdIds(call.body);
      const { connection, streamId } = call;
      const id = `${call.connection.number} ${streamId}`;
      if (watchId === undefined || begun.has(id)) return;
      begun.add(id);
      connection.send(connection.headers(streamId, GRPC_HEAD));
      if (opens) connection.messages(streamId, watchAnswer({ watchId, created: true }));
      deed(call, watchId);
    },
  };
}

/** Writes at etcd until the watcher has heard of it, and holds what it heard against all that was written. */
async function goesOn(scene: HostileScene, watcher: Watcher, key: string): Promise<void> {
  using etcd = new GrpcClient(cluster.endpoints[0]!);
  const written: string[] = [];
  await waitFor("an event from etcd", async () => {
    written.push(`value ${written.length}`);
    await etcd.unary(KV.method.put, { key: text(key), value: text(written.at(-1)!) });
    return watcher.valuesOf(key).length > 0;
  });
  await waitFor("all events from etcd", () => watcher.valuesOf(key).length >= written.length);
  expect(watcher.valuesOf(key)).toEqual(written);
  expect(scene.proxy.running).toBe(true);
  expect(scene.ownFaults).toEqual([]);
}

let keys = 0;
/** A key of no other test. */
const freshKey = (): string => `watched ${keys++}`;

describe("a revision that never ends", () => {
  test("is given up where the buffers end; the watch goes on at etcd", async () => {
    const key = freshKey();
    const script = openingWatches(({ connection, streamId }, watchId) => {
      const fragment = prefixed(
        watchAnswer({ watchId, fragment: true, events: [event(key, REVISION + 1n, 100_000)] }),
      );
      connection.stream(streamId, () => fragment);
    });
    await using scene = await HostileScene.start(cluster, script, [BUFFER_FLAG]);
    using watcher = new Watcher(scene.client, [key]);
    await scene.limitReached("revisionBytes");
    await goesOn(scene, watcher, key);
    expect(scene.peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
  });

  test("in the smallest fragments is given up as well, and costs no more", async () => {
    const key = freshKey();
    const script = openingWatches(({ connection, streamId }, watchId) => {
      const one = prefixed(watchAnswer({ watchId, fragment: true, events: [event("k", REVISION + 1n, 0)] }));
      const fragments = concat(Array.from({ length: 200 }, () => one));
      connection.stream(streamId, () => fragments);
    });
    await using scene = await HostileScene.start(cluster, script, [BUFFER_FLAG]);
    using watcher = new Watcher(scene.client, [key]);
    await scene.limitReached("revisionBytes");
    await goesOn(scene, watcher, key);
    expect(scene.peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
  });

  test("of a member that is alone ends in the cancellation of the watch, with the reason", async () => {
    const key = freshKey();
    const script = openingWatches(({ connection, streamId }, watchId) => {
      const events = [event(key, REVISION + 1n, 500_000)];
      const fragment = prefixed(watchAnswer({ watchId, fragment: true, events }));
      connection.stream(streamId, () => fragment);
    });
    await using scene = await HostileScene.start(cluster, script, [BUFFER_FLAG], true);
    using watcher = new Watcher(scene.client, [key]);
    const canceled = await waitFor("the cancellation", () => watcher.told.find((each) => each.canceled));
    expect(canceled.cancelReason).toContain("events of one revision");
    expect(watcher.valuesOf(key)).toEqual([]);
    expect(scene.peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
  });
});

describe("what no etcd sends on a Watch call", () => {
  const field = (number: number, bytes: Uint8Array): Uint8Array =>
    concat([Uint8Array.of(number * 8 + 2), lengthOf(bytes.length), bytes]);
  const deeds: Record<string, (key: string, watchId: bigint) => Uint8Array[]> = {
    "a message of 4 GiB": () => [Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff)],
    "a compressed message": () => [Uint8Array.of(1, 0, 0, 0, 1, 0)],
    "bytes that are no message": () => [prefixed(new Uint8Array(1000).fill(0xff))],
    "an event at the last revision there is": (key, watchId) => [
      prefixed(watchAnswer({ watchId, events: [event(key, 2n ** 63n - 1n)] })),
    ],
    "events in the wrong order": (key, watchId) => [
      prefixed(watchAnswer({ watchId, events: [event(key, 9n), event(key, 8n)] })),
    ],
    "a header at the last revision there is": (_key, watchId) => [
      prefixed(watchAnswer({ watchId, header: headerAt(2n ** 63n - 1n) })),
    ],
    "a header at a negative revision": (_key, watchId) => [
      prefixed(watchAnswer({ watchId, header: headerAt(-2n) })),
    ],
    "a header of a megabyte": () => [prefixed(field(1, field(15, new Uint8Array(MIB))))],
    "millions of empty events": () => [
      prefixed(new Uint8Array(12 * MIB).map((_, at) => (at % 2 === 0 ? 0x5a : 0))),
    ],
    "answers to progress requests that were never made": () =>
      Array.from({ length: 200 }, () => prefixed(watchAnswer({ watchId: -1n }))),
  };
  for (const [name, bytesOf] of Object.entries(deeds)) {
    test(`${name}: the member is left, and the watch goes on at etcd`, async () => {
      const key = freshKey();
      const script = openingWatches(({ connection, streamId }, watchId) => {
        const pieces = bytesOf(key, watchId);
        connection.stream(streamId, () => pieces.shift() ?? null);
      });
      await using scene = await HostileScene.start(cluster, script, [BUFFER_FLAG]);
      using watcher = new Watcher(scene.client, [key]);
      await goesOn(scene, watcher, key);
      expect(scene.peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
    });
  }

  test("answers for watches that do not exist are passed over", async () => {
    const key = freshKey();
    const script = openingWatches(({ connection, streamId }, watchId) => {
      const answers = [
        watchAnswer({ watchId: 999n, events: [event(key, 7n)] }),
        watchAnswer({ watchId: 998n, canceled: true }),
        watchAnswer({ watchId, created: true }),
        watchAnswer({ watchId: 997n, created: true, canceled: true }),
      ];
      connection.messages(streamId, ...answers);
      setImmediate(() => connection.cut());
    });
    await using scene = await HostileScene.start(cluster, script);
    using watcher = new Watcher(scene.client, [key]);
    await goesOn(scene, watcher, key);
  });
});

describe("a revision that the cluster has never come to", () => {
  test("told by a member that is gone ends the watches that rest on it; others are told what happens", async () => {
    const key = freshKey();
    const script = openingWatches(({ connection, streamId }, watchId) => {
      const events = [event("elsewhere", 1_000_000_000n)];
      connection.messages(streamId, watchAnswer({ watchId, header: headerAt(1_000_000_000n), events }));
    });
    await using scene = await HostileScene.start(cluster, script);
    using deceived = new Watcher(scene.client, [key]);
    // As an event, or as where the watch begins: whichever comes first.
    await waitFor("the lie", () =>
      deceived.told.some(({ events, header }) => events.length > 0 || header?.revision === 1_000_000_000n),
    );
    for (const connection of scene.member.connections) connection.cut();
    const canceled = await waitFor("the cancellation", () => deceived.told.find((each) => each.canceled));
    expect(canceled.cancelReason).toContain("a member told of revision 1000000000");
    using watcher = new Watcher(scene.client, [key]);
    await waitFor("the watch to be open", () => watcher.told.length > 0);
    await goesOn(scene, watcher, key);
  });
});

describe("watches that end as they are opened", () => {
  const deeds: Record<string, [deed: Deed, opens: boolean]> = {
    "with their stream": [({ connection, streamId }) => connection.send(rstStream(streamId, CANCEL)), true],
    "for a compaction that is long past": [
      ({ connection, streamId }, watchId) =>
        connection.stream(
          streamId,
          once(prefixed(watchAnswer({ watchId, canceled: true, compactRevision: 1n }))),
        ),
      true,
    ],
  };
  for (const [name, [deed, opens]] of Object.entries(deeds)) {
    test(`${name} are not opened anew at full speed`, async () => {
      const key = freshKey();
      // Answers each create on a stream, not only the first.
      const answered = new Map<string, number>();
      let opened = 0;
      const script: Script = {
        onRequest: (call) => {
          if (answeredProbe(call) || call.path !== WATCH) return;
          const { connection, streamId } = call;
          const id = `${connection.number} ${streamId}`;
          const ids = createdIds(call.body);
          const before = answered.get(id) ?? 0;
          answered.set(id, ids.length);
          if (before === 0 && ids.length > 0) connection.send(connection.headers(streamId, GRPC_HEAD));
          for (const watchId of ids.slice(before)) {
            opened++;
            if (opens) connection.messages(streamId, watchAnswer({ watchId, created: true }));
            deed(call, watchId);
          }
        },
      };
      await using scene = await HostileScene.start(cluster, script);
      using watcher = new Watcher(scene.client, [key]);
      await scene.limitReached("watchEndings");
      const before = { opened, cpu: scene.cpuSeconds, at: performance.now() };
      await waitFor("two seconds", () => performance.now() - before.at > 2000);
      const seconds = (performance.now() - before.at) / 1000;
      // 50 a second; thousands without a bound.
      expect(opened - before.opened).toBeLessThan(100 * seconds);
      expect(scene.cpuSeconds - before.cpu).toBeLessThan(seconds / 2);
      scene.member[Symbol.dispose]();
      await goesOn(scene, watcher, key);
    });
  }
});

describe("many watches with one large event each", () => {
  test("are not kept beyond the buffers, and a watch goes on at etcd", async () => {
    const names = Array.from({ length: 600 }, () => freshKey());
    let told = 0;
    const begun = new Map<string, number>();
    const script: Script = {
      onRequest: (call) => {
        if (answeredProbe(call) || call.path !== WATCH) return;
        const { connection, streamId } = call;
        const ids = createdIds(call.body);
        const before = begun.get(String(streamId)) ?? 0;
        begun.set(String(streamId), ids.length);
        if (before === 0 && ids.length > 0) connection.send(connection.headers(streamId, GRPC_HEAD));
        for (const watchId of ids.slice(before)) {
          connection.messages(streamId, watchAnswer({ watchId, created: true }));
        }
        if (before === ids.length || ids.length < names.length) return;
        let next = 0;
        connection.stream(streamId, () => {
          const key = names[next++];
          if (key === undefined) return null;
          told = next;
          const watchId = ids[next - 1]!;
          return prefixed(watchAnswer({ watchId, events: [event(key, REVISION + BigInt(next), MIB)] }));
        });
      },
    };
    await using scene = await HostileScene.start(cluster, script, [BUFFER_FLAG]);
    using _watcher = new Watcher(scene.client, names);
    await waitFor("the last event to be taken", () => told === names.length);
    // The events alone would be 600 MiB; what each of them leaves to the collector is several times as much.
    expect(scene.proxy.rssBytes() - scene.restingBytes).toBeLessThan(500 * MIB);
    scene.member[Symbol.dispose]();
    const key = freshKey();
    using other = new Watcher(scene.client, [key]);
    await waitFor("the watch to be open", () => other.told.length > 0);
    await goesOn(scene, other, key);
  });
});

describe("a heartbeat", () => {
  const answers: Record<string, (id: bigint) => Uint8Array> = {
    "answered for another lease": (id) => keepAliveAnswer(id + 1n),
    "answered twice": (id) => concat([keepAliveAnswer(id), keepAliveAnswer(id)]),
    "answered by four gigabytes": () => Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff),
    "answered by no message": () => prefixed(new Uint8Array(20).fill(0xff)),
  };
  for (const [name, answer] of Object.entries(answers)) {
    test(`${name}: etcd answers the next one`, async () => {
      using etcd = new GrpcClient(cluster.endpoints[0]!);
      const { ID } = await etcd.unary(Lease.method.leaseGrant, { TTL: 600n });
      const script: Script = {
        onRequest: ({ path, connection, streamId, body }) => {
          if (path !== KEEP_ALIVE || body.length === 0) return;
          connection.send(connection.headers(streamId, GRPC_HEAD));
          connection.stream(streamId, once(answer(ID)));
        },
      };
      await using scene = await HostileScene.start(cluster, script);
      const stream = scene.client.bidirectional(Lease.method.leaseKeepAlive);
      const lifetimes: bigint[] = [];
      stream.on("data", ({ TTL }: { TTL: bigint }) => lifetimes.push(TTL));
      stream.on("error", () => {});
      await waitFor("etcd's answer", () => {
        stream.write(create(LeaseKeepAliveRequestSchema, { ID }));
        return lifetimes.includes(600n);
      });
      stream.cancel();
      expect(scene.proxy.running).toBe(true);
      expect(scene.ownFaults).toEqual([]);
    });
  }
});

function keepAliveAnswer(id: bigint): Uint8Array {
  return prefixed(
    toBinary(LeaseKeepAliveResponseSchema, create(LeaseKeepAliveResponseSchema, { ID: id, TTL: 1n })),
  );
}

/** Makes `bytes`, and then no more. */
function once(bytes: Uint8Array): () => Uint8Array | null {
  const pieces = [bytes];
  return () => pieces.shift() ?? null;
}

function lengthOf(length: number): Uint8Array {
  const octets: number[] = [];
  let left = length;
  for (; left >= 0x80; left >>>= 7) octets.push((left & 0x7f) | 0x80);
  return Uint8Array.of(...octets, left);
}
