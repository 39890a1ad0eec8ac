/**
 * What the grpc-proxy answers from its cache: serializable reads that are repeated, as the member's own count of
 * Range calls tells. Through the grpc-proxy only: it is what it is for.
 */
import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  KV,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  RangeRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { methodPath, statusOf } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import {
  holdingOf,
  type KeyRange,
  keyBytes,
  LINEARIZABLE,
  prefixOf,
  rangeRequest,
  type ReadClient,
  type ReadOptions,
  SERIALIZABLE,
} from "./read-client.ts";
import { LASTING, useReads } from "./reads-fixture.ts";

const fixture = useReads();

const OUT_OF_RANGE = 11;
const INVALID_ARGUMENT = 3;
const KIB = 1024;

/** Runs `run` `times` times, one after another. */
async function repeat(times: number, run: () => Promise<unknown>): Promise<void> {
  for (let count = 0; count < times; count++) await run();
}

async function jsonRange(address: string, body: Record<string, unknown>): Promise<unknown> {
  const answer = await fetch(`http://${address}/etcdserverpb.KV/Range`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
}

describe("hits", () => {
  test("a serializable read that is repeated, by whichever client, costs the member one", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const clients = await proxied.connectMany(5);
    await fixture.direct.put("hit", "value");
    const cost = await fixture.cost(async () => {
      for (let round = 0; round < 20; round++) {
        for (const client of clients) expect(await client.get("hit", SERIALIZABLE)).toBe("value");
      }
    });
    expect(cost).toBe(1);
  });

  test("the cached answer is etcd's own, header and all", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const range = prefixOf("own/");
    for (const name of ["a", "b", "c"]) await fixture.direct.put(`own/${name}`, name);
    const options = { ...SERIALIZABLE, limit: 2n };
    const expected = await fixture.direct.range(range, options);
    await client.range(range, options);
    await fixture.direct.put("elsewhere", "moves the revision on");
    expect(await client.range(range, options)).toEqual(expected);
  });

  test("that a key is not there is known too", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    expect(await fixture.cost(() => repeat(10, () => client.get("missing", SERIALIZABLE)))).toBe(1);
  });

  test("a linearizable read goes to the member each time, and what it brings serves serializable ones", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    await fixture.direct.put("filled", "1");
    expect(await fixture.cost(() => client.get("filled"))).toBe(1);
    expect(await fixture.cost(() => repeat(10, () => client.get("filled", SERIALIZABLE)))).toBe(0);
    expect(await fixture.cost(() => repeat(10, () => client.get("filled", LINEARIZABLE)))).toBe(10);
    await fixture.direct.put("filled", "2");
    expect(await client.get("filled", SERIALIZABLE)).toBe("1");
    expect(await client.get("filled", LINEARIZABLE)).toBe("2");
    expect(await fixture.cost(() => client.get("filled", SERIALIZABLE))).toBe(0);
    expect(await client.get("filled", SERIALIZABLE)).toBe("2");
  });

  test("a serializable read at a fixed revision is cached, a linearizable one never", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const revision = await fixture.direct.put("fixed", "old");
    await fixture.direct.put("fixed", "new");
    const fixed = { ...SERIALIZABLE, revision };
    expect(await fixture.cost(() => repeat(10, () => client.get("fixed", fixed)))).toBe(1);
    expect(await fixture.cost(() => repeat(10, () => client.get("fixed", { revision })))).toBe(10);
    expect(await client.get("fixed", fixed)).toBe("old");
    expect(await client.get("fixed", SERIALIZABLE)).toBe("new");
  });

  test("a call in JSON is served from what a gRPC call has filled, and the other way round", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const { address } = proxied.proxy;
    const key = keyBytes("json").toString("base64");
    await fixture.direct.put("json", "1");
    const answers: unknown[] = [];
    const cost = await fixture.cost(async () => {
      await client.get("json", SERIALIZABLE);
      answers.push(await jsonRange(address, { key, serializable: true }));
      answers.push(await jsonRange(address, { key, serializable: true }));
      await client.get("json", SERIALIZABLE);
    });
    const value = Buffer.from("1").toString("base64");
    expect(answers).toMatchObject([{ kvs: [{ value }] }, { kvs: [{ value }] }]);
    expect(cost).toBe(1);
  });
});

describe("age", () => {
  for (const { flags, ageMs } of [
    { flags: ["--cache-max-age=300ms"], ageMs: 300 },
    { flags: [], ageMs: 1000 },
  ]) {
    const words = flags[0] ?? "the default";
    test(`with ${words} an answer is at most ${ageMs} ms old, however often it is asked for`, async () => {
      await using proxied = await fixture.proxied(flags);
      const client = proxied.connect();
      await client.barrier();
      await fixture.direct.put("aging", "old");
      const beforeFill = performance.now();
      expect(await client.get("aging", SERIALIZABLE)).toBe("old");
      const afterFill = performance.now();
      await fixture.direct.put("aging", "new");
      const startedBefore = await fixture.started();
      const asked: { at: number; seenBy: number; value: string | undefined; cost: number }[] = [];
      await waitFor(
        "the new value",
        async () => {
          const at = performance.now();
          const value = await client.get("aging", SERIALIZABLE);
          const cost = (await fixture.started()) - startedBefore;
          asked.push({ at, seenBy: performance.now(), value, cost });
          return value === "new";
        },
        { intervalMs: 5 },
      );
      const within = asked.filter(({ seenBy }) => seenBy < beforeFill + ageMs * 0.8);
      expect(within.length).toBeGreaterThan(3);
      expect(within.filter(({ value, cost }) => value !== "old" || cost !== 0)).toEqual([]);
      expect(asked.filter(({ at, value }) => at > afterFill + ageMs && value !== "new")).toEqual([]);
      expect(asked.at(-1)).toMatchObject({ cost: 1 });
    });
  }

  for (const flag of ["--cache-max-age=0", "--cache-max-age=0s", "--cache=false"]) {
    test(`with ${flag} each read goes to the member`, async () => {
      await using proxied = await fixture.proxied([flag]);
      const client = proxied.connect();
      await fixture.direct.put("uncached", "1");
      expect(await fixture.cost(() => repeat(10, () => client.get("uncached", SERIALIZABLE)))).toBe(10);
      await fixture.direct.put("uncached", "2");
      expect(await client.get("uncached", SERIALIZABLE)).toBe("2");
    });
  }
});

describe("bounds", () => {
  /** Reads `count` keys, each once; each answer is right. */
  async function readAll(client: ReadClient, count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      expect(await client.get(`bound/${index}`, SERIALIZABLE)).toStartWith(`${index}.`);
    }
  }

  async function putAll(count: number, valueBytes: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      await fixture.direct.put(`bound/${index}`, `${index}.`.padEnd(valueBytes, "x"));
    }
  }

  test("--cache-max-entries keeps so many answers, those asked for last", async () => {
    await using proxied = await fixture.proxied([LASTING, "--cache-max-entries=10"]);
    const client = proxied.connect();
    await putAll(100, 3);
    expect(await fixture.cost(() => readAll(client, 100))).toBe(100);
    expect(await fixture.cost(() => client.get("bound/99", SERIALIZABLE))).toBe(0);
    const again = await fixture.cost(() => readAll(client, 100));
    expect(again).toBeGreaterThanOrEqual(90);
    expect(await fixture.cost(() => readAll(client, 5))).toBe(5);
    expect(await fixture.cost(() => readAll(client, 5))).toBe(0);
  });

  test("--cache-max-bytes keeps so many bytes; a larger answer is right, and read each time", async () => {
    await using proxied = await fixture.proxied([LASTING, `--cache-max-bytes=${512 * KIB}`]);
    const client = proxied.connect();
    await putAll(20, 100 * KIB);
    expect(await fixture.cost(() => readAll(client, 20))).toBe(20);
    expect(await fixture.cost(() => readAll(client, 20))).toBeGreaterThanOrEqual(15);
    expect(await fixture.cost(() => readAll(client, 2))).toBe(2);
    expect(await fixture.cost(() => readAll(client, 2))).toBe(0);
    await fixture.direct.put("bound/large", "x".repeat(700 * KIB));
    const large = async (): Promise<void> => {
      expect(await client.get("bound/large", SERIALIZABLE)).toHaveLength(700 * KIB);
    };
    expect(await fixture.cost(() => repeat(3, large))).toBe(3);
  });

  test("keys count for the bytes, not only answers", async () => {
    await using proxied = await fixture.proxied([LASTING, `--cache-max-bytes=${128 * KIB}`]);
    const client = proxied.connect();
    const long = (index: number): string => `${index}/`.padEnd(10 * KIB, "k");
    const readMissing = async (): Promise<void> => {
      for (let index = 0; index < 50; index++) {
        expect(await client.get(long(index), SERIALIZABLE)).toBeUndefined();
      }
    };
    expect(await fixture.cost(readMissing)).toBe(50);
    expect(await fixture.cost(readMissing)).toBeGreaterThan(35);
  });
});

describe("another request", () => {
  test("each shape of a read has an answer of its own, and each is a hit the second time", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const revisions: bigint[] = [];
    for (const name of ["c", "a", "d", "b"]) {
      revisions.push(await fixture.direct.put(`shape/${name}`, `${9 - revisions.length}`));
    }
    revisions.push(await fixture.direct.put("shape/a", "changed"));
    const options: readonly ReadOptions[] = [
      {},
      { limit: 1n },
      { limit: 2n },
      { keysOnly: true },
      { countOnly: true },
      { sortOrder: SortOrder.DESCEND, sortTarget: SortTarget.KEY },
      { sortOrder: SortOrder.ASCEND, sortTarget: SortTarget.VALUE },
      { sortOrder: SortOrder.ASCEND, sortTarget: SortTarget.MOD },
      { sortOrder: SortOrder.DESCEND, sortTarget: SortTarget.MOD, limit: 1n },
      { minModRevision: revisions[2]! },
      { maxModRevision: revisions[2]! },
      { minCreateRevision: revisions[1]! },
      { maxCreateRevision: revisions[1]! },
      { revision: revisions[1]! },
      { revision: revisions[3]! },
    ];
    const ranges: readonly KeyRange[] = [
      prefixOf("shape/"),
      { key: "shape/a" },
      { key: "shape/b", rangeEnd: "shape/d" },
      { key: "shape/b", rangeEnd: "\0" },
      { key: "\0", rangeEnd: "\0" },
    ];
    const shapes = ranges.flatMap((range) =>
      options.map((option) => [range, { ...option, ...SERIALIZABLE }] as const),
    );
    const expected = await Promise.all(
      shapes.map(async ([range, option]) => holdingOf(await fixture.direct.range(range, option))),
    );
    const read = async (): Promise<void> => {
      for (const [index, [range, option]] of shapes.entries()) {
        const answer = holdingOf(await client.range(range, option));
        expect({ range, option, answer }).toEqual({ range, option, answer: expected[index]! });
      }
    };
    expect(await fixture.cost(read)).toBe(shapes.length);
    expect(await fixture.cost(read)).toBe(0);
  });

  test("a field that nobody knows makes another request of it", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    await fixture.direct.put("unknown", "1");
    const plain = toBinary(
      RangeRequestSchema,
      create(RangeRequestSchema, rangeRequest({ key: "unknown" }, SERIALIZABLE)),
    );
    // Field 1000 as a varint.
    const extended = Buffer.concat([plain, Buffer.from([0xc0, 0x3e, 0x2a])]);
    const path = methodPath(KV.method.range);
    await client.grpc.callBytes(path, plain);
    expect(await fixture.cost(() => client.grpc.callBytes(path, extended))).toBe(1);
    expect(await fixture.cost(() => client.grpc.callBytes(path, plain))).toBe(0);
  });

  test("fields in another order, twice, or told to be zero mean what they mean to etcd", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const path = methodPath(KV.method.range);
    for (const key of ["wire/a", "wire/b"]) await fixture.direct.put(key, key);
    const field = (number: number, text: string): Buffer =>
      Buffer.concat([Buffer.from([(number << 3) | 2, text.length]), Buffer.from(text)]);
    const serializable = Buffer.from([0x38, 0x01]);
    const linearizable = Buffer.from([0x38, 0x00]);
    const limitZero = Buffer.from([0x18, 0x00]);
    const requests = [
      [field(1, "wire/a"), serializable],
      [serializable, field(1, "wire/a")],
      [field(1, "wire/b"), serializable, field(1, "wire/a")],
      [field(1, "wire/a"), serializable, field(1, "wire/b")],
      [field(1, "wire/a"), limitZero, serializable],
      [field(2, "wire/c"), field(1, "wire/a"), serializable],
      [field(1, "wire/a"), linearizable, serializable],
    ].map((parts) => Buffer.concat(parts));
    const counts = async (from: ReadClient): Promise<string[]> => {
      const told: string[] = [];
      for (const request of requests) {
        const { message } = await from.grpc.callBytes(path, request);
        told.push(
          Buffer.from(message)
            .toString("latin1")
            .replaceAll(/[^ -~]/g, "."),
        );
      }
      return told;
    };
    const expected = await counts(fixture.direct);
    expect(await counts(client)).toEqual(expected);
    expect(await counts(client)).toEqual(expected);
    // What says last that it is linearizable is.
    const last = Buffer.concat([field(1, "wire/a"), serializable, linearizable]);
    expect(await fixture.cost(() => repeat(3, () => client.grpc.callBytes(path, last)))).toBe(3);
  });
});

describe("errors", () => {
  test("are asked for each time", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const now = await fixture.direct.put("error", "1");
    const future = { ...SERIALIZABLE, revision: now + 1n };
    const refused = async (): Promise<void> => {
      expect((await statusOf(client.get("error", future))).code).toBe(OUT_OF_RANGE);
    };
    expect(await fixture.cost(() => repeat(3, refused))).toBe(3);
    await fixture.direct.put("error", "2");
    expect(await client.get("error", future)).toBe("2");
  });

  test("of a request that etcd refuses are etcd's own, and nothing is kept", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const client = proxied.connect();
    const expected = await statusOf(fixture.direct.get("", SERIALIZABLE));
    const refused = async (): Promise<void> => {
      const { code, details } = await statusOf(client.get("", SERIALIZABLE));
      expect({ code, details }).toEqual({ code: INVALID_ARGUMENT, details: expected.details });
    };
    expect(await fixture.cost(() => repeat(3, refused))).toBe(3);
  });
});
