/**
 * Reads and writes that are under way at the same time: what is cached in the end is never older than a write that
 * was acknowledged, nor than one whose answer was an error or never came. Each order is made to happen at a gate.
 */
import { describe, expect, test } from "bun:test";
import type { DescMethodServerStreaming } from "@bufbuild/protobuf";
import { KV, type PutRequestSchema, type PutResponseSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { statusOf } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { Conversation } from "../conversation.ts";
import { keyBytes, LINEARIZABLE, prefixOf, SERIALIZABLE, underWay } from "./read-client.ts";
import { LASTING, useReads } from "./reads-fixture.ts";

const fixture = useReads();

const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;

/** Put as a call that can be cancelled: on the wire a unary answer is a stream of one message. */
const putAsStream = KV.method.put as unknown as DescMethodServerStreaming<
  typeof PutRequestSchema,
  typeof PutResponseSchema
>;

describe("a read that was answered at the member before a write, and comes back behind it", () => {
  for (const [kind, options] of [
    ["serializable", SERIALIZABLE],
    ["linearizable", LINEARIZABLE],
  ] as const) {
    test(`is not kept: ${kind}`, async () => {
      await using proxied = await fixture.gated([LASTING]);
      const { gate } = proxied;
      const client = proxied.connect();
      const key = `late-${kind}`;
      await fixture.direct.put(key, "old");
      gate.hold("answer", (call) => call.method === "Range" && call.mentions(key));
      const early = underWay(client.get(key, options));
      const held = await gate.arrived(key, 1);
      await held.ran;
      await client.put(key, "new");
      gate.hold("answer", () => false);
      held.release();
      expect(await early).toBe("old");
      expect(await client.get(key, SERIALIZABLE)).toBe("new");
      expect(await client.get(key, SERIALIZABLE)).toBe("new");
    });
  }

  test("is not shared with a read that begins behind the write", async () => {
    await using proxied = await fixture.gated([LASTING]);
    const { gate } = proxied;
    const client = proxied.connect();
    await fixture.direct.put("behind", "old");
    gate.hold("answer", (call) => call.method === "Range" && call.mentions("behind"));
    const early = underWay(client.range(prefixOf("behind"), SERIALIZABLE));
    const held = await gate.arrived("behind", 1);
    await held.ran;
    await client.put("behind", "new");
    const late = [SERIALIZABLE, SERIALIZABLE, LINEARIZABLE].map((options) =>
      underWay(client.range(prefixOf("behind"), options)),
    );
    await client.barrier();
    gate.hold("answer", () => false);
    held.release();
    for (const call of gate.of("behind")) call.release();
    await early;
    for (const answer of await Promise.all(late)) {
      expect(answer.kvs.map(({ value }) => Buffer.from(value).toString())).toEqual(["new"]);
    }
  });

  test("may be kept when the write was elsewhere and was acknowledged before", async () => {
    await using proxied = await fixture.gated([LASTING]);
    const client = proxied.connect();
    await fixture.direct.put("elsewhere", "1");
    await client.put("first", "1");
    expect(await fixture.cost(() => client.get("elsewhere", SERIALIZABLE))).toBe(1);
    expect(await fixture.cost(() => client.get("elsewhere", SERIALIZABLE))).toBe(0);
  });
});

describe("a write that ran, but whose client", () => {
  test("gave up before the answer, has dropped what it changed", async () => {
    await using proxied = await fixture.gated([LASTING]);
    const { gate } = proxied;
    const [writer, reader] = [proxied.connect(), proxied.connect()];
    await fixture.direct.put("given-up", "old");
    expect(await reader.get("given-up", SERIALIZABLE)).toBe("old");
    gate.hold("answer", (call) => call.method === "Put" && call.mentions("given-up"));
    const request = { key: keyBytes("given-up"), value: keyBytes("new") };
    using put = new Conversation(writer.grpc.serverStream(putAsStream, request));
    await waitFor("the write to have run", async () => (await fixture.direct.get("given-up")) === "new");
    put.cancel();
    expect((await put.status).code).toBe(CANCELLED);
    await writer.barrier();
    expect(await reader.get("given-up", SERIALIZABLE)).toBe("new");
  });

  test("ran out of time, has dropped what it changed", async () => {
    await using proxied = await fixture.gated([LASTING]);
    const { gate } = proxied;
    const [writer, reader] = [proxied.connect(), proxied.connect()];
    await fixture.direct.put("overdue/1", "old");
    expect(await reader.range(prefixOf("overdue/"), SERIALIZABLE)).toMatchObject({ count: 1n });
    gate.hold("answer", (call) => call.method === "Put" && call.mentions("overdue/"));
    const request = { key: keyBytes("overdue/2"), value: keyBytes("new") };
    const put = underWay(writer.grpc.unary(KV.method.put, request, { timeoutMs: 300 }));
    await waitFor("the write to have run", async () => (await fixture.direct.get("overdue/2")) === "new");
    expect((await statusOf(put)).code).toBe(DEADLINE_EXCEEDED);
    // The client's own clock may have ended it, a moment before the proxy's.
    await waitFor("the proxy to have given it up", () => gate.inFlight("overdue/2") === 0);
    expect(await reader.range(prefixOf("overdue/"), SERIALIZABLE)).toMatchObject({ count: 2n });
  });

  test("was told of a lost connection, has dropped what it changed", async () => {
    await using proxied = await fixture.gated([LASTING], 2);
    const [writer, reader] = [proxied.connect(), proxied.connect()];
    await fixture.direct.put("lost", "old");
    expect(await reader.get("lost", SERIALIZABLE)).toBe("old");
    const gate = proxied.gates.find(({ calls }) => calls.length > 0)!;
    gate.hold("answer", (call) => call.method === "Put" && call.mentions("lost"));
    const put = underWay(statusOf(writer.put("lost", "new")));
    await waitFor("the write to have run", async () => (await fixture.direct.get("lost")) === "new");
    gate.kill();
    expect((await put).code).toBe(UNAVAILABLE);
    expect(await reader.get("lost", SERIALIZABLE)).toBe("new");
  });
});

test("many clients who write and read through the proxy never see less than was acknowledged", async () => {
  await using proxied = await fixture.proxied([LASTING]);
  const clients = await proxied.connectMany(6);
  const keys = ["race/0", "race/1", "race/2"];
  const acknowledged = new Map<string, number>(keys.map((key) => [key, 0]));
  for (const key of keys) await fixture.direct.put(key, "0");
  const over = new AbortController();
  const stale: string[] = [];
  let reads = 0;
  const reader = async (index: number): Promise<void> => {
    while (!over.signal.aborted) {
      const key = keys[index % keys.length]!;
      const floor = acknowledged.get(key)!;
      const options = { serializable: reads++ % 4 !== 0 };
      const value = Number(await clients[index]!.get(key, options));
      if (value < floor) stale.push(`${key}: ${value} after ${floor} (${JSON.stringify(options)})`);
    }
  };
  const writer = async (key: string): Promise<void> => {
    for (let value = 1; value <= 150; value++) {
      await clients[value % clients.length]!.put(key, String(value));
      acknowledged.set(key, value);
      const read = Number(await clients[(value + 1) % clients.length]!.get(key, SERIALIZABLE));
      if (read < value) stale.push(`${key}: ${read} right after ${value}`);
    }
  };
  const readers = clients.map((_, index) => reader(index));
  await Promise.all(keys.map(writer));
  over.abort();
  await Promise.all(readers);
  expect(stale).toEqual([]);
  expect(reads).toBeGreaterThan(200);
});
