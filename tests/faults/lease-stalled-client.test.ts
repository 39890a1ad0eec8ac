/** Clients that send heartbeats and do not read the answers: they cost the proxy little, and others nothing. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Lease, LeaseKeepAliveRequestSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import { LeaseStream } from "../e2e/lease/lease-stream.ts";
import { waitForStreams } from "../e2e/lease/upstream-heartbeats.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { ensureBuilt, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { RawClient } from "./raw-client.ts";

setDefaultTimeout(120_000);

const STREAMS = 100;
const TTL_SECONDS = 600n;
/** Of each stalled stream: its window, and what stands for what is under way of it. */
const STREAM_BYTES_MAX = STREAM_WINDOW_BYTES + 256 * 1024;

test("heartbeats of clients that do not read are bounded, and other clients are answered meanwhile", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  await ensureBuilt();
  await using proxy = await startGrpcProxy(cluster.endpoints);
  using client = new GrpcClient(proxy.address);
  const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS });
  using reading = new LeaseStream(client);
  await reading.beat(ID);
  const restingBytes = proxy.rssBytes();

  using stalled = await RawClient.connect(proxy.address, { windowBytes: 0 });
  const calls = Array.from({ length: STREAMS }, () => stalled.call(Lease.method.leaseKeepAlive, { ID }));
  // More than the windows take: the rest waits on the client's own side.
  const messages = Array.from({ length: 4096 }, (_, at) =>
    framed(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: BigInt(at) }))),
  );
  const piece = Buffer.concat(messages);
  for (let sentBytes = 0; sentBytes < 2 * STREAM_WINDOW_BYTES; sentBytes += piece.length) {
    for (const call of calls) call.send(piece);
    expect((await reading.beat(ID)).TTL).toBe(TTL_SECONDS);
  }
  for (let i = 0; i < 200; i++) expect((await reading.beat(ID)).TTL).toBe(TTL_SECONDS);
  expect(proxy.rssBytes() - restingBytes).toBeLessThan(STREAMS * STREAM_BYTES_MAX);
  expect(calls.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)).toBe(0);

  stalled.cut();
  for (let i = 0; i < 10; i++) await reading.beat(ID);
  reading.cancel();
  await waitForStreams(cluster, 0);
});
