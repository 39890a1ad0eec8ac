/** A member killed while clients write: no write runs twice, reads go on, and every failure says where. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { ServiceError } from "@grpc/grpc-js";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  CompareSchema,
  KV,
  RequestOpSchema,
} from "../../src/gen/etcdserverpb/kv_pb.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy, type EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";

const long = process.env["ETCDPROXY_TEST_LONG"] === "1";
const ROUNDS = long ? 10 : 2;
const WRITERS = 32;
const UNAVAILABLE = 14;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

let cluster: EtcdCluster;
let proxy: EtcdproxyProcess;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 3 });
  proxy = await startGrpcProxy(cluster.endpoints);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await cluster.dispose();
});

/** The member that the proxy's calls go to now. */
function memberInUse() {
  const connected = proxy.log.filter(({ msg }) => msg === "connected to a member").at(-1);
  const member = cluster.members.find(({ endpoint }) => endpoint === connected?.["endpoint"]);
  if (member === undefined) throw new Error("the proxy is not connected to any member");
  return member;
}

/** Writes `key`; a second run of the same request would leave `key` with the value "twice". */
function writeOnce(client: GrpcClient, key: string): Promise<unknown> {
  const put = (value: string) =>
    create(RequestOpSchema, {
      request: { case: "requestPut", value: { key: bytes(key), value: bytes(value) } },
    });
  const isNew = create(CompareSchema, {
    key: bytes(key),
    result: Compare_CompareResult.EQUAL,
    target: Compare_CompareTarget.VERSION,
    targetUnion: { case: "version", value: 0n },
  });
  return client.unary(KV.method.txn, { compare: [isNew], success: [put("once")], failure: [put("twice")] });
}

test(
  "a write that meets the death of its member runs at most once, and is told as lost by name",
  async () => {
    for (let round = 0; round < ROUNDS; round++) {
      using client = new GrpcClient(proxy.address);
      await client.unary(KV.method.range, { key: bytes("k") });
      const member = memberInUse();
      const answered: string[] = [];
      const failures: ServiceError[] = [];
      let killed = false;
      const writer = async (id: number): Promise<void> => {
        // Each goes on until it has seen the member's death, or has written past it.
        for (let i = 0, afterKill = 0; afterKill < 5; i++) {
          const key = `${round}/${id}/${i}`;
          try {
            await writeOnce(client, key);
            answered.push(key);
          } catch (error) {
            failures.push(error as ServiceError);
          }
          if (killed) afterKill++;
          if (id === 0 && i === 20) {
            killed = true;
            await member.kill();
          }
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, (_, id) => writer(id)));
      await cluster.waitHealthy(); // The other two have a leader again.

      const { kvs } = await client.unary(KV.method.range, {
        key: bytes(`${round}/`),
        rangeEnd: bytes(`${round}0`),
      });
      const written = new Map(kvs.map(({ key, value }) => [text(key), text(value)]));
      expect([...written.values()].filter((value) => value !== "once")).toEqual([]);
      expect(answered.filter((key) => !written.has(key))).toEqual([]);
      for (const { code, details } of failures) {
        expect(code).toBe(UNAVAILABLE);
        expect(details).toMatch(/^etcdproxy: 127\.0\.0\.1:\d+: |^etcdserver: /);
      }
      member.restart();
      await cluster.waitHealthy();
    }
  },
  long ? 300_000 : 60_000,
);

test("reads under way when their member is killed are answered by another", async () => {
  using client = new GrpcClient(proxy.address);
  await client.unary(KV.method.put, { key: bytes("read"), value: bytes("me") });
  const member = memberInUse();
  let reads = 0;
  let killed = false;
  // Serializable reads need no leader: whichever member dies, none of them may fail.
  const reader = async (): Promise<void> => {
    for (let afterKill = 0; afterKill < 5;) {
      const { kvs } = await client.unary(KV.method.range, { key: bytes("read"), serializable: true });
      expect(text(kvs[0]!.value)).toBe("me");
      reads++;
      if (killed) afterKill++;
    }
  };
  const readers = Promise.all(Array.from({ length: 50 }, reader));
  killed = true;
  await member.kill();
  await readers;
  expect(reads).toBeGreaterThanOrEqual(250);
  expect(memberInUse()).not.toBe(member);
}, 60_000);
