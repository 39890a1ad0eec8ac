/** The judge of watch histories is itself judged: a history with any one fault is found out. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { ResponseHeaderSchema } from "../../src/gen/etcdserverpb/header_pb.ts";
import { WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Event_EventType } from "../../src/gen/mvccpb/kv_pb.ts";
import { changeOf } from "./change.ts";
import { ClusterHistory } from "./cluster-history.ts";
import { violationsOf, WatchHistory } from "./watch-history.ts";
import { ALL_KEYS, prefixed, type WatchPlan } from "./watch-plan.ts";

type Event = NonNullable<MessageInitShape<typeof WatchResponseSchema>["events"]>[number];

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function put(key: string, revision: number, previous?: number): Event {
  const kv = { key: bytes(key), modRevision: BigInt(revision), value: bytes(`v${revision}`) };
  if (previous === undefined) return { kv };
  return { kv, prevKv: { key: bytes(key), modRevision: BigInt(previous), value: bytes(`v${previous}`) } };
}

function deletion(key: string, revision: number): Event {
  return { type: Event_EventType.DELETE, kv: { key: bytes(key), modRevision: BigInt(revision) } };
}

/** What happened: a and b at 2, a at 3, b deleted at 4, c at 5. */
function truth(): ClusterHistory {
  const history = new ClusterHistory(1);
  const events = [put("a", 2), put("b", 2), put("a", 3), deletion("b", 4), put("c", 5)];
  for (const event of events)
    history.add(changeOf(create(WatchResponseSchema, { events: [event] }).events[0]!));
  return history;
}

/** A response, and the revision in its header. */
interface Heard {
  readonly at: number;
  readonly created?: true;
  readonly canceled?: true;
  readonly cancelReason?: string;
  readonly compactRevision?: bigint;
  readonly fragment?: true;
  readonly events?: Event[];
}
type Step = Heard | "another stream" | "given up";

const created = (at: number): Heard => ({ at, created: true });
const events = (at: number, ...told: Event[]): Heard => ({ at, events: told });
const fragment = (at: number, ...told: Event[]): Heard => ({ at, events: told, fragment: true });
const progress = (at: number): Heard => ({ at });

function judge(plan: WatchPlan, steps: readonly Step[], happened = truth()): string[] {
  const history = new WatchHistory(plan);
  for (const step of steps) {
    if (step === "another stream") history.resumed();
    else if (step === "given up") history.givenUp = true;
    else {
      const { at, ...response } = step;
      const header = create(ResponseHeaderSchema, { revision: BigInt(at) });
      history.take(create(WatchResponseSchema, { ...response, header }));
    }
  }
  return violationsOf(history, happened);
}

const two = [put("a", 2), put("b", 2)] as const;
const rest = [put("a", 3), deletion("b", 4), put("c", 5)] as const;
const all: WatchPlan = { ...ALL_KEYS, startRevision: 2 };

const right: readonly (readonly [what: string, plan: WatchPlan, steps: readonly Step[]])[] = [
  ["everything in one answer", all, [created(5), events(5, ...two, ...rest)]],
  ["everything in an answer for each revision", all, [created(5), events(5, ...two), events(5, ...rest)]],
  ["what came after the creation", ALL_KEYS, [created(3), events(5, deletion("b", 4), put("c", 5))]],
  ["its key only", { key: "a", startRevision: 1 }, [created(5), events(5, put("a", 2), put("a", 3))]],
  [
    "its prefix only",
    { ...prefixed("b"), startRevision: 1 },
    [created(5), events(5, put("b", 2), deletion("b", 4))],
  ],
  [
    "no deletions, as it asked",
    { ...all, without: ["delete"] },
    [created(5), events(5, ...two, put("a", 3), put("c", 5))],
  ],
  [
    "prev_kv, as it asked",
    { key: "a", startRevision: 1, prevKv: true },
    [created(5), events(5, put("a", 2), put("a", 3, 2))],
  ],
  ["true progress", all, [created(2), events(2, ...two), progress(2), events(5, ...rest), progress(5)]],
  [
    "fragments, as it asked",
    { ...all, fragment: true },
    [created(5), fragment(5, put("a", 2)), events(5, put("b", 2), ...rest)],
  ],
  [
    "half a message, then all of it on another stream",
    { ...all, fragment: true },
    [created(5), fragment(5, put("a", 2)), "another stream", created(5), events(5, ...two, ...rest)],
  ],
  [
    "the rest on another stream",
    all,
    [created(5), events(5, ...two), "another stream", created(5), events(5, ...rest)],
  ],
  ["a part, and then wanted no more", all, [created(5), events(5, ...two), "given up"]],
];

test.each(right)("a watch that was told %s was told right", (_what, plan, steps) => {
  expect(judge(plan, steps)).toEqual([]);
});

const wrong: readonly (readonly [what: string, found: string, plan: WatchPlan, steps: readonly Step[]])[] = [
  ["nothing", "never created", ALL_KEYS, []],
  ["an event before its creation", "events before created", all, [events(5, ...two, ...rest), created(5)]],
  [
    "its creation twice",
    "created twice on one stream",
    all,
    [created(5), created(5), events(5, ...two, ...rest)],
  ],
  [
    "all but the last revision",
    'put of "c" at 5 and what follows is missing',
    all,
    [created(5), events(5, ...two, put("a", 3), deletion("b", 4))],
  ],
  [
    "all but a revision in between",
    'delete of "b" at 4 in place of put of "a" at 3',
    all,
    [created(5), events(5, ...two, deletion("b", 4), put("c", 5))],
  ],
  [
    "all but one key of a revision",
    'put of "a" at 3 in place of put of "b" at 2',
    all,
    [created(5), events(5, put("a", 2), ...rest)],
  ],
  [
    "a revision twice",
    'put of "a" at 2 after 5',
    all,
    [created(5), events(5, ...two, ...rest), events(5, ...two)],
  ],
  [
    "a revision twice in one answer",
    'put of "a" at 2 in place of put of "a" at 3',
    all,
    [created(5), events(5, ...two, ...two, ...rest)],
  ],
  [
    "revisions in a wrong order",
    'put of "a" at 3 after 4',
    all,
    [created(5), events(5, ...two, deletion("b", 4), put("a", 3), put("c", 5))],
  ],
  [
    "keys of a revision in a wrong order",
    'put of "b" at 2 in place of put of "a" at 2',
    all,
    [created(5), events(5, put("b", 2), put("a", 2), ...rest)],
  ],
  [
    "a revision in two answers",
    'revision 2 is split: put of "b" at 2',
    all,
    [created(5), events(5, put("a", 2)), events(5, put("b", 2), ...rest)],
  ],
  [
    "fragments that it did not ask for",
    "a fragment that was not asked for",
    all,
    [created(5), fragment(5, put("a", 2)), events(5, put("b", 2), ...rest)],
  ],
  [
    "a message that never ended",
    'put of "a" at 2 and what follows is missing',
    { ...all, fragment: true },
    [created(5), fragment(5, put("a", 2))],
  ],
  [
    "a key out of its range",
    'put of "b" at 2 in place of put of "a" at 3',
    { key: "a", startRevision: 1 },
    [created(5), events(5, ...two, put("a", 3))],
  ],
  [
    "what it filters out",
    'put of "a" at 2 in place of delete of "b" at 4',
    { ...all, without: ["put"] },
    [created(5), events(5, ...two, ...rest)],
  ],
  [
    "what was before its creation",
    'put of "a" at 3 in place of delete of "b" at 4',
    ALL_KEYS,
    [created(3), events(5, ...rest)],
  ],
  [
    "another value",
    "with 0/3/0/0 other, it was 0/3/0/0 v3",
    { key: "a", startRevision: 3 },
    [created(5), events(5, { kv: { key: bytes("a"), modRevision: 3n, value: bytes("other") } })],
  ],
  [
    "no prev_kv, though it asked",
    "with prev_kv undefined, it was 0/2/0/0 v2",
    { key: "a", startRevision: 3, prevKv: true },
    [created(5), events(5, put("a", 3))],
  ],
  [
    "a wrong prev_kv",
    "with prev_kv 0/1/0/0 v1, it was 0/2/0/0 v2",
    { key: "a", startRevision: 3, prevKv: true },
    [created(5), events(5, put("a", 3, 1))],
  ],
  [
    "a prev_kv that it did not ask for",
    "a prev_kv that was not asked for",
    { key: "a", startRevision: 3 },
    [created(5), events(5, put("a", 3, 2))],
  ],
  [
    "progress that was not true yet",
    'put of "a" at 3 after progress 3',
    all,
    [created(3), events(3, ...two), progress(3), events(5, ...rest)],
  ],
  [
    "progress up to what never was",
    "a header at 9, which there never was",
    all,
    [created(5), events(5, ...two, ...rest), progress(9)],
  ],
  [
    "progress that goes back",
    "progress 4 after progress 5",
    all,
    [created(5), events(5, ...two, ...rest), progress(5), progress(4)],
  ],
  [
    "progress between fragments",
    "progress between fragments",
    { ...all, fragment: true },
    [created(5), fragment(5, put("a", 2)), progress(5), events(5, put("b", 2), ...rest)],
  ],
  [
    "under one header less than that says, so that it would resume behind the rest",
    "a header at 3 after one at 5",
    all,
    [created(5), events(5, ...two), events(3, put("a", 3)), events(5, deletion("b", 4), put("c", 5))],
  ],
  [
    "events newer than their header",
    "events up to 5 under a header at 4",
    all,
    [created(4), events(4, ...two, ...rest)],
  ],
  [
    "on another stream what it had already",
    'put of "a" at 2 after 5',
    all,
    [created(5), events(5, ...two, ...rest), "another stream", created(5), events(5, ...two)],
  ],
  [
    "an end without need",
    'canceled, reason "tired"',
    all,
    [created(5), events(5, ...two, ...rest), { at: 5, canceled: true, cancelReason: "tired" }],
  ],
  [
    "events after its end",
    "events after the watch was over",
    all,
    [created(5), "given up", { at: 5, canceled: true }, events(5, ...two)],
  ],
  [
    "a part with a hole, and then wanted no more",
    'put of "a" at 3 in place of put of "b" at 2',
    all,
    [created(5), events(5, put("a", 2), put("a", 3)), "given up"],
  ],
  [
    "progress beyond what it had, and then wanted no more",
    'put of "a" at 3 and what follows is missing',
    all,
    [created(5), events(5, ...two), progress(4), "given up"],
  ],
];

test.each(wrong)("a watch that was told %s was told wrong", (_what, found, plan, steps) => {
  const violations = judge(plan, steps);
  expect(violations.some((violation) => violation.includes(found)) || violations).toBe(true);
});

describe("after a compaction", () => {
  const compacted = (): ClusterHistory => {
    const history = truth();
    history.compactRevision = 4;
    return history;
  };
  const cancel = (compactRevision: bigint): Heard => ({ at: 0, canceled: true, compactRevision });

  test("a watch that was behind may be over, with the revision that is still there", () => {
    expect(judge(all, [created(5), events(5, ...two), cancel(4n)], compacted())).toEqual([]);
  });

  test("a watch that was not behind must not be over", () => {
    const steps = [created(5), events(5, ...two, put("a", 3)), cancel(4n)];
    expect(judge(all, steps, compacted())[0]).toContain("canceled as compacted at 4, was at 4");
  });

  test("a watch must not be over with a revision that was not compacted", () => {
    const steps = [created(5), events(5, ...two), cancel(5n)];
    expect(judge(all, steps, compacted())[0]).toContain("canceled as compacted at 5, beyond 4");
  });

  test("etcd no longer knows some pairs before a change", () => {
    const plan = { key: "a", startRevision: 3, prevKv: true };
    expect(judge(plan, [created(5), events(5, put("a", 3))], compacted())).toEqual([]);
  });
});

describe("etcd's own account", () => {
  const change = (key: string, revision: number, previous?: number) =>
    changeOf(create(WatchResponseSchema, { events: [put(key, revision, previous)] }).events[0]!);

  test("with a gap is refused", () => {
    expect(() => truth().add(change("a", 7))).toThrow('etcd told put of "a" at 7 after 5');
  });

  test("with a prev_kv that contradicts what came before is refused", () => {
    expect(() => truth().add(change("a", 6, 2))).toThrow("with prev_kv 0/2/0/0 v2, it was 0/3/0/0 v3");
  });
});
