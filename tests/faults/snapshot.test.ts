/** Large answers: the proxy passes them on and keeps next to nothing of them, whatever their readers do. */
import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance, SnapshotResponseSchema } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import type { Status } from "../../src/grpc/status.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy, type EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { waitFor } from "../harness/wait-for.ts";
import { forgetPeak, MIB, peakBytes } from "./memory.ts";
import { RawClient } from "./raw-client.ts";

const DATA_MIB = 200;
/** The digest that ends a snapshot (etcd's `Maintenance.Snapshot`). */
const DIGEST_BYTES = 32;
const STALLED_CLIENTS = 100;
const OK = { code: 0, message: "" };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1, flags: ["--quota-backend-bytes=1000000000"] });
  using client = await RawClient.connect(cluster.member(0).endpoint);
  const value = new Uint8Array(MIB).fill(0x61);
  for (let i = 0; i < DATA_MIB; i++) {
    const put = client.call(KV.method.put, { key: bytes(`large${i}`), value });
    put.halfClose();
    expect(await put.status).toEqual(OK);
  }
  proxy = await startGrpcProxy(cluster.endpoints);
}, 60_000);
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

interface Snapshot {
  readonly bytes: number;
  readonly digest: string;
  /** The digest that the member sent behind the data. */
  readonly told: string;
}

/** Reads a snapshot at the pace of a reader that does other things in between. */
async function readSnapshot(address: string): Promise<Snapshot> {
  using client = await RawClient.connect(address, { windowBytes: MIB });
  const blobs = new SnapshotBlobs();
  const call = client.call(Maintenance.method.snapshot, {}, (piece) => {
    setImmediate(() => {
      blobs.take(piece);
      call.credit(piece.length);
    });
    return false;
  });
  call.halfClose();
  expect(await call.status).toEqual(OK);
  await waitFor("the last piece to be read", () => blobs.takenBytes === call.receivedBytes);
  return blobs.end();
}

/** The `blob` fields of a stream of SnapshotResponse messages, hashed as they come. */
class SnapshotBlobs {
  takenBytes = 0;
  readonly #hash = createHash("sha256");
  #rest: Uint8Array = new Uint8Array(0);
  #dataBytes = 0;
  #tail: Uint8Array = new Uint8Array(0);

  take(piece: Uint8Array): void {
    this.takenBytes += piece.length;
    this.#rest = Buffer.concat([this.#rest, piece]);
    for (;;) {
      if (this.#rest.length < 5) return;
      const length = new DataView(this.#rest.buffer, this.#rest.byteOffset).getUint32(1);
      if (this.#rest.length < 5 + length) return;
      this.#blob(fromBinary(SnapshotResponseSchema, this.#rest.subarray(5, 5 + length)).blob);
      this.#rest = this.#rest.subarray(5 + length);
    }
  }

  /** The last bytes are held back: they are the digest, not data. */
  #blob(blob: Uint8Array): void {
    const all = Buffer.concat([this.#tail, blob]);
    const data = all.subarray(0, Math.max(0, all.length - DIGEST_BYTES));
    this.#hash.update(data);
    this.#dataBytes += data.length;
    this.#tail = all.subarray(data.length);
  }

  end(): Snapshot {
    return {
      bytes: this.#dataBytes,
      digest: this.#hash.digest("hex"),
      told: Buffer.from(this.#tail).toString("hex"),
    };
  }
}

test("a snapshot of 200 MB comes through whole, and the proxy grows by at most 64 MiB", async () => {
  const direct = await readSnapshot(cluster.member(0).endpoint);
  expect(direct.digest).toBe(direct.told);
  await readSnapshot(proxy.address); // The heap finds its size.
  const before = forgetPeak(proxy.pid);
  const through = await readSnapshot(proxy.address);
  expect(through.bytes).toBeGreaterThan(DATA_MIB * MIB);
  expect([through.bytes, through.digest]).toEqual([direct.bytes, through.told]);
  expect(peakBytes(proxy.pid) - before).toBeLessThanOrEqual(64 * MIB);
}, 60_000);

test("100 clients that stop reading their snapshots slow nobody else", async () => {
  forgetPeak(proxy.pid);
  const before = proxy.rssBytes();
  // Half of them close their windows, half stop reading from their sockets.
  const stalled = await Promise.all(
    Array.from({ length: STALLED_CLIENTS }, (_, i) =>
      RawClient.connect(proxy.address, i % 2 === 0 ? { windowBytes: 65_535 } : {}),
    ),
  );
  const ended: Status[] = [];
  let reading = false;
  const snapshots = stalled.map((client) => {
    const call = client.call(Maintenance.method.snapshot, {}, () => reading);
    call.halfClose();
    void call.status.then((status) => ended.push(status));
    return call;
  });
  await Promise.all(
    snapshots.map(async ({ begun }, i) => {
      await begun;
      if (i % 2 === 1) stalled[i]!.stopReading();
    }),
  );

  using other = await RawClient.connect(proxy.address);
  const key = bytes("large0");
  const reads = Array.from({ length: 500 }, (_, i) => {
    const read = other.call(KV.method.range, { key, keysOnly: i % 10 !== 0 });
    read.halfClose();
    return read;
  });
  const writes = Array.from({ length: 100 }, (_, i) => {
    const write = other.call(KV.method.put, { key: bytes(`small${i}`), value: bytes("v") });
    write.halfClose();
    return write;
  });
  for (const call of [...reads, ...writes]) expect(await call.status).toEqual(OK);
  const whole = await readSnapshot(proxy.address);
  expect(whole.digest).toBe(whole.told);

  expect(peakBytes(proxy.pid) - before).toBeLessThanOrEqual(192 * MIB);
  expect(ended).toEqual([]);

  // One that reads on gets all the same.
  reading = true;
  snapshots[0]!.credit(snapshots[0]!.receivedBytes);
  expect(await snapshots[0]!.status).toEqual(OK);
  expect(snapshots[0]!.receivedBytes).toBeGreaterThan(DATA_MIB * MIB);
  for (const client of stalled) client.cut();
}, 60_000);

test("100 writes of 1 MiB at once, more than the member takes at a time, all succeed", async () => {
  using client = await RawClient.connect(proxy.address);
  const value = new Uint8Array(MIB).fill(0x62);
  const writes = Array.from({ length: 100 }, () => {
    const write = client.call(KV.method.put, { key: bytes("overwritten"), value });
    write.halfClose();
    return write;
  });
  for (const write of writes) expect(await write.status).toEqual(OK);
}, 60_000);
