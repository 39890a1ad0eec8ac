/**
 * Random walks through what can happen to a kv hub: a list of plain commands, so that a walk that fails can be shrunk
 * and told. A number picks among what is possible at that moment, by its remainder.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  type RequestOpSchema,
  TxnRequestSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { LeaseRevokeRequestSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Code, type Status } from "../../../src/grpc/status.ts";
import { REFUSED } from "./model-channel.ts";
import type { KvWorld } from "./kv-world.ts";
import { KEYS, PATHS } from "./model-etcd.ts";

const RANGES: readonly (readonly [key: string, rangeEnd: string])[] = [
  ["a", ""],
  ["a", ""],
  ["b", ""],
  ["a", "c"],
  ["b", "d"],
  ["b", "\0"],
  ["\0", "\0"],
  ["c", "a"],
];
const TOKENS = ["", "", "ann"] as const;

/** What a member says instead of an answer; `unknown`: the call may have run. */
const FAILURES: readonly { readonly status: Status; readonly unknown: boolean }[] = [
  { status: { code: Code.UNAVAILABLE, message: "etcdserver: no leader" }, unknown: false },
  { status: { code: Code.UNAVAILABLE, message: "etcdserver: request timed out" }, unknown: true },
  { status: { code: Code.OUT_OF_RANGE, message: "refused" }, unknown: false },
];

export type Command = (
  | {
      readonly kind: "read";
      /** So many callers ask it. */
      readonly callers: number;
      readonly range: number;
      readonly serializable: boolean;
      /** 0: the latest; else how many revisions back. */
      readonly back: number;
      readonly token: number;
      readonly requireLeader: boolean;
      readonly inTxn: boolean;
      readonly window: number;
      readonly deadlineMs: number;
    }
  | {
      readonly kind: "write";
      readonly what: "put" | "delete" | "txn" | "revoke" | "compact" | "auth";
      readonly key: number;
      readonly range: number;
      readonly size: number;
      readonly compressed: boolean;
    }
  | { readonly kind: "direct"; readonly key: number; readonly size: number }
  | { readonly kind: "happen"; readonly pick: number; readonly times: number; readonly bytes: number }
  | { readonly kind: "refuse" | "cancel" | "connect" | "tell" | "time"; readonly amount: number }
  | { readonly kind: "fail" | "take" | "apply"; readonly pick: number; readonly amount: number }
  | { readonly kind: "cut" | "full" }
) & { readonly sameTurn: boolean };

export interface WalkKind {
  /** Connections are lost, members change and lag, calls fail. */
  readonly trouble: boolean;
}

const pick = fc.nat(1000);

function kind<const K extends string>(...names: K[]): { kind: fc.Arbitrary<K> } {
  return { kind: fc.constantFrom(...names) };
}

function rarely(): fc.Arbitrary<boolean> {
  return fc.nat(9).map((n) => n === 9);
}

const smooth = [
  {
    weight: 14,
    arbitrary: fc.record({
      ...kind("read"),
      callers: fc.constantFrom(1, 1, 1, 2, 3),
      range: fc.nat(RANGES.length - 1),
      serializable: fc.boolean(),
      back: fc.nat(15).map((n) => (n > 13 ? n - 13 : 0)),
      token: fc.nat(TOKENS.length - 1),
      requireLeader: rarely(),
      inTxn: rarely(),
      window: fc.nat(6),
      deadlineMs: fc.nat(9).map((n) => (n === 9 ? 700 : Number.POSITIVE_INFINITY)),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      ...kind("write"),
      what: fc.constantFrom("put", "put", "put", "delete", "txn", "revoke", "compact", "auth"),
      key: fc.nat(KEYS.length - 1),
      range: fc.nat(RANGES.length - 1),
      size: fc.nat(9),
      compressed: rarely(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ ...kind("direct"), key: fc.nat(KEYS.length - 1), size: fc.nat(9) }) },
  {
    weight: 30,
    arbitrary: fc.record({
      ...kind("happen"),
      pick,
      times: fc.integer({ min: 1, max: 6 }),
      bytes: fc.constantFrom(1, 30, 60, 1000, 1000, 1000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ ...kind("cancel"), amount: pick }) },
  { weight: 4, arbitrary: fc.record({ ...kind("take"), pick, amount: fc.nat(300) }) },
  { weight: 3, arbitrary: fc.record({ ...kind("tell"), amount: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ ...kind("time"), amount: fc.oneof(fc.nat(300), fc.nat(3000)) }) },
] as const;
const troubled = [
  ...smooth,
  { weight: 2, arbitrary: fc.record({ ...kind("connect"), amount: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record(kind("cut", "full")) },
  { weight: 1, arbitrary: fc.record({ ...kind("refuse"), amount: pick }) },
  { weight: 2, arbitrary: fc.record({ ...kind("fail"), pick, amount: fc.nat(FAILURES.length - 1) }) },
  {
    weight: 3,
    arbitrary: fc.record({ ...kind("apply"), pick: fc.nat(2), amount: fc.integer({ min: 1, max: 4 }) }),
  },
] as const;

export function walks({ trouble }: WalkKind): fc.Arbitrary<Command[]> {
  const what: fc.Arbitrary<Omit<Command, "sameTurn">> = trouble ? fc.oneof(...troubled) : fc.oneof(...smooth);
  const command = fc
    .tuple(what, fc.nat(3))
    .map(([what, turn]) => ({ ...what, sameTurn: turn === 3 }) as Command);
  return fc.array(command, { minLength: 1, maxLength: 60, size: "max" });
}

/** Does what a command says; without anything to do it to, nothing. */
export function walk(world: KvWorld, command: Command): void {
  step(world, command);
  if (!command.sameTurn) world.scene.clock.endTurn();
  world.notice();
}

function step(world: KvWorld, command: Command): void {
  const { etcd, scene } = world;
  switch (command.kind) {
    case "read": {
      const { range, back, token, window, serializable, requireLeader, inTxn, deadlineMs } = command;
      const [key, rangeEnd] = RANGES[range]!;
      const wish = {
        key,
        rangeEnd,
        serializable,
        revision: back === 0 ? 0 : Math.max(1, etcd.revision - back),
        token: TOKENS[token]!,
        requireLeader,
        inTxn,
        windowBytes: window < 2 ? window * 40 : Number.POSITIVE_INFINITY,
        deadlineMs,
      };
      for (let caller = 0; caller < command.callers; caller++) world.read(wish);
      break;
    }
    case "write":
      world.write(...writeOf(command, etcd.revision), command.compressed);
      break;
    case "direct":
      etcd.write([[KEYS[command.key]!, valueOf(command.size, etcd.revision)]]);
      break;
    case "happen":
      for (let time = 0; time < command.times; time++) {
        const { open } = world;
        const running = open[(command.pick + time * 7) % open.length];
        if (running !== undefined) world.proceed(running, command.bytes);
        if (!command.sameTurn) scene.clock.endTurn();
        world.notice();
      }
      break;
    case "refuse": {
      const unrun = world.open.filter(({ outcome }) => outcome === null);
      unrun[command.amount % unrun.length]?.call.end(REFUSED);
      break;
    }
    case "fail": {
      const { open } = world;
      const { status, unknown } = FAILURES[command.amount]!;
      const running = open[command.pick % open.length];
      if (running !== undefined) world.fail(running, status, unknown);
      break;
    }
    case "cancel": {
      const calls = scene.clients.filter(({ done }) => !done);
      calls[command.amount % calls.length]?.cancel();
      break;
    }
    case "take": {
      const calls = scene.clients.filter(({ queuedBytes }) => queuedBytes > 0);
      calls[command.pick % calls.length]?.take(command.amount);
      break;
    }
    case "tell":
      world.tell(command.amount);
      break;
    case "time":
      scene.clock.advance(command.amount);
      break;
    case "connect":
      world.connect(command.amount);
      break;
    case "cut":
      world.cut();
      break;
    case "full":
      if (scene.channel.current !== null) scene.channel.current.canOpen = !scene.channel.current.canOpen;
      scene.channel.serveWaiting();
      break;
    case "apply":
      etcd.applied[command.pick] = Math.min(etcd.revision, etcd.applied[command.pick]! + command.amount);
      break;
  }
}

function writeOf(
  { what, key, range, size }: Command & { kind: "write" },
  revision: number,
): [path: string, message: Uint8Array] {
  const name = KEYS[key]!;
  const put = { key: Buffer.from(name), value: Buffer.from(valueOf(Math.max(size, 3), revision)!) };
  const [start, end] = RANGES[range]!;
  const removal = { key: Buffer.from(start), rangeEnd: Buffer.from(end) };
  switch (what) {
    case "put":
      return [PATHS.put, toBinary(PutRequestSchema, create(PutRequestSchema, put))];
    case "delete":
      return [
        PATHS.deleteRange,
        toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, removal)),
      ];
    case "txn": {
      const op: MessageInitShape<typeof RequestOpSchema> =
        size % 2 === 0
          ? { request: { case: "requestPut", value: put } }
          : { request: { case: "requestDeleteRange", value: removal } };
      const txn = size < 5 ? { success: [op] } : { failure: [op] };
      return [PATHS.txn, toBinary(TxnRequestSchema, create(TxnRequestSchema, txn))];
    }
    case "revoke":
      return [
        PATHS.revoke,
        toBinary(LeaseRevokeRequestSchema, create(LeaseRevokeRequestSchema, { ID: BigInt(key) })),
      ];
    case "auth":
      return [PATHS.auth, new Uint8Array(0)];
    case "compact": {
      const at = BigInt(Math.max(1, revision - size));
      return [
        PATHS.compact,
        toBinary(CompactionRequestSchema, create(CompactionRequestSchema, { revision: at })),
      ];
    }
  }
}

/** A value of a size that the number stands for, or a deletion. */
function valueOf(size: number, revision: number): string | null {
  if (size <= 1) return null;
  return `${revision}`.padEnd(size >= 7 ? 300 : size === 6 ? 120 : size, "v");
}
