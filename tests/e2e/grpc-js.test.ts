/**
 * A plain gRPC client (@grpc/grpc-js) on all targets: large values, many calls, deadlines, cancel, compression,
 * and methods that nobody knows.
 */
import { describe, expect, test } from "bun:test";
import { type DescMethodServerStreaming, fromBinary } from "@bufbuild/protobuf";
import { KV, type RangeResponse, RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Lock, type LockRequestSchema, type LockResponseSchema } from "../../src/gen/v3lockpb/lock_pb.ts";
import { GrpcClient, methodPath, statusOf } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { Conversation } from "./conversation.ts";
import { bytes } from "./methods/side.ts";
import { connectionsTo } from "./sockets.ts";
import { eachTargetOf, type Target, useTargets } from "./targets.ts";

const targets = useTargets();
const eachTarget = eachTargetOf(targets);

const MEBIBYTE = 1024 * 1024;
const CALLS = 10_000;
const CALLS_A_TURN = 500;
const CLIENTS = 100;

const CANCELLED = 1;
/** DEADLINE_EXCEEDED; or, when etcd notices first, UNKNOWN or CANCELLED: it ends the call with its own context's error. */
const OUT_OF_TIME = [4, 2, CANCELLED];

/** Compression algorithm of grpc-js's channel option: gzip. */
const GZIP = 2;

/** Lock as a call that can be cancelled: on the wire a unary answer is a stream of one message. */
const lockAsStream = Lock.method.lock as unknown as DescMethodServerStreaming<
  typeof LockRequestSchema,
  typeof LockResponseSchema
>;

/** A lease of ten minutes. */
async function leased(client: GrpcClient): Promise<bigint> {
  return (await client.unary(Lease.method.leaseGrant, { TTL: 600n })).ID;
}

async function countUnder(client: GrpcClient, prefix: string): Promise<bigint> {
  const request = { key: bytes(prefix), rangeEnd: bytes(`${prefix.slice(0, -1)}0`), countOnly: true };
  return (await client.unary(KV.method.range, request)).count;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("calls", () => {
  eachTarget("a value of 1 MiB comes back as it went", async (target) => {
    using client = new GrpcClient(target.address);
    const value = new Uint8Array(MEBIBYTE).map((_, index) => (index * 31) % 251);
    await client.unary(KV.method.put, { key: bytes(`${target.name}/large`), value });
    const { kvs } = await client.unary(KV.method.range, { key: bytes(`${target.name}/large`) });
    expect(Buffer.from(kvs[0]!.value).equals(value)).toBe(true);
  });

  eachTarget(
    `${CALLS} calls at once on one connection are each answered with their own key`,
    async (target) => {
      using client = new GrpcClient(target.address);
      const key = (index: number): Uint8Array => bytes(`${target.name}/many/${index % 100}`);
      await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          client.unary(KV.method.put, { key: key(index), value: key(index) }),
        ),
      );
      const calls: Promise<RangeResponse>[] = [];
      while (calls.length < CALLS) {
        calls.push(client.unary(KV.method.range, { key: key(calls.length) }));
        // Bun's HTTP/2 client recurses once for each stream that begins in one turn: thousands overflow its stack.
        if (calls.length % CALLS_A_TURN === 0) await nextTurn();
      }
      const answers = await Promise.all(calls);
      const wrong = answers.filter(({ kvs }, index) => !Buffer.from(kvs[0]!.value).equals(key(index)));
      expect(wrong).toHaveLength(0);
    },
  );

  eachTarget("a field that nobody knows is no obstacle", async (target) => {
    using client = new GrpcClient(target.address);
    const key = bytes(`${target.name}/field`);
    await client.unary(KV.method.put, { key, value: bytes("value") });
    // Field 1 (key), then field 1000 as a varint.
    const request = Buffer.concat([Buffer.from([0x0a, key.length]), key, Buffer.from([0xc0, 0x3e, 0x2a])]);
    const { message } = await client.callBytes(methodPath(KV.method.range), request);
    expect(fromBinary(RangeResponseSchema, message).count).toBe(1n);
  });

  eachTarget("compressed requests end as etcd answers them", async (target) => {
    using client = new GrpcClient(target.address, { "grpc.default_compression_algorithm": GZIP });
    using directly = new GrpcClient(targets.target("direct").address, {
      "grpc.default_compression_algorithm": GZIP,
    });
    const request = { key: bytes("compressed"), value: new Uint8Array(4096) };
    const outcome = async (from: GrpcClient): Promise<unknown> => {
      try {
        return (await from.unaryAnswer(KV.method.put, request)).status.code;
      } catch (error) {
        const { code, details } = error as { readonly code: number; readonly details: string };
        return { code, details };
      }
    };
    expect(await outcome(client)).toEqual(await outcome(directly));
  });

  for (const path of ["/etcdserverpb.KV/Undo", "/etcdserverpb.Nothing/Range", "/nothing"]) {
    eachTarget(`${path} is refused as etcd refuses it`, async (target) => {
      using client = new GrpcClient(target.address);
      using directly = new GrpcClient(targets.target("direct").address);
      const { code, details } = await statusOf(client.callBytes(path, bytes("anything")));
      const expected = await statusOf(directly.callBytes(path, bytes("anything")));
      expect({ code, details }).toEqual({ code: expected.code, details: expected.details });
    });
  }
});

describe("calls that wait", () => {
  eachTarget("a watch ends when its client's deadline passes", async (target) => {
    using client = new GrpcClient(target.address);
    const watch = new Conversation(client.bidirectional(Watch.method.watch, { timeoutMs: 200 }));
    expect(OUT_OF_TIME).toContain((await watch.status).code);
  });

  eachTarget("waiting for a lock ends when the deadline passes, and the queue is left", async (target) => {
    using client = new GrpcClient(target.address);
    const name = bytes(`${target.name}/deadline`);
    await client.unary(Lock.method.lock, { name, lease: await leased(client) });
    const waiting = client.unary(Lock.method.lock, { name, lease: await leased(client) }, { timeoutMs: 300 });
    expect(OUT_OF_TIME).toContain((await statusOf(waiting)).code);
    await waitFor(
      "the waiter to leave the queue",
      async () => (await countUnder(client, `${target.name}/deadline/`)) === 1n,
    );
  });

  eachTarget("waiting for a lock ends when the client cancels, and the queue is left", async (target) => {
    using client = new GrpcClient(target.address);
    const name = bytes(`${target.name}/cancel`);
    await client.unary(Lock.method.lock, { name, lease: await leased(client) });
    const waiting = new Conversation(
      client.serverStream(lockAsStream, { name, lease: await leased(client) }),
    );
    const queued = (): Promise<bigint> => countUnder(client, `${target.name}/cancel/`);
    await waitFor("the waiter to stand in the queue", async () => (await queued()) === 2n);
    waiting.cancel();
    await waitFor("the waiter to leave the queue", async () => (await queued()) === 1n);
    expect((await waiting.status).code).toBe(CANCELLED);
  });

  eachTarget("a watch ends when its client cancels", async (target) => {
    using client = new GrpcClient(target.address);
    const watch = new Conversation(client.bidirectional(Watch.method.watch));
    watch.cancel();
    expect((await watch.status).code).toBe(CANCELLED);
  });

  eachTarget("a stream whose client has half-closed is answered to its end", async (target) => {
    using client = new GrpcClient(target.address);
    const heartbeats = new Conversation(client.bidirectional(Lease.method.leaseKeepAlive));
    const ID = await leased(client);
    heartbeats.send({ $typeName: "etcdserverpb.LeaseKeepAliveRequest", ID });
    heartbeats.halfClose();
    expect(await heartbeats.next()).toMatchObject({ ID, TTL: 600n });
    expect((await heartbeats.status).code).toBe(0);
  });
});

describe("clients", () => {
  /** Connections that the grpc-proxy has to each member. */
  function upstreamConnections(): number[] {
    const { pid } = targets.grpcProxy;
    return targets.cluster.endpoints.map((endpoint) => connectionsTo(pid, endpoint));
  }

  test(`grpcProxy: ${CLIENTS} clients share one connection to one member; the others have one each that is checked`, async () => {
    const { address }: Target = targets.target("grpcProxy");
    const clients = Array.from({ length: CLIENTS }, () => new GrpcClient(address));
    try {
      await Promise.all(clients.map((client) => client.unary(KV.method.range, { key: bytes("shared") })));
      expect(connectionsTo(process.pid, address)).toBeGreaterThanOrEqual(CLIENTS);
      // Where a check was late, its connection is replaced by another.
      await waitFor("one connection to each member", () =>
        upstreamConnections().every((connections) => connections === 1),
      );
    } finally {
      for (const client of clients) client.close();
    }
  });
});
