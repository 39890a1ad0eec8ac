/**
 * Linearizable reads that share: whoever asks the same in the same name while such a read is in flight waits for
 * the next one, which is sent after all who share it have asked. Through the grpc-proxy only, as a gate between it
 * and the member counts.
 */
import { describe, expect, test } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KV,
  type TxnRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { waitFor } from "../../harness/wait-for.ts";
import type { GatedMember } from "./gated-member.ts";
import {
  keyBytes,
  LINEARIZABLE,
  prefixOf,
  ReadClient,
  type ReadOptions,
  SERIALIZABLE,
  underWay,
} from "./read-client.ts";
import { useReads } from "./reads-fixture.ts";

const fixture = useReads();

const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;

type Txn = Omit<MessageInitShape<typeof TxnRequestSchema>, "$typeName" | "$unknown">;

/** Waits until all that these clients have sent is at the proxy. */
async function atTheProxy(clients: readonly ReadClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client.barrier()));
}

/** Holds reads of `key`, on their way or with the answer in hand; each is let go by `release`. */
function holdReads(gate: GatedMember, key: string, at: "arrival" | "answer" = "arrival"): void {
  gate.hold(at, (call) => call.mentions(key));
}

/** Starts `each` reads of `key` on each client. */
function readEach(
  clients: readonly ReadClient[],
  each: number,
  key: string,
  options: ReadOptions = {},
): Promise<(string | undefined)[]> {
  return underWay(
    Promise.all(clients.flatMap((client) => Array.from({ length: each }, () => client.get(key, options)))),
  );
}

describe("identical reads", () => {
  test("100 that begin while one is in flight cost one more, which is sent when that one has ended", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const clients = await proxied.connectMany(10);
    await fixture.direct.put("hundred", "old");
    holdReads(gate, "hundred", "answer");
    const first = underWay(clients[0]!.get("hundred"));
    const held = await gate.arrived("hundred", 1);
    await held.ran;
    await fixture.direct.put("hundred", "new");
    const others = readEach(clients, 10, "hundred");
    await atTheProxy(clients);
    expect(gate.of("hundred")).toHaveLength(1);
    held.release();
    expect(await first).toBe("old");
    const next = await gate.arrived("hundred", 2);
    await atTheProxy(clients);
    expect(gate.inFlight("hundred")).toBe(1);
    next.release();
    expect(await others).toEqual(Array.from({ length: 100 }, () => "new"));
    expect(gate.of("hundred")).toHaveLength(2);
    expect(gate.inFlightMax("hundred")).toBe(1);
  });

  test("each generation sees what was written before it began", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const clients = await proxied.connectMany(4);
    await fixture.direct.put("generation", "0");
    holdReads(gate, "generation", "answer");
    const generations = [readEach(clients.slice(0, 1), 1, "generation")];
    for (let generation = 1; generation <= 6; generation++) {
      const held = await gate.arrived("generation", generation);
      await held.ran;
      await fixture.direct.put("generation", String(generation));
      generations.push(readEach(clients, 5, "generation"));
      await atTheProxy(clients);
      expect(gate.of("generation")).toHaveLength(generation);
      held.release();
    }
    gate.pass();
    const seen = await Promise.all(generations);
    expect(seen.map((values) => [...new Set(values)])).toEqual(
      ["0", "1", "2", "3", "4", "5", "6"].map((it) => [it]),
    );
  });

  test("whoever waits for a read that is already on its way gets none of its answer", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const client = proxied.connect();
    await fixture.direct.put("two-reads", "old");
    holdReads(gate, "two-reads", "answer");
    const first = underWay(client.get("two-reads"));
    const held = await gate.arrived("two-reads", 1);
    await held.ran;
    // Acknowledged by the proxy itself, before the second read begins.
    gate.hold("answer", (call) => call.method === "Range" && call.mentions("two-reads"));
    await client.put("two-reads", "new");
    const second = underWay(client.get("two-reads"));
    await client.barrier();
    gate.pass();
    held.release();
    expect(await first).toBe("old");
    expect(await second).toBe("new");
  });

  test("serializable ones that are not cached share as well", async () => {
    await using proxied = await fixture.gated(["--cache=false"]);
    const { gate } = proxied;
    const clients = await proxied.connectMany(4);
    await fixture.direct.put("local", "1");
    holdReads(gate, "local");
    const first = underWay(clients[0]!.get("local", SERIALIZABLE));
    const held = await gate.arrived("local", 1);
    const others = readEach(clients, 10, "local", SERIALIZABLE);
    await atTheProxy(clients);
    expect(gate.of("local")).toHaveLength(1);
    gate.pass();
    held.release();
    expect(new Set([await first, ...(await others)])).toEqual(new Set(["1"]));
    expect(gate.of("local")).toHaveLength(2);
  });

  test("after a miss of the cache, all who waited are served by few reads", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const clients = await proxied.connectMany(4);
    await fixture.direct.put("miss", "1");
    holdReads(gate, "miss");
    const all = readEach(clients, 25, "miss", SERIALIZABLE);
    await gate.arrived("miss", 1);
    await atTheProxy(clients);
    expect(gate.of("miss")).toHaveLength(1);
    gate.pass();
    expect(new Set(await all)).toEqual(new Set(["1"]));
    expect(gate.of("miss").length).toBeLessThanOrEqual(2);
  });

  test("with --read-coalescing=false each goes to the member by itself", async () => {
    await using proxied = await fixture.gated(["--read-coalescing=false"]);
    const { gate } = proxied;
    const clients = await proxied.connectMany(4);
    await fixture.direct.put("apart", "1");
    holdReads(gate, "apart");
    const all = readEach(clients, 5, "apart");
    await gate.arrived("apart", 20);
    expect(gate.inFlight("apart")).toBe(20);
    gate.pass();
    expect(await all).toEqual(Array.from({ length: 20 }, () => "1"));
  });
});

describe("reads that differ are not mixed", () => {
  test("in identity or in what they require", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    await fixture.direct.put("whose", "1");
    const identities: Record<string, string>[] = [
      {},
      { token: "a" },
      { token: "b" },
      { authorization: "c" },
      { hasleader: "true" },
      { token: "a", hasleader: "true" },
    ];
    const clients = identities.map((identity) => proxied.connect(identity));
    await atTheProxy(clients);
    holdReads(gate, "whose");
    // Whether a made-up token may read is etcd's to say; what each says is the own identity's alone.
    const all = Promise.allSettled(clients.flatMap((it) => [it, it, it]).map((it) => it.get("whose")));
    await gate.arrived("whose", identities.length);
    await atTheProxy(clients);
    const carried = gate.of("whose").map(({ metadata }) => metadata.getMap());
    expect(carried).toHaveLength(identities.length);
    for (const identity of identities) expect(carried).toContainEqual(identity);
    gate.pass();
    const outcomes = (await all).map((it) => (it.status === "fulfilled" ? it.value : it.reason.code));
    const expected: unknown[] = [];
    for (const identity of identities) {
      using direct = new ReadClient(fixture.cluster.member(0).endpoint, identity);
      expected.push(await direct.get("whose").catch((error: { readonly code: number }) => error.code));
    }
    expect(outcomes).toEqual(expected.flatMap((it) => [it, it, it]));
    // Never more than one more for each.
    expect(gate.of("whose").length).toBeLessThanOrEqual(identities.length * 2);
  });

  test("in anything that they ask for", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const client = proxied.connect();
    for (const name of ["a", "b"]) await fixture.direct.put(`what/${name}`, name);
    const requests = [
      [prefixOf("what/"), {}, 2],
      [prefixOf("what/"), { limit: 1n }, 1],
      [prefixOf("what/"), { keysOnly: true }, 2],
      [prefixOf("what/"), { countOnly: true }, 0],
      [prefixOf("what/"), SERIALIZABLE, 2],
      [{ key: "what/a" }, {}, 1],
      [{ key: "what/a", rangeEnd: "\0" }, { limit: 2n }, 2],
      [{ key: "what/missing" }, {}, 0],
    ] as const;
    holdReads(gate, "what/");
    const all = underWay(
      Promise.all(
        requests.flatMap(([range, options]) => [client.range(range, options), client.range(range, options)]),
      ),
    );
    await gate.arrived("what/", requests.length);
    await client.barrier();
    expect(gate.inFlight("what/")).toBe(requests.length);
    gate.pass();
    const counts = (await all).map(({ kvs }) => kvs.length);
    expect(counts).toEqual(requests.flatMap(([, , count]) => [count, count]));
    expect(gate.inFlightMax("what/")).toBe(1);
  });
});

describe("callers who leave", () => {
  test("the one who came first cancels: nobody else's read fails", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const clients = await proxied.connectMany(3);
    await fixture.direct.put("leaver", "1");
    holdReads(gate, "leaver");
    const first = clients[0]!.open({ key: "leaver" });
    await gate.arrived("leaver", 1);
    // The first of those who wait, and one in the middle, leave too.
    const early = clients[1]!.open({ key: "leaver" });
    await clients[1]!.barrier();
    const others = readEach(clients, 3, "leaver");
    const middle = clients[2]!.open({ key: "leaver" });
    await atTheProxy(clients);
    for (const read of [first, early, middle]) read.cancel();
    for (const read of [first, early, middle]) expect((await read.status).code).toBe(CANCELLED);
    await atTheProxy(clients);
    expect(gate.inFlight("leaver")).toBeLessThanOrEqual(1);
    gate.pass();
    expect(await others).toEqual(Array.from({ length: 9 }, () => "1"));
    expect(gate.of("leaver")).toHaveLength(2);
  });

  test("a caller's deadline is its own: it ends in time, and the others are answered", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const clients = await proxied.connectMany(3);
    await fixture.direct.put("deadline", "1");
    holdReads(gate, "deadline");
    const begun = performance.now();
    const short = { timeoutMs: 300 };
    const first = clients[0]!.open({ key: "deadline" }, {}, short);
    await gate.arrived("deadline", 1);
    const waiting = clients[1]!.open({ key: "deadline" }, {}, short);
    await clients[1]!.barrier();
    const others = readEach(clients, 3, "deadline");
    const patient = underWay(clients[2]!.get("deadline", {}, { timeoutMs: 30_000 }));
    await atTheProxy(clients);
    for (const read of [first, waiting]) expect((await read.status).code).toBe(DEADLINE_EXCEEDED);
    expect(performance.now() - begun).toBeLessThan(1500);
    gate.pass();
    expect(new Set([...(await others), await patient])).toEqual(new Set(["1"]));
    expect(gate.of("deadline").length).toBeLessThanOrEqual(2);
  });

  test("the read that many wait for carries nobody's deadline", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const client = proxied.connect();
    await fixture.direct.put("whose-time", "1");
    holdReads(gate, "whose-time");
    const first = underWay(client.get("whose-time"));
    const held = await gate.arrived("whose-time", 1);
    const hasty = client.open({ key: "whose-time" }, {}, { timeoutMs: 400 });
    await client.barrier();
    const patient = underWay(client.get("whose-time"));
    await client.barrier();
    held.release();
    expect(await first).toBe("1");
    const shared = await gate.arrived("whose-time", 2);
    expect(shared.leftMs).toBeGreaterThan(5000);
    expect((await hasty.status).code).toBe(DEADLINE_EXCEEDED);
    expect(shared.inFlight).toBe(true);
    shared.release();
    expect(await patient).toBe("1");
    expect(gate.of("whose-time")).toHaveLength(2);
  });

  test("when all have left, the read in flight is let finish, and no second joins it", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const client = proxied.connect();
    await fixture.direct.put("deserted", "1");
    holdReads(gate, "deserted");
    for (let round = 0; round < 50; round++) {
      const read = client.open({ key: "deserted" });
      await client.barrier();
      read.cancel();
      await read.status;
    }
    expect(gate.of("deserted").length).toBeLessThanOrEqual(2);
    expect(gate.inFlightMax("deserted")).toBe(1);
    gate.pass();
    expect(await client.get("deserted")).toBe("1");
    await waitFor("nothing in flight", () => gate.inFlight("deserted") === 0);
  });
});

describe("Txns", () => {
  const reads = (key: string): Txn => ({
    success: [{ request: { case: "requestRange", value: { key: keyBytes(key) } } }],
  });
  const within = (txn: Txn): Txn => ({ success: [{ request: { case: "requestTxn", value: txn as never } }] });
  const compare = (key: string) => [
    {
      key: keyBytes(key),
      target: Compare_CompareTarget.VERSION,
      result: Compare_CompareResult.GREATER,
      targetUnion: { case: "version" as const, value: 0n },
    },
  ];
  const puts = (key: string): Txn => ({
    success: [
      ...reads(key).success!,
      { request: { case: "requestPut", value: { key: keyBytes(`${key}/put`) } } },
    ],
  });

  for (const [name, txnOf] of [
    ["of ranges only", reads],
    ["of ranges within a Txn within a Txn", (key: string) => within(within(reads(key)))],
    [
      "of nothing but ranges, some serializable",
      (key: string) => ({
        success: [
          ...reads(key).success!,
          {
            request: {
              case: "requestRange" as const,
              value: { key: keyBytes(`${key}2`), serializable: true },
            },
          },
        ],
      }),
    ],
  ] as const) {
    test(`${name} share as a Range does`, async () => {
      await using proxied = await fixture.gated();
      const { gate } = proxied;
      const key = `txn ${name}`;
      const clients = await proxied.connectMany(4);
      await fixture.direct.put(key, "1");
      holdReads(gate, key);
      const call = (client: ReadClient) => underWay(client.grpc.unary(KV.method.txn, txnOf(key)));
      const first = call(clients[0]!);
      const held = await gate.arrived(key, 1);
      const others = underWay(
        Promise.all(clients.flatMap((client) => [call(client), call(client), call(client)])),
      );
      await atTheProxy(clients);
      expect(gate.of(key)).toHaveLength(1);
      gate.pass();
      held.release();
      const expected = (await fixture.direct.grpc.unary(KV.method.txn, txnOf(key))).responses;
      for (const { succeeded, responses } of [await first, ...(await others)]) {
        expect(succeeded).toBe(true);
        expect(responses).toHaveLength(expected.length);
      }
      expect(gate.of(key)).toHaveLength(2);
    });
  }

  for (const [name, txnOf] of [
    ["that compares", (key: string): Txn => ({ ...reads(key), compare: compare(key) })],
    ["that compares within", (key: string): Txn => within({ ...reads(key), compare: compare(key) })],
    ["that puts", puts],
    ["that puts within", (key: string): Txn => within(puts(key))],
    [
      "that deletes",
      (key: string): Txn => ({
        success: [{ request: { case: "requestDeleteRange", value: { key: keyBytes(`${key}/none`) } } }],
      }),
    ],
    ["that would put if it failed", (key: string): Txn => ({ ...reads(key), failure: puts(key).success! })],
  ] as const) {
    test(`${name} goes to the member each time`, async () => {
      await using proxied = await fixture.gated();
      const { gate } = proxied;
      const key = `txn ${name}`;
      const client = proxied.connect();
      await fixture.direct.put(key, "1");
      holdReads(gate, key);
      const all = underWay(
        Promise.all(Array.from({ length: 10 }, () => client.grpc.unary(KV.method.txn, txnOf(key)))),
      );
      await gate.arrived(key, 10);
      gate.pass();
      expect((await all).filter(({ succeeded }) => succeeded)).toHaveLength(10);
      expect(gate.of(key)).toHaveLength(10);
    });
  }

  test("writes are never shared: equal Puts are one revision each", async () => {
    await using proxied = await fixture.gated();
    const client = proxied.connect();
    const revisions = await Promise.all(Array.from({ length: 20 }, () => client.put("equal", "1")));
    expect(new Set(revisions).size).toBe(20);
    expect((await client.range({ key: "equal" }, LINEARIZABLE)).kvs[0]!.version).toBe(20n);
  });
});
