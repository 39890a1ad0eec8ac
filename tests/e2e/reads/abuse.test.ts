/**
 * Clients that ask the same without end, and whatever they do to it: etcd has one read of theirs in flight at most,
 * as a gate between the proxy and the member counts.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ClientOptions } from "@grpc/grpc-js";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { RawClient } from "../../faults/raw-client.ts";
import { waitFor, withDeadline } from "../../harness/wait-for.ts";
import { Accounts } from "../watch/accounts.ts";
import {
  type KeyRange,
  keyBytes,
  prefixOf,
  ReadClient,
  type ReadOptions,
  SERIALIZABLE,
} from "./read-client.ts";
import { type Proxied, useReads } from "./reads-fixture.ts";

const fixture = useReads();

const CLIENTS = 50;
const OUT_OF_RANGE = 11;
const PERMISSION_DENIED = 7;
const KIB = 1024;

let proxied: Proxied;
let clients: ReadClient[];

beforeAll(async () => {
  proxied = await fixture.gated();
  clients = await proxied.connectMany(CLIENTS);
}, 60_000);
afterAll(() => proxied[Symbol.asyncDispose]());

/** The outcome of a read: its count, or the status it failed with. */
async function outcome(client: ReadClient, range: KeyRange, options: ReadOptions): Promise<string> {
  try {
    return `count ${(await client.range(range, options)).count}`;
  } catch (error) {
    return `code ${(error as { readonly code: number }).code}`;
  }
}

/** Each client asks `times` times, one after another; gives all outcomes that there were. */
async function loop(
  from: readonly ReadClient[],
  times: number,
  range: KeyRange,
  options: ReadOptions,
): Promise<string[]> {
  const outcomes = new Set<string>();
  await Promise.all(
    from.map(async (client) => {
      for (let round = 0; round < times; round++) outcomes.add(await outcome(client, range, options));
    }),
  );
  return [...outcomes];
}

describe(`${CLIENTS} clients who read in tight loops have one read in flight at the member:`, () => {
  test("one key, linearizable", async () => {
    await fixture.direct.put("abuse/one", "1");
    expect(await loop(clients, 40, { key: "abuse/one" }, {})).toEqual(["count 1"]);
    expect(proxied.gate.inFlightMax("abuse/one")).toBe(1);
    // Each of a client's reads may need one that is sent after it; all clients share.
    expect(proxied.gate.of("abuse/one").length).toBeLessThan(CLIENTS * 20);
  });

  test("one key, serializable", async () => {
    await fixture.direct.put("abuse/local", "1");
    expect(await loop(clients, 40, { key: "abuse/local" }, SERIALIZABLE)).toEqual(["count 1"]);
    expect(proxied.gate.inFlightMax("abuse/local")).toBe(1);
    expect(proxied.gate.of("abuse/local").length).toBeLessThan(40);
  });

  test("one key, serializable, while it is written all the time", async () => {
    await fixture.direct.put("abuse/written", "1");
    const writer = proxied.connect();
    const request = { key: "abuse/written" };
    const over = new AbortController();
    const writing = (async () => {
      for (let count = 0; !over.signal.aborted; count++) await writer.put("abuse/written", String(count));
    })();
    expect(await loop(clients, 40, request, SERIALIZABLE)).toEqual(["count 1"]);
    over.abort();
    await writing;
    const reads = proxied.gate.of("abuse/written").filter(({ method }) => method === "Range");
    const { request: read } = reads[0]!;
    expect(new Set(reads.map((call) => call.request))).toEqual(new Set([read]));
    expect(proxied.gate.inFlightMax("abuse/written")).toBe(1);
  });

  for (const [kind, options] of [
    ["linearizable", {}],
    ["serializable", SERIALIZABLE],
  ] as const) {
    test(`a revision of the future, ${kind}`, async () => {
      const key = `abuse/future-${kind}`;
      const outcomes = await loop(clients, 20, { key }, { ...options, revision: 1_000_000n });
      expect(outcomes).toEqual([`code ${OUT_OF_RANGE}`]);
      expect(proxied.gate.inFlightMax(key)).toBe(1);
    });

    test(`a prefix of 1 MiB, ${kind}`, async () => {
      const prefix = `abuse/large-${kind}/`;
      for (let index = 0; index < 10; index++) {
        await fixture.direct.put(`${prefix}${index}`, "x".repeat(100 * KIB));
      }
      expect(await loop(clients.slice(0, 25), 3, prefixOf(prefix), options)).toEqual(["count 10"]);
      expect(proxied.gate.inFlightMax(prefix)).toBe(1);
    });
  }

  test("a read-only Txn", async () => {
    const key = "abuse/txn";
    await fixture.direct.put(key, "1");
    await Promise.all(
      clients.map(async (client) => {
        for (let round = 0; round < 20; round++) {
          const { responses } = await client.grpc.unary(KV.method.txn, {
            success: [{ request: { case: "requestRange", value: { key: keyBytes(key) } } }],
          });
          expect(responses).toHaveLength(1);
        }
      }),
    );
    expect(proxied.gate.inFlightMax(key)).toBe(1);
  });

  test("a prefix of 6 MiB, of which each reads for itself, one after another", async () => {
    const prefix = "abuse/huge/";
    for (let index = 0; index < 60; index++) {
      await fixture.direct.put(`${prefix}${index}`, "x".repeat(100 * KIB));
    }
    expect(await loop(clients.slice(0, 8), 2, prefixOf(prefix), {})).toEqual(["count 60"]);
    expect(proxied.gate.inFlightMax(prefix)).toBe(1);
  });
});

describe("clients who do not wait for their answers have one read in flight at the member:", () => {
  /** Each client opens a read and cancels it, over and over, at once or when it has reached the proxy. */
  async function cancelLoop(
    key: string,
    times: number,
    options: ReadOptions,
    patience: (round: number) => boolean,
  ): Promise<void> {
    await Promise.all(
      clients.map(async (client) => {
        for (let round = 0; round < times; round++) {
          const read = client.open({ key }, options);
          if (patience(round)) await client.barrier();
          read.cancel();
          await read.status;
        }
      }),
    );
    await waitFor("nothing in flight", () => proxied.gate.inFlight(key) === 0);
    expect(proxied.gate.inFlightMax(key)).toBeLessThanOrEqual(1);
  }

  for (const [kind, options] of [
    ["linearizable", {}],
    ["serializable", SERIALIZABLE],
  ] as const) {
    test(`they cancel at once, ${kind}`, async () => {
      await cancelLoop(`abuse/cancel-${kind}`, 20, options, () => false);
    });
    test(`they cancel at once or later, ${kind}`, async () => {
      await cancelLoop(`abuse/later-${kind}`, 6, options, (round) => round % 3 === 0);
    });
  }

  test("they vanish with their connection", async () => {
    const key = "abuse/vanish";
    await fixture.direct.put(key, "1");
    await Promise.all(
      clients.map(async () => {
        for (let round = 0; round < 3; round++) {
          using client = new ReadClient(proxied.proxy.address);
          await client.barrier();
          const read = client.open({ key });
          const answered = client.get(key);
          if (round % 2 === 0) read.cancel();
          expect(await answered).toBe("1");
        }
      }),
    );
    await waitFor("nothing in flight", () => proxied.gate.inFlight(key) === 0);
    expect(proxied.gate.inFlightMax(key)).toBe(1);
  });

  test("their deadlines pass", async () => {
    const key = "abuse/deadline";
    const { gate } = proxied;
    gate.hold("arrival", (call) => call.mentions(key) && gate.of(key).length === 1);
    await Promise.all(
      clients.map(async (client) => {
        for (let round = 0; round < 3; round++) {
          const read = client.open({ key }, {}, { timeoutMs: 100 });
          await read.status;
        }
      }),
    );
    expect(gate.of(key)).toHaveLength(1);
    gate.pass();
    expect(await clients[0]!.get(key)).toBeUndefined();
    expect(gate.inFlightMax(key)).toBe(1);
  });
});

describe("a caller whose metadata makes members refuse a call", () => {
  // Newer members want base64 in -bin fields; older ones know no gzip, and of several encodings take the last.
  const NO_BASE64 = [["a-bin", "!"]] as const;
  const TWO_ENCODINGS = [
    ["grpc-encoding", "identity"],
    ["grpc-encoding", "gzip"],
  ] as const;

  test.each([
    ["a -bin field that is no base64", NO_BASE64],
    ["two encodings", TWO_ENCODINGS],
  ])("does not spoil the read of whoever asks the same with him: %s", async (_, metadata) => {
    await using direct = await fixture.proxied();
    using raw = await RawClient.connect(direct.proxy.address);
    // Both in one write, so that they may share, the hostile one first.
    const calls = [metadata, []].map((fields) => {
      const call = raw.call(KV.method.range, { key: keyBytes("abuse/spoilt") }, () => true, fields);
      call.halfClose();
      return call;
    });
    expect(await withDeadline(calls[1]!.status, () => "the honest answer")).toEqual({ code: 0, message: "" });
    await withDeadline(calls[0]!.status, () => "the hostile caller's answer");
  });
});

describe("users who may not read", () => {
  const options: ClientOptions = { "grpc.enable_retries": 0 };

  test("and ask all the same, in tight loops, have one read in flight for each token", async () => {
    const accounts = new Accounts(fixture.direct.grpc);
    await accounts.addRoot();
    await accounts.addUser("stranger");
    await accounts.enable();
    try {
      const tokens = [await accounts.logIn("stranger"), await accounts.logIn("stranger")];
      const strangers = Array.from({ length: CLIENTS }, (_, index) =>
        proxied.connect({ ...tokens[index % 2]! }, options),
      );
      for (const reading of [{}, SERIALIZABLE]) {
        const outcomes = await loop(strangers, 10, { key: "abuse/denied" }, reading);
        expect(outcomes).toEqual([`code ${PERMISSION_DENIED}`]);
      }
      expect(proxied.gate.inFlightMax("abuse/denied")).toBe(1);
    } finally {
      await accounts.disable();
    }
  });
});
