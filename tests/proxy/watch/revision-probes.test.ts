/** Probes of the revision, to members that answer late or never, on a clock that the test moves. */
import { create, toBinary } from "@bufbuild/protobuf";
import { beforeEach, expect, test } from "bun:test";
import { ResponseHeaderSchema } from "../../../src/gen/etcdserverpb/header_pb.ts";
import { WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { Code } from "../../../src/grpc/status.ts";
import { type ProbeAnswer, RevisionProbes } from "../../../src/proxy/watch/revision-probes.ts";
import type {
  RevisionReadHandler,
  WatchCall,
  WatchCallHandler,
  WatchCalls,
} from "../../../src/proxy/watch/watch-calls.ts";
import { WATCH_LIMITS } from "../../../src/proxy/watch/watch-limits.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

const { hangMs } = WATCH_LIMITS;

/** What was sent to members, which answer when the test says so. */
class SilentMember implements WatchCalls {
  readonly reads: RevisionReadHandler[] = [];
  readonly watches: WatchCallHandler[] = [];
  cancelled = 0;

  open(_token: string, _requireLeader: boolean, handler: WatchCallHandler): WatchCall {
    this.watches.push(handler);
    return { send() {}, consume() {}, reject() {}, cancel: () => this.cancelled++ };
  }

  readRevision(...[, , , handler]: Parameters<WatchCalls["readRevision"]>): void {
    this.reads.push(handler);
  }

  readLatest(): void {}
  tellOfLimit(): void {}

  answer(read: number, revision: number): void {
    const bytes = toBinary(
      ResponseHeaderSchema,
      create(ResponseHeaderSchema, { revision: BigInt(revision) }),
    );
    this.reads[read]!.onHeader(bytes, 0, bytes.length);
  }
}

let clock: FakeClock;
let member: SilentMember;
let probes: RevisionProbes;
/** Who was told what, in order. */
let heard: [who: string, what: number | string][];

beforeEach(() => {
  clock = new FakeClock();
  member = new SilentMember();
  probes = new RevisionProbes(member, clock, hangMs, () => null);
  heard = [];
});

function ask(who: string): void {
  probes.ask("", null, 0, (answer) => heard.push([who, told(answer)]));
  clock.endTurn();
}

function refusedWatch(revision: number): Uint8Array {
  const header = { revision: BigInt(revision) };
  return toBinary(
    WatchResponseSchema,
    create(WatchResponseSchema, { header, created: true, canceled: true }),
  );
}

function told(answer: ProbeAnswer): number | string {
  return answer.kind === "allowed" ? answer.header.revision : answer.kind;
}

test("who asks while a probe is under way shares the next one, which waits for its end", () => {
  ask("first");
  ask("second");
  ask("third");
  clock.advance(hangMs - 1);
  expect(member.reads).toHaveLength(1);
  member.answer(0, 5);
  expect([heard, member.reads.length]).toEqual([[["first", 5]], 2]);
  member.answer(1, 6);
  expect(heard.slice(1)).toEqual([
    ["second", 6],
    ["third", 6],
  ]);
  expect(clock.timers).toBe(0);
});

test("a probe that a member has swallowed holds the next one up for a while only, and is heard when it ends after all", () => {
  ask("first");
  clock.advance(hangMs / 2);
  ask("second");
  clock.advance(hangMs / 2 - 1);
  expect(member.reads).toHaveLength(1);
  clock.advance(1);
  expect(member.reads).toHaveLength(2);
  member.answer(1, 6);
  expect(heard).toEqual([["second", 6]]);
  member.answer(0, 5);
  expect(heard).toEqual([
    ["second", 6],
    ["first", 5],
  ]);
  expect([member.reads.length, clock.timers]).toEqual([2, 0]);
});

test("the end of a probe that was overtaken lets nobody overtake the one under way", () => {
  ask("first");
  ask("second");
  clock.advance(hangMs);
  ask("third");
  member.answer(0, 5);
  expect([heard, member.reads.length]).toEqual([[["first", 5]], 2]);
  member.answer(1, 6);
  member.answer(2, 7);
  expect(heard.slice(1)).toEqual([
    ["second", 6],
    ["third", 7],
  ]);
});

test("who comes long after a probe was swallowed does not wait for it at all", () => {
  ask("first");
  clock.advance(10 * hangMs);
  ask("second");
  clock.advance(0);
  expect(member.reads).toHaveLength(2);
});

test("a refused caller does not wait for a member that has swallowed the question who it is", () => {
  ask("refused");
  member.reads[0]!.onFailed({ code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" });
  clock.advance(60_000);
  expect([heard, member.cancelled]).toEqual([[], member.watches.length - 1]);
  const bytes = refusedWatch(7);
  member.watches.at(-1)!.onResponse(bytes, 0, bytes.length);
  expect([heard, clock.timers]).toEqual([[["refused", "refused"]], 0]);
});
