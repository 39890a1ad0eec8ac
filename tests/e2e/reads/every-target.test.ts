/**
 * What any client may rely on of reads, at a member itself and through both products: the newest for linearizable
 * ones, one's own writes for all, each request's own answer, and etcd's own words for what it refuses.
 *
 * All targets go to one member, whose tokens and whose serializable reads are compared.
 */
import { describe, expect } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  KV,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type TxnRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Election } from "../../../src/gen/v3electionpb/election_pb.ts";
import { Lock } from "../../../src/gen/v3lockpb/lock_pb.ts";
import { RawClient } from "../../faults/raw-client.ts";
import { statusOf } from "../../harness/grpc-client.ts";
import { withDeadline } from "../../harness/wait-for.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { Accounts } from "../watch/accounts.ts";
import {
  holdingOf,
  type KeyRange,
  keyBytes,
  LINEARIZABLE,
  prefixOf,
  rangeRequest,
  ReadClient,
  type ReadOptions,
  SERIALIZABLE,
} from "./read-client.ts";

const targets = useTargets({ proxiedMembers: [0] });
const eachTarget = eachTargetOf(targets);

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const OUT_OF_RANGE = 11;
const KIB = 1024;

/** A client of the target, some more, and one of each member; all closed in the end. */
class Session implements Disposable {
  readonly client: ReadClient;
  readonly members: readonly ReadClient[];
  readonly #address: string;
  readonly #stack = new DisposableStack();

  constructor({ address }: Target) {
    this.#address = address;
    this.client = this.connect();
    this.members = targets.cluster.endpoints.map((endpoint) => this.#stack.use(new ReadClient(endpoint)));
  }

  get direct(): ReadClient {
    return this.members[0]!;
  }

  connect(metadata: Readonly<Record<string, string>> = {}): ReadClient {
    return this.#stack.use(new ReadClient(this.#address, metadata));
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

describe("linearizable reads", () => {
  eachTarget("see each write that was acknowledged at any member before they began", async (target) => {
    using session = new Session(target);
    const key = `${target.name}/newest`;
    await session.direct.put(key, "0");
    const readers = Array.from({ length: 8 }, () => session.connect());
    const over = new AbortController();
    const background = readers.map(async (reader) => {
      while (!over.signal.aborted) await reader.get(key);
    });
    const stale: string[] = [];
    for (let value = 1; value <= 80; value++) {
      await session.members[value % session.members.length]!.put(key, String(value));
      const seen = await Promise.all([session.client, ...readers.slice(0, 2)].map((it) => it.get(key)));
      if (seen.some((it) => it !== String(value))) stale.push(`${seen.join(" ")} after ${value}`);
    }
    over.abort();
    await Promise.all(background);
    expect(stale).toEqual([]);
  });

  eachTarget("in a Txn see them as well", async (target) => {
    using session = new Session(target);
    const key = `${target.name}/newest-txn`;
    const readers = Array.from({ length: 5 }, () => session.connect());
    const read = async (client: ReadClient): Promise<string> => {
      const range = { key: keyBytes(key) };
      const success = [{ request: { case: "requestRange" as const, value: range } }];
      const { responses } = await client.grpc.unary(KV.method.txn, { success });
      const [first] = responses;
      if (first?.response.case !== "responseRange") throw new Error("a Txn of a range without its answer");
      return Buffer.from(first.response.value.kvs[0]!.value).toString();
    };
    for (let value = 1; value <= 50; value++) {
      await session.members[value % session.members.length]!.put(key, String(value));
      expect(await Promise.all(readers.map(read))).toEqual(readers.map(() => String(value)));
    }
  });

  eachTarget("see how a lease, a lock and an election ended", async (target) => {
    using session = new Session(target);
    const { client } = session;
    const { grpc } = session.connect();
    const prefix = `${target.name}/coordination/`;
    const counts = async (): Promise<bigint[]> => {
      const read = (options: ReadOptions) => client.range(prefixOf(prefix), options);
      const answers = [await read(SERIALIZABLE), await read(LINEARIZABLE), await read(SERIALIZABLE)];
      return [...new Set(answers.map(({ count }) => count))];
    };
    const { ID: lease } = await grpc.unary(Lease.method.leaseGrant, { TTL: 600n });
    expect(await counts()).toEqual([0n]);
    await grpc.unary(KV.method.put, { key: keyBytes(`${prefix}leased`), lease });
    expect(await counts()).toEqual([1n]);
    const { key } = await grpc.unary(Lock.method.lock, { name: keyBytes(`${prefix}lock`), lease });
    expect(await counts()).toEqual([2n]);
    const name = keyBytes(`${prefix}election`);
    const { leader } = await grpc.unary(Election.method.campaign, { name, lease, value: keyBytes("1") });
    expect(await counts()).toEqual([3n]);
    await grpc.unary(Election.method.proclaim, { leader: leader!, value: keyBytes("2") });
    const leading = Buffer.from(leader!.key).toString();
    expect([await client.get(leading, SERIALIZABLE), await client.get(leading)]).toEqual(["2", "2"]);
    await grpc.unary(Lock.method.unlock, { key });
    expect(await counts()).toEqual([2n]);
    await grpc.unary(Election.method.resign, { leader: leader! });
    expect(await counts()).toEqual([1n]);
    await grpc.unary(Lease.method.leaseRevoke, { ID: lease });
    expect(await counts()).toEqual([0n]);
  });
});

describe("serializable reads", () => {
  eachTarget("see what was written through the same target before they began, by anybody", async (target) => {
    using session = new Session(target);
    const clients = [session.client, ...Array.from({ length: 5 }, () => session.connect())];
    const prefix = `${target.name}/own/`;
    const stale: string[] = [];
    await Promise.all(
      clients.map(async (writer, index) => {
        const key = `${prefix}${index}`;
        const reader = clients[(index + 1) % clients.length]!;
        for (let round = 1; round <= 40; round++) {
          await writer.put(key, String(round));
          const seen = await Promise.all([
            writer.get(key, SERIALIZABLE),
            reader.get(key, SERIALIZABLE),
            reader.get(key, LINEARIZABLE),
          ]);
          if (seen.some((it) => it !== String(round))) stale.push(`${key}: ${seen.join(" ")} after ${round}`);
          if (round % 5 > 0) continue;
          await reader.grpc.unary(KV.method.deleteRange, { key: keyBytes(key) });
          const left = await writer.get(key, SERIALIZABLE);
          if (left !== undefined) stale.push(`${key}: ${left} after its end`);
        }
      }),
    );
    expect(stale).toEqual([]);
  });

  eachTarget("at a revision that was compacted are refused in etcd's words", async (target) => {
    using session = new Session(target);
    const key = `${target.name}/compacted`;
    const old = await session.client.put(key, "old");
    const now = await session.client.put(key, "new");
    expect(await session.client.get(key, { ...SERIALIZABLE, revision: old })).toBe("old");
    await session.client.grpc.unary(KV.method.compact, { revision: now });
    for (const options of [SERIALIZABLE, LINEARIZABLE]) {
      const { code, details } = await statusOf(session.client.get(key, { ...options, revision: old }));
      expect({ code, details }).toEqual({
        code: OUT_OF_RANGE,
        details: "etcdserver: mvcc: required revision has been compacted",
      });
      expect(await session.client.get(key, options)).toBe("new");
      expect(await session.client.get(key, { ...options, revision: now })).toBe("new");
    }
    // An error now is none when the revision has come.
    const future = { ...SERIALIZABLE, revision: now + 1n };
    expect((await statusOf(session.client.get(key, future))).code).toBe(OUT_OF_RANGE);
    await session.client.put(key, "newest");
    expect(await session.client.get(key, future)).toBe("newest");
  });
});

eachTarget("each shape of a read has an answer of its own, whatever is read beside it", async (target) => {
  using session = new Session(target);
  const { client, direct } = session;
  const prefix = `${target.name}/shape/`;
  const revisions: bigint[] = [];
  for (const name of ["c", "a", "d", "b", "a"]) {
    revisions.push(await client.put(`${prefix}${name}`, String(9 - revisions.length)));
  }
  const options: readonly ReadOptions[] = [
    {},
    { limit: 2n },
    { keysOnly: true },
    { countOnly: true },
    { sortOrder: SortOrder.DESCEND, sortTarget: SortTarget.KEY },
    { sortOrder: SortOrder.ASCEND, sortTarget: SortTarget.VALUE },
    { sortOrder: SortOrder.DESCEND, sortTarget: SortTarget.VERSION, limit: 1n },
    { minModRevision: revisions[2]! },
    { maxModRevision: revisions[2]! },
    { minCreateRevision: revisions[1]! },
    { maxCreateRevision: revisions[1]! },
    { revision: revisions[1]! },
    { revision: revisions[4]! },
  ];
  const ranges: readonly KeyRange[] = [
    prefixOf(prefix),
    { key: `${prefix}a` },
    { key: `${prefix}b`, rangeEnd: `${prefix}d` },
    { key: `${prefix}b`, rangeEnd: "\0" },
    { key: `${prefix}c`, rangeEnd: `${prefix}a` },
    { key: "\0", rangeEnd: "\0" },
  ];
  const shapes = ranges.flatMap((range) =>
    options.flatMap((option) =>
      [SERIALIZABLE, LINEARIZABLE].map((kind) => [range, { ...option, ...kind }] as const),
    ),
  );
  const expected = await Promise.all(
    shapes.map(async ([range, option]) => holdingOf(await direct.range(range, option))),
  );
  const clients = [client, client, session.connect()];
  for (let round = 0; round < 2; round++) {
    const read = clients.map(async (from) => {
      const answers = await Promise.all(shapes.map(([range, option]) => from.range(range, option)));
      return answers.map(holdingOf);
    });
    for (const answers of await Promise.all(read)) expect(answers).toEqual(expected);
  }
});

describe("a Txn", () => {
  type Txn = MessageInitShape<typeof TxnRequestSchema>;
  const KEY = keyBytes("txn");
  const range = { request: { case: "requestRange" as const, value: { key: KEY } } };
  const put = { request: { case: "requestPut" as const, value: { key: KEY } } };
  const within = (txn: Txn): Txn => ({ success: [{ request: { case: "requestTxn", value: txn as never } }] });

  const empties: readonly (readonly [string, Txn])[] = [
    ["an operation that says nothing", { success: [{}] }],
    ["one in the branch that is not taken", { success: [range], failure: [{}] }],
    ["one among ranges", { success: [range, {}, range] }],
    ["one among writes", { success: [put, {}] }],
    ["one within a Txn", within({ success: [{}] })],
    ["one within a Txn within a Txn", within(within({ failure: [range, {}] }))],
  ];
  for (const [name, txn] of empties) {
    eachTarget(`with ${name} is refused, alone and with others, and reads go on`, async (target) => {
      using session = new Session(target);
      const { client, direct } = session;
      const expected = await statusOf(direct.grpc.unary(KV.method.txn, txn));
      expect(expected.code).toBe(INVALID_ARGUMENT);
      const calls = Array.from({ length: 10 }, () => statusOf(client.grpc.unary(KV.method.txn, txn)));
      for (const { code, details } of await Promise.all(calls)) {
        expect({ code, details }).toEqual({ code: INVALID_ARGUMENT, details: expected.details });
      }
      const { succeeded } = await client.grpc.unary(KV.method.txn, { success: [range] });
      expect(succeeded).toBe(true);
      await client.get("txn", SERIALIZABLE);
    });
  }

  eachTarget("of nothing at all succeeds, and one of empty Txns too", async (target) => {
    using session = new Session(target);
    for (const txn of [{}, within({}), within(within({}))]) {
      const { succeeded, responses } = await session.client.grpc.unary(KV.method.txn, txn);
      const expected = await session.direct.grpc.unary(KV.method.txn, txn);
      expect({ succeeded, responses }).toEqual({
        succeeded: expected.succeeded,
        responses: expected.responses,
      });
    }
  });

  eachTarget("that is no message is refused as etcd refuses it", async (target) => {
    using session = new Session(target);
    for (const path of ["/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put"]) {
      for (const hex of ["0a", "0aff", "12ffffffff0f", "0a05616263", "ffffffffffffffffffff01", "0b"]) {
        const request = Buffer.from(hex, "hex");
        const codeOf = async ({ grpc }: ReadClient): Promise<number> =>
          (await statusOf(grpc.callBytes(path, request))).code;
        const expected = await codeOf(session.direct);
        expect({ path, hex, code: await codeOf(session.client) }).toEqual({ path, hex, code: expected });
      }
    }
    expect(await session.client.get("after", SERIALIZABLE)).toBeUndefined();
  });
});

eachTarget(
  "answers of 6 MiB are right for all who ask at once, though one never reads",
  async (target) => {
    using session = new Session(target);
    const prefix = `${target.name}/large/`;
    for (let index = 0; index < 60; index++) {
      await session.direct.put(`${prefix}${index}`, String(index).padEnd(100 * KIB, "."));
    }
    using deaf = await RawClient.connect(target.address, { windowBytes: 65_535 });
    const unread = deaf.call(KV.method.range, rangeRequest(prefixOf(prefix)), () => false);
    unread.halfClose();
    await unread.begun;
    const calls = Array.from({ length: 9 }, () => session.connect().range(prefixOf(prefix)));
    for (const { kvs } of await withDeadline(Promise.all(calls), () => "nine answers of 6 MiB")) {
      const told = kvs.map(({ key, value }) => [Buffer.from(key).toString(), value.length]);
      expect(told).toHaveLength(60);
      expect(told.filter(([, length]) => length !== 100 * KIB)).toEqual([]);
    }
  },
  { timeoutMs: 90_000 },
);

eachTarget("reads that are given up, or run out of time, harm nobody else's", async (target) => {
  using session = new Session(target);
  const { client } = session;
  const key = `${target.name}/given-up`;
  await client.put(key, "1");
  const others = Array.from({ length: 4 }, () => session.connect());
  await Promise.all(
    others.map(async (other, index) => {
      for (let round = 0; round < 40; round++) {
        const options = round % 2 === 0 ? LINEARIZABLE : SERIALIZABLE;
        const hasty = client.open({ key }, options, index % 2 === 0 ? { timeoutMs: 1 } : {});
        const answer = other.get(key, options);
        if (index % 2 === 1) hasty.cancel();
        expect(await answer).toBe("1");
        await hasty.status;
      }
    }),
  );
});

eachTarget("a grant counts from its acknowledgement on, and a revocation too", async (target) => {
  using session = new Session(target);
  const root = new Accounts(session.client.grpc);
  const user = `${target.name}-reader`;
  await session.client.put("granted/a", "1");
  await root.addRoot().catch(() => {}); // There already, from another target's turn.
  await root.addRole(`${user}s`, [prefixOf("granted/")]);
  await root.addUser(user);
  await root.enable();
  try {
    const reader = session.connect({ ...(await root.logIn(user)) });
    const stranger = session.connect();
    const refusal = async (client: ReadClient, options: ReadOptions): Promise<number> =>
      (await statusOf(client.get("granted/a", options))).code;
    for (let round = 0; round < 3; round++) {
      for (const options of [SERIALIZABLE, LINEARIZABLE]) {
        expect(await refusal(reader, options)).toBe(PERMISSION_DENIED);
      }
      await root.grantRole(user, `${user}s`);
      for (const options of [SERIALIZABLE, LINEARIZABLE, SERIALIZABLE]) {
        expect(await reader.get("granted/a", options)).toBe("1");
        expect(await refusal(stranger, options)).toBe(INVALID_ARGUMENT);
      }
      await root.revokeRole(user, `${user}s`);
    }
  } finally {
    await root.disable();
  }
});
