/**
 * Random walks through what can happen to a watch hub: a list of plain commands, so that a walk that fails can be
 * shrunk and told. A number picks among what is possible at that moment, by its remainder.
 */
import fc from "fast-check";
import type { Wish } from "./client-watch.ts";
import type { KeyRange } from "./key-range.ts";
import type { ModelClient } from "./model-client.ts";
import { CONNECTION_LOST, type ModelEtcdOptions } from "./model-etcd.ts";
import type { WatchWorld } from "./watch-world.ts";

const KEYS = ["a", "b", "c", "d"] as const;
const RANGES: readonly (readonly [key: string, rangeEnd: string])[] = [
  ["a", ""],
  ["b", ""],
  ["c", ""],
  ["a", "c"],
  ["b", "d"],
  ["a", "z"],
  ["b", "\0"],
  ["", "\0"],
  ["c", "a"],
];
export const TOKENS = ["ann-1", "ann-2", "bob-1", "eve-1"] as const;
/** Ann may watch everything, bob a part, eve nothing. */
export const PERMISSIONS: ModelEtcdOptions["permissions"] = {
  "ann-1": [{ key: "\0", end: undefined }],
  "ann-2": [{ key: "\0", end: undefined }],
  "bob-1": [{ key: "a", end: "c" }],
  "eve-1": [],
};

/** What the proxy's own user may watch, at one time or another. */
const OWN_RANGES: readonly (readonly KeyRange[])[] = [
  [{ key: "\0", end: undefined }],
  [{ key: "a", end: "c" }],
  [],
];

const UNKNOWN_ID = 99;

interface CreateCommand {
  readonly kind: "create";
  readonly client: number;
  readonly range: number;
  /** 0: now; else how many revisions above (or, negative, below) the store's. */
  readonly start: number;
  readonly id: number;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
}

export type Command = (
  | CreateCommand
  | { readonly kind: "happen"; readonly pick: number; readonly times: number }
  | { readonly kind: "write"; readonly changes: readonly (readonly [number, number])[] }
  | {
      readonly kind: "connect";
      readonly token: number;
      readonly requireLeader: boolean;
      readonly window: number;
    }
  | { readonly kind: "cancel" | "flush" | "read"; readonly client: number; readonly amount: number }
  | { readonly kind: "progress" | "report" | "reset" | "half-close"; readonly client: number }
  | {
      readonly kind: "time" | "compact" | "switch" | "cut" | "end call" | "expire" | "full";
      readonly amount: number;
    }
  | { readonly kind: "reachable" | "leader"; readonly on: boolean }
  | { readonly kind: "tick" | "shed" | "own ends" | "own turned away" }
  | { readonly kind: "own restricted"; readonly amount: number }
) & { readonly sameTurn?: boolean };

export interface WalkKind {
  /** Connections are lost, members change, tokens end, history is compacted. */
  readonly trouble: boolean;
  /** What happens to the proxy's own user: its token ends now and then, or it is also refused and restricted. */
  readonly own?: "ends" | "refused";
}

const pick = fc.nat(1000);

function kind<const K extends string>(...names: K[]): { kind: fc.Arbitrary<K> } {
  return { kind: fc.constantFrom(...names) };
}

const creations = fc.record({
  kind: fc.constant("create" as const),
  client: pick,
  range: fc.nat(RANGES.length - 1),
  start: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: -12, max: 3 }) },
  ),
  id: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) },
  ),
  prevKv: fc.boolean(),
  noPut: rarely(),
  noDelete: rarely(),
  fragment: fc.boolean(),
  progressNotify: fc.boolean(),
});

function rarely(): fc.Arbitrary<boolean> {
  return fc.nat(5).map((n) => n === 5);
}

const amounts = fc.oneof(fc.nat(40), fc.nat(1000));
const smooth: readonly fc.WeightedArbitrary<Command>[] = [
  { weight: 40, arbitrary: fc.record({ ...kind("happen"), pick, times: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      ...kind("write"),
      changes: fc.array(fc.tuple(fc.nat(KEYS.length - 1), fc.nat(9)), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...kind("connect"),
      token: fc.nat(TOKENS.length - 1),
      requireLeader: rarely(),
      window: pick,
    }),
  },
  { weight: 8, arbitrary: creations },
  { weight: 2, arbitrary: fc.record({ ...kind("cancel"), client: pick, amount: pick }) },
  { weight: 8, arbitrary: fc.record({ ...kind("flush"), client: pick, amount: amounts }) },
  { weight: 5, arbitrary: fc.record({ ...kind("read"), client: pick, amount: amounts }) },
  { weight: 4, arbitrary: fc.record({ ...kind("report"), client: pick }) },
  { weight: 3, arbitrary: fc.record({ ...kind("progress"), client: pick }) },
  { weight: 1, arbitrary: fc.record({ ...kind("reset"), client: pick }) },
  { weight: 1, arbitrary: fc.record({ ...kind("half-close"), client: pick }) },
  { weight: 3, arbitrary: fc.record({ ...kind("time"), amount: fc.oneof(fc.nat(50), fc.nat(20_000)) }) },
  { weight: 1, arbitrary: fc.record(kind("tick")) },
  { weight: 1, arbitrary: fc.record(kind("shed")) },
  { weight: 1, arbitrary: fc.record({ ...kind("full"), amount: pick }) },
];
const troubled: readonly fc.WeightedArbitrary<Command>[] = [
  ...smooth,
  { weight: 2, arbitrary: fc.record({ ...kind("compact"), amount: fc.nat(6) }) },
  { weight: 2, arbitrary: fc.record({ ...kind("switch"), amount: pick }) },
  { weight: 1, arbitrary: fc.record({ ...kind("cut"), amount: pick }) },
  { weight: 2, arbitrary: fc.record({ ...kind("end call"), amount: pick }) },
  { weight: 1, arbitrary: fc.record({ ...kind("expire"), amount: fc.nat(TOKENS.length - 1) }) },
  { weight: 1, arbitrary: fc.record({ ...kind("reachable"), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ ...kind("leader"), on: fc.boolean() }) },
];

const ownEnds: fc.WeightedArbitrary<Command> = { weight: 3, arbitrary: fc.record(kind("own ends")) };
const ownRefused: readonly fc.WeightedArbitrary<Command>[] = [
  { weight: 2, arbitrary: fc.record(kind("own turned away")) },
  { weight: 2, arbitrary: fc.record({ ...kind("own restricted"), amount: pick }) },
];

export function walks({ trouble, own }: WalkKind): fc.Arbitrary<Command[]> {
  const ofOwn = own === undefined ? [] : [ownEnds, ...(own === "refused" ? ownRefused : [])];
  const command = fc
    .tuple(fc.oneof(...(trouble ? troubled : smooth), ...ofOwn), rarely())
    .map(([what, sameTurn]): Command => (sameTurn ? { ...what, sameTurn } : what));
  return fc.array(command, { minLength: 1, maxLength: 250, size: "max" });
}

/** Does what a command says; without any client or call to do it to, nothing. */
export function walk(world: WatchWorld, command: Command): void {
  step(world, command);
  if (command.sameTurn !== true) world.clock.endTurn();
}

function step(world: WatchWorld, command: Command): void {
  const { etcd, clock } = world;
  switch (command.kind) {
    case "happen":
      for (let time = 0; time < command.times; time++) {
        const { actions } = etcd;
        actions[(command.pick + time * 7) % actions.length]?.run();
      }
      break;
    case "write":
      etcd.store.write(command.changes.map(([key, size]) => [KEYS[key]!, valueOf(size)]));
      break;
    case "connect":
      world.connect({
        token: etcd.wantsTokens ? TOKENS[command.token]! : "",
        requireLeader: command.requireLeader,
        windowBytes: command.window % 3 === 0 ? command.window : Number.POSITIVE_INFINITY,
      });
      break;
    case "time":
      clock.advance(command.amount);
      break;
    case "tick":
      for (const { stream } of etcd.calls) stream?.tickProgress();
      break;
    case "shed":
      world.hub.shedLargestQueue?.();
      break;
    case "full": {
      const stream = etcd.calls[command.amount % etcd.calls.length]?.stream;
      if (stream !== undefined) stream.full = !stream.full;
      break;
    }
    case "compact":
      etcd.store.compact(Math.max(1, etcd.store.revision - command.amount));
      break;
    case "switch":
      etcd.member = etcd.members[command.amount % etcd.members.length]!;
      break;
    case "cut":
      etcd.cut(etcd.members[command.amount % etcd.members.length]!);
      break;
    case "end call":
      etcd.calls[command.amount % etcd.calls.length]?.end(CONNECTION_LOST);
      break;
    case "expire":
      if (etcd.wantsTokens) etcd.expiredTokens.add(TOKENS[command.amount]!);
      break;
    case "own ends":
      etcd.own?.expire();
      break;
    case "own turned away":
      etcd.own?.turnAway();
      break;
    case "own restricted":
      etcd.own?.restrict(OWN_RANGES[command.amount % OWN_RANGES.length]!);
      break;
    case "reachable":
      etcd.reachable = command.on;
      break;
    case "leader":
      if (command.on) etcd.hasLeader = true;
      else etcd.loseLeader();
      break;
    default: {
      const client = world.clients[command.client % world.clients.length];
      if (client?.open === true) stepOf(client, command);
    }
  }
}

function stepOf(client: ModelClient, command: Command): void {
  switch (command.kind) {
    case "create":
      client.create(wishOf(command, client));
      if (command.client % 3 !== 0) client.flush();
      break;
    case "cancel": {
      const known = client.watches.filter(({ created }) => created);
      const watch = known[command.amount % known.length];
      client.cancel(watch?.id ?? UNKNOWN_ID);
      break;
    }
    case "progress":
      client.progress();
      break;
    case "flush":
      client.flush(command.amount);
      break;
    case "read":
      client.call.read(command.amount);
      break;
    case "report":
      client.call.report();
      break;
    case "reset":
      client.call.reset("the client has gone");
      break;
    case "half-close":
      client.halfClose();
      break;
    default:
  }
}

function wishOf(command: CreateCommand, client: ModelClient): Wish {
  const { start, range, id, prevKv, noPut, noDelete, fragment, progressNotify } = command;
  const [key, rangeEnd] = RANGES[range]!;
  const { revision } = client.store;
  const startRevision = start === 0 ? 0 : Math.max(1, revision + start);
  return { key, rangeEnd, startRevision, watchId: id, prevKv, noPut, noDelete, fragment, progressNotify };
}

/** A value of a size that the number stands for, or a deletion. */
function valueOf(size: number): string | undefined {
  if (size <= 2) return undefined;
  return size === 9 ? "w".repeat(120) : "v".repeat(size);
}
