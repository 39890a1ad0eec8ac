/** The checker of linearizability is itself checked: small histories of which one knows what they are. */
import { describe, expect, test } from "bun:test";
import { isLinearizable } from "./brute-force.ts";
import { check } from "./checker.ts";
import { verdictByValues } from "./close-up.ts";
import { describeVerdict } from "./excerpt.ts";
import type { Operation } from "./history.ts";
import { EVERY_KEY } from "./key-span.ts";
import { KvState } from "./kv-model.ts";
import type { Compare, KvAnswer, KvRequest, Pair } from "./kv-operation.ts";

/** From a call to a return, in an order that stands for time. */
type Times = readonly [callMs: number, returnMs: number];

function answered(
  [callMs, returnMs]: Times,
  request: KvRequest,
  revision: number,
  answer: KvAnswer,
): Operation {
  const outcome = { kind: "answered", revision, answer } as const;
  return { client: "a client", target: "a member", request, callMs, returnMs, outcome };
}

function unknown(callMs: number, request: KvRequest): Operation {
  const outcome = { kind: "unknown", why: "14 gone" } as const;
  return {
    client: "a client",
    target: "a proxy",
    request,
    callMs,
    returnMs: Number.POSITIVE_INFINITY,
    outcome,
  };
}

const put = (key: string, value: string): KvRequest => ({ kind: "put", key, value });
const puts = (times: Times, key: string, value: string, revision: number): Operation =>
  answered(times, put(key, value), revision, { kind: "put" });

const pair = (
  key: string,
  value: string,
  modRevision: number,
  createRevision = modRevision,
  version = 1,
): Pair => ({
  key,
  value,
  createRevision,
  modRevision,
  version,
});
const reads = (times: Times, key: string, revision: number, ...pairs: Pair[]): Operation =>
  answered(times, { kind: "range", key }, revision, { kind: "range", pairs, count: pairs.length });
const readsAll = (times: Times, revision: number, ...pairs: Pair[]): Operation =>
  answered(times, { kind: "range", ...EVERY_KEY }, revision, { kind: "range", pairs, count: pairs.length });
const deletes = (times: Times, key: string, revision: number, deleted: number): Operation =>
  answered(times, { kind: "delete", key }, revision, { kind: "delete", deleted, previous: [] });

/** A transaction that puts `value` while `condition` holds, and reads the key otherwise. */
const swap = (condition: Compare, value: string): KvRequest => ({
  kind: "txn",
  compare: [condition],
  success: [put(condition.key, value)],
  failure: [{ kind: "range", key: condition.key }],
});
const swaps = (times: Times, condition: Compare, value: string, revision: number): Operation =>
  answered(times, swap(condition, value), revision, {
    kind: "txn",
    succeeded: true,
    responses: [{ kind: "put" }],
  });
const keeps = (times: Times, condition: Compare, revision: number, ...pairs: Pair[]): Operation =>
  answered(times, swap(condition, "never"), revision, {
    kind: "txn",
    succeeded: false,
    responses: [{ kind: "range", pairs, count: pairs.length }],
  });

const isNew = (key: string): Compare => ({ key, target: "version", relation: "=", operand: 0 });
const isAt = (key: string, operand: number): Compare => ({ key, target: "mod", relation: "=", operand });

const a1 = pair("a", "a1", 2);
const a2 = pair("a", "a2", 3, 2, 2);

const linearizable: readonly (readonly [what: string, history: readonly Operation[]])[] = [
  ["nothing happens", []],
  ["a read shows the write before it", [puts([1, 2], "a", "a1", 2), reads([3, 4], "a", 2, a1)]],
  ["a read shows the write that it overlaps", [puts([1, 4], "a", "a1", 2), reads([2, 3], "a", 2, a1)]],
  ["a read does not show the write that it overlaps", [puts([1, 4], "a", "a1", 2), reads([2, 3], "a", 1)]],
  [
    "a read ends when the write begins: they overlap",
    [puts([3, 4], "a", "a1", 2), reads([1, 3], "a", 2, a1)],
  ],
  [
    "two reads that overlap a write differ",
    [puts([1, 9], "a", "a1", 2), reads([2, 3], "a", 1), reads([4, 5], "a", 2, a1)],
  ],
  [
    "of two writes that overlap, the later called is first",
    [puts([1, 5], "a", "a2", 3), puts([2, 6], "a", "a1", 2), reads([7, 8], "a", 3, a2)],
  ],
  ["a deletion is seen", [puts([1, 2], "a", "a1", 2), deletes([3, 4], "a", 3, 1), reads([5, 6], "a", 3)]],
  [
    "one of two that create a key finds it",
    [swaps([1, 9], isNew("a"), "a1", 2), keeps([2, 8], isNew("a"), 2, a1)],
  ],
  [
    "a swap by revision",
    [puts([1, 2], "a", "a1", 2), swaps([3, 4], isAt("a", 2), "a2", 3), reads([5, 6], "a", 3, a2)],
  ],
  [
    "an unknown write never takes effect",
    [unknown(1, put("a", "a1")), reads([2, 3], "a", 1), reads([4, 5], "a", 1)],
  ],
  [
    "an unknown write takes effect late",
    [unknown(1, put("a", "a1")), reads([2, 3], "a", 1), reads([40, 50], "a", 2, a1)],
  ],
  [
    "an unknown write takes effect between two others, and no read shows it",
    [
      unknown(1, put("b", "b1")),
      puts([2, 3], "a", "a1", 2),
      swaps([4, 5], isAt("a", 2), "a2", 4),
      reads([6, 7], "a", 4, pair("a", "a2", 4, 2, 2)),
    ],
  ],
  [
    "four unknown writes take effect in a row, and only the last is seen",
    [
      ...["a1", "a2", "a3", "a4"].map((value, index) => unknown(index, put("a", value))),
      swaps([7, 8], isAt("a", 5), "a5", 6),
      reads([9, 10], "a", 6, pair("a", "a5", 6, 2, 5)),
    ],
  ],
  [
    "an unknown deletion took effect",
    [puts([1, 2], "a", "a1", 2), unknown(3, { kind: "delete", key: "a" }), reads([4, 5], "a", 3)],
  ],
  [
    "a read of all keys shows two writes that overlap it",
    [puts([1, 9], "a", "a1", 2), puts([2, 9], "b", "b1", 3), readsAll([3, 4], 3, a1, pair("b", "b1", 3))],
  ],
];

test.each(linearizable)("linearizable: %s", (_what, history) => {
  for (const detail of ["revisions", "values"] as const) {
    expect(describeVerdict(check(history, { detail }))).toStartWith("linearizable");
    expect(isLinearizable(history, { detail })).toBe(true);
  }
});

const violated: readonly (readonly [what: string, history: readonly Operation[]])[] = [
  ["a stale read: it does not show the write before it", [puts([1, 2], "a", "a1", 2), reads([3, 4], "a", 1)]],
  [
    "a stale read of the value before",
    [puts([1, 2], "a", "a1", 2), puts([3, 4], "a", "a2", 3), reads([5, 6], "a", 2, a1)],
  ],
  [
    "a read of a value never written",
    [puts([1, 2], "a", "a1", 2), reads([3, 4], "a", 2, pair("a", "other", 2))],
  ],
  ["a read of a value that is written later", [reads([1, 2], "a", 2, a1), puts([3, 4], "a", "a1", 2)]],
  [
    "two reads go back in time",
    [puts([1, 9], "a", "a1", 2), reads([2, 3], "a", 2, a1), reads([4, 5], "a", 1)],
  ],
  [
    "a lost update: two swaps from the same revision",
    [puts([1, 2], "a", "a1", 2), swaps([3, 9], isAt("a", 2), "a2", 3), swaps([4, 8], isAt("a", 2), "a3", 4)],
  ],
  ["two create the same key", [swaps([1, 9], isNew("a"), "a1", 2), swaps([2, 8], isNew("a"), "a2", 3)]],
  [
    "a swap fails though its condition holds",
    [puts([1, 2], "a", "a1", 2), keeps([3, 4], isAt("a", 2), 2, a1)],
  ],
  [
    "a deletion is not seen",
    [puts([1, 2], "a", "a1", 2), deletes([3, 4], "a", 3, 1), reads([5, 6], "a", 2, a1)],
  ],
  ["a deletion finds nothing to delete", [puts([1, 2], "a", "a1", 2), deletes([3, 4], "a", 2, 0)]],
  [
    "an unknown write is seen, then not any more",
    [unknown(1, put("a", "a1")), reads([2, 3], "a", 2, a1), reads([4, 5], "a", 1)],
  ],
  ["an unknown write is seen before it was sent", [reads([1, 2], "a", 2, a1), unknown(3, put("a", "a1"))]],
  [
    "reads of all keys see two writes in opposite order",
    [
      puts([1, 9], "a", "a1", 2),
      puts([1, 9], "b", "b1", 3),
      readsAll([2, 8], 2, a1),
      readsAll([2, 8], 2, pair("b", "b1", 2)),
    ],
  ],
  [
    "a read shows half of a transaction",
    [
      answered(
        [1, 2],
        { kind: "txn", compare: [], success: [put("a", "a1"), put("b", "b1")], failure: [] },
        2,
        {
          kind: "txn",
          succeeded: true,
          responses: [{ kind: "put" }, { kind: "put" }],
        },
      ),
      readsAll([3, 4], 2, a1),
    ],
  ],
];

test.each(violated)("not linearizable, with or without revisions: %s", (_what, history) => {
  for (const detail of ["revisions", "values"] as const) {
    expect(describeVerdict(check(history, { detail }))).toStartWith("not linearizable");
    expect(isLinearizable(history, { detail })).toBe(false);
  }
});

const violatedByRevision: readonly (readonly [what: string, history: readonly Operation[]])[] = [
  ["two writes have one revision", [puts([1, 9], "a", "a1", 2), puts([1, 9], "b", "b1", 2)]],
  ["revisions go down", [puts([1, 2], "a", "a1", 3), puts([3, 4], "b", "b1", 2)]],
  [
    "an absent key is read at a revision from before a write of another",
    [puts([1, 2], "b", "b1", 2), reads([3, 4], "a", 1)],
  ],
  ["a revision is left out, and no unknown write can have been it", [puts([1, 2], "a", "a1", 3)]],
];

test.each(violatedByRevision)("not linearizable, as revisions tell: %s", (_what, history) => {
  expect(check(history, { detail: "revisions" }).kind).toBe("violation");
  expect(check(history, { detail: "values" }).kind).toBe("linearizable");
});

describe("a violation is told", () => {
  const history = [puts([1, 2], "a", "a1", 2), puts([3, 4], "a", "a2", 3), reads([5, 6], "a", 2, a1)];

  test("with the operations around it, clients, targets and times", () => {
    expect(describeVerdict(check(history, { detail: "values" }))).toBe(
      [
        "not linearizable; 2 operations can be put in order, these are the last writes of them:",
        '  1.000..2.000 a client -> a member: put "a"=a1 => at 2: put',
        '  3.000..4.000 a client -> a member: put "a"=a2 => at 3: put',
        "then the store is at 3 and holds a=a2@2/3/2",
        "and none of these can be the next, though the first of them has returned:",
        '  5.000..6.000 a client -> a member: range "a" => at 2: 1[a=a1@2/2/1]',
      ].join("\n"),
    );
  });

  test("with the word whether values alone show it", () => {
    const byRevision = [puts([1, 2], "b", "b1", 2), reads([3, 4], "a", 1)];
    for (const [found, operations] of [
      ["violation", history],
      ["linearizable", byRevision],
    ] as const) {
      const verdict = check(operations, { detail: "revisions" });
      if (verdict.kind === "linearizable") throw new Error("it is no violation");
      expect(verdictByValues(verdict, operations, new KvState())).toBe(found);
    }
  });

  test("as undecided when the search is too long", () => {
    expect(check(history, { detail: "values", stepsMax: 1 }).kind).toBe("undecided");
  });
});

test("keys are judged apart where no operation is about two, and one key's violation is found", () => {
  const writes = Array.from({ length: 200 }, (_, index) =>
    puts([index, index + 50], `k${index % 20}`, `v${index}`, index + 2),
  );
  const stale = reads([300, 301], "k3", 2, pair("k3", "v3", 5));
  expect(check(writes, { detail: "values" }).kind).toBe("linearizable");
  expect(check([...writes, stale], { detail: "values" }).kind).toBe("violation");
});
