/**
 * Requests that nobody would write, sent to an etcd directly and to its twin through the compiled grpc-proxy: both answer
 * the same.
 *
 * Whatever the proxy reads in a request, to share a read, to keep it, to drop what a write changes, it must read as
 * etcd does: else an answer differs, at the latest that of the reads behind each request. An input leaves its keys
 * behind only for itself; revisions go on. An input that etcd itself does not survive (there are some: an unknown sort
 * order of Range makes old ones panic) tells nothing, and the next one finds new etcds.
 */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import {
  create,
  type DescMethodUnary,
  fromBinary,
  type JsonValue,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { SERVICES } from "../../src/etcd/services.ts";
import { Auth } from "../../src/gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV, RangeRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import {
  Lease,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
} from "../../src/gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Watch, WatchRequestSchema, WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Election } from "../../src/gen/v3electionpb/election_pb.ts";
import { Lock } from "../../src/gen/v3lockpb/lock_pb.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { methodPath } from "../harness/grpc-client.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated } from "./mutation.ts";
import { judge, type NoiseOptions, noisyMessage } from "./protobuf-noise.ts";
import { ALL_KEYS, type Answer, type ReadAnswer, TwinEtcds } from "./twin-etcds.ts";

const START_MS = 120_000;
const STOP_MS = 30_000;

let twins: TwinEtcds;

beforeAll(async () => {
  twins = await TwinEtcds.start();
}, START_MS);

afterAll(() => twins[Symbol.asyncDispose](), STOP_MS);

/** Registers a test with inputs of which `body` sends each to both etcds. */
function fuzzBoth(name: string, inputs: number, body: (random: SeededRandom) => Promise<void>): void {
  fuzz(name, { inputs }, async (random) => {
    try {
      await body(random);
    } catch (error) {
      if (!(await twins.directEnded())) throw error;
      expect(twins.proxy.running).toBe(true);
      await twins[Symbol.asyncDispose]();
      twins = await TwinEtcds.start();
    }
    expect(twins.proxy.running).toBe(true);
  });
}

/**
 * Left out: what would end the cluster (RoleGrantPermission without a permission makes etcd panic), wait for others,
 * expire by time, choose ids by chance (Proclaim and Resign make sessions), or cost much (passwords).
 */
const LEFT_OUT = new Set<unknown>([
  Cluster.method.memberAdd,
  Maintenance.method.alarm,
  Maintenance.method.downgrade,
  Maintenance.method.defragment,
  Lease.method.leaseGrant,
  Auth.method.authEnable,
  Auth.method.roleGrantPermission,
  Auth.method.userAdd,
  Auth.method.userChangePassword,
  Lock.method.lock,
  Election.method.campaign,
  Election.method.proclaim,
  Election.method.resign,
]);
const UNARY = SERVICES.flatMap((service) => service.methods).filter(
  (method): method is DescMethodUnary => method.methodKind === "unary" && !LEFT_OUT.has(method),
);
/** Writes more often than others. */
const KV_METHODS: readonly DescMethodUnary[] = [
  ...UNARY.filter(({ parent }) => parent === KV),
  KV.method.put,
  KV.method.put,
  KV.method.txn,
];

async function expectSame(method: DescMethodUnary, request: Uint8Array): Promise<void> {
  const [theirs, ours] = await twins.both(methodPath(method), request);
  const what = `${method.name} ${hex(request)}`;
  const withRevision = !isSerializableRange(method, request);
  expect({ what, ...comparable(method, ours, withRevision) }).toEqual({
    what,
    ...comparable(method, theirs, withRevision),
  });
}

/** A read whose answer may be kept: its header is as old as that, when other keys have changed since. */
function isSerializableRange(method: DescMethodUnary, request: Uint8Array): boolean {
  try {
    return method === KV.method.range && fromBinary(RangeRequestSchema, request).serializable;
  } catch {
    return false;
  }
}

/** Of the answers of KV everything but who gave it; of others the outcome, since members differ. */
function comparable(
  method: DescMethodUnary,
  { code, text, message }: Answer,
  withRevision: boolean,
): Record<string, unknown> {
  if (message === null || method.parent !== KV) return { code, text };
  const answer = toJson(method.output, fromBinary(method.output, message));
  return { code, text, answer: withoutMembers(answer, withRevision) };
}

/** The answer with nothing but the revision of each header, or nothing of it. */
function withoutMembers(value: JsonValue, withRevision: boolean): JsonValue {
  if (Array.isArray(value)) return value.map((item) => withoutMembers(item, withRevision));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      if (name !== "header") return [name, withoutMembers(field, withRevision)];
      return [name, withRevision ? ((field as Record<string, JsonValue>)["revision"] ?? "0") : "…"];
    }),
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function request(method: DescMethodUnary, random: SeededRandom): Uint8Array {
  const one = (): Uint8Array => noisyMessage(method.input, random, LIKELY);
  if (random.chance(0.5)) return one();
  const bytes = noisyMessage(method.input, random, { knownEnums: true });
  if (random.chance(0.6)) return mutated(bytes, random, [one()]);
  return random.chance(0.05) ? garbage(random, 40) : bytes;
}

/** Without the fields by which etcd refuses nearly all writes. */
const LIKELY: NoiseOptions = {
  knownEnums: true,
  leftOut: ["lease", "ignore_value", "ignore_lease", "compare", "request_txn"],
};

/** Reads behind each request: of all keys from the member, of all and of single ones from the cache, unless they changed. */
const READS = [
  { ...ALL_KEYS },
  { ...ALL_KEYS, serializable: true },
  ...["a", "b", "foo"].map((key) => ({ key: Buffer.from(key), serializable: true })),
].map((read) => toBinary(RangeRequestSchema, create(RangeRequestSchema, read)));

describe("through the grpc-proxy as directly", () => {
  fuzzBoth("requests of KV are answered, and the reads behind them", 80, async (random) => {
    await twins.startAfresh();
    for (let left = 1 + random.below(5); left > 0; left--) {
      const method = random.pick(KV_METHODS);
      await expectSame(method, request(method, random));
      for (const read of READS) await expectSame(KV.method.range, read);
    }
  });

  fuzzBoth("requests of each unary method are answered", 200, async (random) => {
    const method = random.pick(UNARY);
    await expectSame(method, request(method, random));
  });

  /** The id of the last request, which no other one may have: after its answer nothing more is read. */
  const LAST = 7_777_777n;
  const LAST_HEX = "f1dbda03";
  const lastCreate = toBinary(
    WatchRequestSchema,
    create(WatchRequestSchema, {
      requestUnion: { case: "createRequest", value: { key: Buffer.from("last"), watchId: LAST } },
    }),
  );

  fuzzBoth("watches of a stream are created or refused", 60, async (random) => {
    const requests = Array.from({ length: 1 + random.below(3) }, () => {
      const bytes = noisyMessage(WatchRequestSchema, random);
      return random.chance(0.3) ? mutated(bytes, random, [lastCreate]) : bytes;
    })
      .filter((bytes) => !judge(WatchRequestSchema, bytes).disputed && !startsBelowZero(bytes))
      .filter((bytes) => !hex(bytes).includes(LAST_HEX));
    const read: ReadAnswer = (answer) => {
      const { watchId, created, canceled, cancelReason } = fromBinary(WatchResponseSchema, answer);
      // What comes of a watch comes in its own time: events, progress, the end of one that is compacted.
      if (!created) return { line: null, isLast: false };
      return { line: `${watchId} ${canceled} ${cancelReason}`, isLast: watchId === LAST && !canceled };
    };
    const path = methodPath(Watch.method.watch);
    const [theirs, ours] = await twins.bothStreams(path, [...requests, lastCreate], read);
    const what = requests.map(hex);
    expect({ what, said: ours }).toEqual({ what, said: theirs });
  });

  const lastHeartbeat = toBinary(
    LeaseKeepAliveRequestSchema,
    create(LeaseKeepAliveRequestSchema, { ID: LAST }),
  );

  fuzzBoth("heartbeats are answered", 60, async (random) => {
    const requests = Array.from({ length: 1 + random.below(3) }, () => {
      const bytes = noisyMessage(LeaseKeepAliveRequestSchema, random);
      return random.chance(0.3) ? mutated(bytes, random, [lastHeartbeat]) : bytes;
    })
      .filter((bytes) => !judge(LeaseKeepAliveRequestSchema, bytes).disputed)
      .filter((bytes) => !hex(bytes).includes(LAST_HEX));
    const read: ReadAnswer = (answer) => {
      const { ID, TTL } = fromBinary(LeaseKeepAliveResponseSchema, answer);
      return { line: `${ID} ${TTL}`, isLast: ID === LAST };
    };
    const path = methodPath(Lease.method.leaseKeepAlive);
    const [theirs, ours] = await twins.bothStreams(path, [...requests, lastHeartbeat], read);
    const what = requests.map(hex);
    expect({ what, said: ours }).toEqual({ what, said: theirs });
  });
});

/** Old etcds open such a watch and cancel it at once, newer ones and the proxy refuse it. */
function startsBelowZero(bytes: Uint8Array): boolean {
  try {
    const { requestUnion } = fromBinary(WatchRequestSchema, bytes);
    return requestUnion.case === "createRequest" && requestUnion.value.startRevision < 0n;
  } catch {
    return false;
  }
}
