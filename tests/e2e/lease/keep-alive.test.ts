/** Heartbeats as clients see them: the same on every target. */
import { create } from "@bufbuild/protobuf";
import { expect } from "bun:test";
import { Lease, LeaseKeepAliveRequestSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { LeaseStream } from "./lease-stream.ts";

const targets = useTargets();
const eachTarget = eachTargetOf(targets);

const TTL_SECONDS = 600n;
const OK = { code: 0, details: "" };
/** Ids of one target apart from those of another, and beyond what a double holds. */
const BASES = { direct: 2n ** 62n, gateway: 2n ** 62n + 10_000n, grpcProxy: 2n ** 62n + 20_000n };

let granted = 0n;

async function grant(target: Target, count: number): Promise<bigint[]> {
  using client = new GrpcClient(targets.cluster.member(0).endpoint);
  const ids = Array.from({ length: count }, () => BASES[target.name] + granted++);
  await Promise.all(ids.map((ID) => client.unary(Lease.method.leaseGrant, { ID, TTL: TTL_SECONDS })));
  return ids;
}

eachTarget("many leases on many streams are kept alive, each answer with its TTL", async (target) => {
  const ids = await grant(target, 40);
  const clients = Array.from({ length: 4 }, () => new GrpcClient(target.address));
  const streams = clients.flatMap((client) => Array.from({ length: 10 }, () => new LeaseStream(client)));
  for (let round = 0; round < 5; round++) {
    for (const [index, stream] of streams.entries()) {
      stream.send(ids[index]!, ids[(index + round) % ids.length]!, ids[0]!);
    }
    for (const stream of streams) await stream.answered();
  }
  for (const { answers, status } of streams) {
    expect(answers.map(({ TTL }) => TTL)).toEqual(Array<bigint>(15).fill(TTL_SECONDS));
    expect(status).toBeUndefined();
  }
  for (const stream of streams) stream.cancel();
  for (const client of clients) client[Symbol.dispose]();
});

eachTarget(
  "answers come in the order of the requests, whoever else asks for the same leases",
  async (target) => {
    const ids = await grant(target, 10);
    using client = new GrpcClient(target.address);
    const streams = Array.from({ length: 8 }, () => new LeaseStream(client));
    for (let i = 0; i < 100; i++) {
      for (const [index, stream] of streams.entries()) stream.send(ids[(i * (index + 1)) % ids.length]!);
    }
    for (const stream of streams) {
      await stream.answered();
      expect(stream.answers.map(({ ID }) => ID)).toEqual(stream.asked);
      stream.cancel();
    }
  },
);

eachTarget("what was asked before a half-close is answered, then the stream ends OK", async (target) => {
  const ids = await grant(target, 3);
  using client = new GrpcClient(target.address);
  using once = new LeaseStream(client);
  once.send(ids[0]!);
  once.halfClose();
  expect(await once.over()).toEqual(OK);
  expect(once.answers.map(({ ID, TTL }) => [ID, TTL])).toEqual([[ids[0]!, TTL_SECONDS]]);
  using several = new LeaseStream(client);
  several.send(...ids, ...ids);
  several.halfClose();
  expect(await several.over()).toEqual(OK);
  expect(several.answers).toHaveLength(6);
  using silent = new LeaseStream(client);
  silent.halfClose();
  expect(await silent.over()).toEqual(OK);
});

eachTarget("a lease that is not there, or not any more, is answered with a TTL of 0", async (target) => {
  const [id = 0n] = await grant(target, 1);
  using client = new GrpcClient(target.address);
  using stream = new LeaseStream(client);
  for (const unknown of [404n, 0n, -1n]) expect((await stream.beat(unknown)).TTL).toBe(0n);
  expect((await stream.beat(id)).TTL).toBe(TTL_SECONDS);
  await client.unary(Lease.method.leaseRevoke, { ID: id });
  expect((await stream.beat(id)).TTL).toBe(0n);
  expect(stream.status).toBeUndefined();
});

eachTarget("fields of a newer client are no trouble", async (target) => {
  const [id = 0n] = await grant(target, 1);
  using client = new GrpcClient(target.address);
  using stream = new LeaseStream(client);
  const request = create(LeaseKeepAliveRequestSchema, { ID: id });
  request.$unknown = [{ no: 1000, wireType: 2, data: Uint8Array.of(2, 0xff, 0x00) }];
  stream.asked.push(id);
  stream.sendMessage(request);
  expect((await stream.answered()).TTL).toBe(TTL_SECONDS);
});

eachTarget("a stream that is cancelled, or runs out of time, ends alone", async (target) => {
  const [id = 0n] = await grant(target, 1);
  using client = new GrpcClient(target.address);
  using stays = new LeaseStream(client);
  using cancelled = new LeaseStream(client);
  for (const stream of [stays, cancelled]) await stream.beat(id);
  using timed = new LeaseStream(client, { timeoutMs: 300 });
  timed.send(id);
  cancelled.cancel();
  expect(await cancelled.over()).toMatchObject({ code: 1 });
  // The client's own clock says DEADLINE_EXCEEDED; etcd, if it is sooner, UNKNOWN with a text.
  expect([2, 4]).toContain((await timed.over()).code);
  expect((await stays.beat(id)).TTL).toBe(TTL_SECONDS);
});
