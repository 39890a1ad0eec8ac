/** Long-lived streams that ask without end: watches, cancels, progress, heartbeats. */
import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Lease, LeaseKeepAliveRequestSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch, WatchRequestSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { MIB } from "../faults/memory.ts";
import { type RawCall, RawClient } from "../faults/raw-client.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { waitFor } from "../harness/wait-for.ts";
import { concat, text } from "../http2/frames.ts";
import { useScene } from "./scene.ts";

const BUFFERS = 64 * MIB;
const GROWTH = 10 * BUFFERS;
const scene = useScene({ flags: [`--max-buffer-bytes=${BUFFERS}`] });

type WatchRequestInit = MessageInitShape<typeof WatchRequestSchema>;
const createOf = (key: string): WatchRequestInit => ({
  requestUnion: { case: "createRequest", value: { key: text(key) } },
});
const cancelOf = (watchId: number): WatchRequestInit => ({
  requestUnion: { case: "cancelRequest", value: { watchId: BigInt(watchId) } },
});
const PROGRESS: WatchRequestInit = { requestUnion: { case: "progressRequest", value: {} } };
const request = (init: WatchRequestInit): Uint8Array =>
  framed(toBinary(WatchRequestSchema, create(WatchRequestSchema, init)));
const heartbeat = (id: bigint): Uint8Array =>
  framed(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: id })));

/** Requests in one piece. */
const BATCH = 2000;

/** Sends `batches` pieces, each once the one before has left this side, or until the call is over. */
async function ask(
  client: RawClient,
  call: RawCall,
  batches: number,
  make: (index: number) => Uint8Array,
): Promise<void> {
  for (let batch = 0; batch < batches && !call.over; batch++) {
    call.send(concat(Array.from({ length: BATCH }, (_, i) => make(batch * BATCH + i))));
    await waitFor("the piece to leave", () => call.over || client.connection.heldBytes < 64 * 1024, {
      intervalMs: 1,
    });
  }
}

describe("one stream", () => {
  test("of watches without end is given up when the buffers are full of them", async () => {
    using client = await RawClient.connect(scene.proxy.address);
    const call = client.call(Watch.method.watch, createOf("a"));
    await scene.attack(
      async () => {
        await ask(client, call, 200, () => request(createOf("a")));
        await call.status;
      },
      { limit: "processBuffers", growthBytesMax: GROWTH },
    );
    expect(await call.status).toMatchObject({ message: "stream reset by peer with ENHANCE_YOUR_CALM" });
    expect(scene.limitLines("processBuffers").length).toBeGreaterThan(0);
  });

  test("of watches that are made and cancelled without end costs nothing that lasts", async () => {
    using client = await RawClient.connect(scene.proxy.address);
    const call = client.call(Watch.method.watch, createOf("a"));
    await scene.attack(
      () =>
        ask(client, call, 30, (i) =>
          i % 2 === 0 ? request(createOf(`k${i}`)) : request(cancelOf((i + 1) / 2)),
        ),
      { growthBytesMax: GROWTH },
    );
    call.cancel();
  });

  test("of cancels of watches that are not there", async () => {
    using client = await RawClient.connect(scene.proxy.address);
    const call = client.call(Watch.method.watch, createOf("a"));
    await scene.attack(() => ask(client, call, 50, (i) => request(cancelOf(1000 + i))), {
      growthBytesMax: GROWTH,
    });
    call.cancel();
  });

  test("of progress requests without end", async () => {
    using client = await RawClient.connect(scene.proxy.address);
    const call = client.call(Watch.method.watch, createOf("a"));
    await scene.attack(() => ask(client, call, 100, () => request(PROGRESS)), { growthBytesMax: GROWTH });
    call.cancel();
  });

  test("of heartbeats of leases that do not exist, a new one each", async () => {
    using client = await RawClient.connect(scene.proxy.address);
    const call = client.call(Lease.method.leaseKeepAlive, { ID: 1n });
    await scene.attack(() => ask(client, call, 10, (i) => heartbeat(BigInt(i) + 1n)), {
      growthBytesMax: GROWTH,
    });
    call.cancel();
  });
});

describe("many streams", () => {
  test("of watches of ranges of their own, made at once and cut at once", async () => {
    await scene.attack(
      async () => {
        for (let round = 0; round < 3; round++) {
          using client = await RawClient.connect(scene.proxy.address);
          const calls = Array.from({ length: 500 }, (_, i) =>
            client.call(Watch.method.watch, createOf(`own-${round}-${i}`)),
          );
          await Promise.all(calls.map(({ begun }) => begun));
        }
      },
      { growthBytesMax: GROWTH },
    );
  });

  test("of 10,000 creates each, cancelled while they are made", async () => {
    await scene.attack(
      async () => {
        for (let round = 0; round < 5; round++) {
          using client = await RawClient.connect(scene.proxy.address);
          const call = client.call(Watch.method.watch, createOf("a"));
          await ask(client, call, 5, () => request(createOf("a")));
          call.cancel();
        }
      },
      { growthBytesMax: GROWTH },
    );
  });

  test("of heartbeats, cancelled by the thousands", async () => {
    await scene.attack(
      async () => {
        using client = await RawClient.connect(scene.proxy.address);
        const calls = Array.from({ length: 5000 }, (_, i) =>
          client.call(Lease.method.leaseKeepAlive, { ID: BigInt(i) + 1n }),
        );
        await Promise.all(calls.map(({ begun }) => begun));
        for (const call of calls) call.cancel();
      },
      { growthBytesMax: GROWTH },
    );
  });
});
