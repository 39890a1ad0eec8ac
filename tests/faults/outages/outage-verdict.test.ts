/** The judge of outages finds what is lost, missed, doubled and misplaced, and nothing else. */
import { expect, test } from "bun:test";
import type { Change } from "../change.ts";
import { WatchHistory } from "../watch-history.ts";
import { eventCounts, lostLeases, lostWrites } from "./outage-verdict.ts";

function change(revision: number, key = "w/a", type: Change["type"] = "put"): Change {
  return { revision, type, key, pair: `1/${revision}/1/0 value ${revision}`, previous: undefined };
}

/** A watch of "w/a" from revision 11 on, that was told of these revisions. */
function told(...revisions: readonly number[]): WatchHistory {
  const history = new WatchHistory({ key: "w/a" });
  history.entries.push({ kind: "created", revision: 10 });
  for (const revision of revisions) {
    history.entries.push({ kind: "events", revision, changes: [change(revision)], fragment: false });
  }
  return history;
}

const truth = { changes: [change(10), change(11), change(12), change(12, "other"), change(13)] };

test("an acknowledged write is lost unless etcd has it at its revision, with its value", () => {
  const write = { key: "w/a", value: "value 11", revision: 11 };
  expect(lostWrites([write], truth)).toEqual([]);
  for (const wrong of [{ revision: 12 }, { key: "w/b" }, { value: "value 1" }, { revision: 99 }]) {
    expect(lostWrites([write, { ...write, ...wrong }], truth)).toHaveLength(1);
  }
});

test("a write whose key was deleted at its revision is lost", () => {
  const deleted = { changes: [change(11, "w/a", "delete")] };
  expect(lostWrites([{ key: "w/a", value: "value 11", revision: 11 }], deleted)).toHaveLength(1);
});

test("a lease is lost when its key was deleted after it was attached", () => {
  const held = { key: "lease", revision: 5 };
  expect(lostLeases([held], { changes: [change(4, "lease", "delete"), change(5, "lease")] })).toEqual([]);
  expect(lostLeases([held], { changes: [change(6, "another", "delete")] })).toEqual([]);
  expect(lostLeases([held], { changes: [change(6, "lease", "delete")] })).toHaveLength(1);
});

test.each([
  ["all", [11, 12, 13], { missed: 0, doubled: 0, misplaced: 0 }],
  ["all but one", [11, 13], { missed: 1, doubled: 0, misplaced: 0 }],
  ["nothing", [], { missed: 3, doubled: 0, misplaced: 0 }],
  ["one twice", [11, 12, 12, 13], { missed: 0, doubled: 1, misplaced: 0 }],
  ["one too late", [12, 11, 13], { missed: 0, doubled: 0, misplaced: 1 }],
  ["one from before its time", [10, 11, 12, 13], { missed: 0, doubled: 0, misplaced: 1 }],
  ["one that never was", [11, 12, 13, 14], { missed: 0, doubled: 0, misplaced: 1 }],
])("a watch that was told %s is counted so", (_what, revisions, counts) => {
  expect(eventCounts(told(...revisions), truth)).toEqual(counts);
});

test("a watch from the past is due what came from its first revision on", () => {
  const history = new WatchHistory({ key: "w/a", startRevision: 10 });
  expect(eventCounts(history, truth).missed).toBe(4);
});
