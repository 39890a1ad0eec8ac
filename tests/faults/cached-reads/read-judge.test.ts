/** The judge of serializable reads is itself judged: answers that a cache kept for too long are found out. */
import { describe, expect, test } from "bun:test";
import type { Change } from "../change.ts";
import { EVERY_KEY, type KeySpan, withPrefix } from "../linearizability/key-span.ts";
import { type KeyAndPair, PastStates } from "./past-states.ts";
import { type Evidence, ReadJudge, type RecordedRead } from "./read-judge.ts";
import { answerFrom, type ReadAnswer, type ReadRequest } from "./read-request.ts";

const MEMBER = "7";
const LEASE = "99";

function put(key: string, revision: number, lease = "0", previous?: string): Change {
  return { revision, type: "put", key, pair: pairAt(revision, lease), previous };
}
function deletion(key: string, revision: number, previous: string): Change {
  return { revision, type: "delete", key, pair: `0/${revision}/0/0 `, previous };
}
const pairAt = (revision: number, lease = "0"): string => `${revision}/${revision}/1/${lease} v${revision}`;

/** What happened: a at 2, b at 3 with a lease, a at 4, b deleted at 5, a/1 and a/2 in one step at 6, c at 7. */
const states = new PastStates(1, [
  put("a", 2),
  put("b", 3, LEASE),
  put("a", 4, "0", pairAt(2)),
  deletion("b", 5, pairAt(3, LEASE)),
  put("a/1", 6),
  put("a/2", 6),
  put("c", 7),
]);

const none: Evidence = {
  states,
  writes: [],
  compactions: [],
  words: new Map(),
  watched: undefined,
  maxAgeMs: 1_000,
  slackMs: 100,
};

interface Told {
  readonly startMs?: number;
  readonly watchedRevision?: number;
  readonly memberId?: string;
  readonly answer?: ReadAnswer;
}

/** A read that begins at 5000 and is answered, rightly unless told otherwise, at `revision`. */
function readAt(request: ReadRequest, revision: number, told: Told = {}): RecordedRead {
  const { startMs = 5_000, watchedRevision = 0, memberId = MEMBER } = told;
  const held = states.at(request, (request.revision ?? 0) === 0 ? revision : request.revision!);
  const answer = told.answer ?? answerFrom(held, request);
  const outcome = { kind: "answered", revision, memberId, answer } as const;
  return { request, startMs, endMs: startMs + 1, watchedRevision, outcome };
}

const judge = (evidence: Partial<Evidence>, read: RecordedRead): string | undefined =>
  new ReadJudge({ ...none, ...evidence }).violation(read);
const acknowledged = (revision: number, ackMs: number, leaseId?: string) => ({
  writes: [{ revision, ackMs, memberId: MEMBER, ...(leaseId === undefined ? {} : { leaseId }) }],
});
const words = (atMs: number, revision: number) => ({ words: new Map([[MEMBER, [{ atMs, revision }]]]) });
const a = { key: "a" };
const b = { key: "b" };

describe("the content of an answer", () => {
  const right: readonly (readonly [what: string, request: ReadRequest, answer: ReadAnswer])[] = [
    ["a key", a, { pairs: [{ key: "a", pair: pairAt(4) }], count: 1, more: false }],
    ["a key that is gone", b, { pairs: [], count: 0, more: false }],
    [
      "keys without values",
      { ...a, keysOnly: true },
      { pairs: [{ key: "a", pair: "4/4/1/0 " }], count: 1, more: false },
    ],
    [
      "keys without values and leases",
      { ...b, keysOnly: true, revision: 3 },
      { pairs: [{ key: "b", pair: "3/3/1/0 " }], count: 1, more: false },
    ],
    ["a count", { ...EVERY_KEY, countOnly: true }, { pairs: [], count: 4, more: false }],
    [
      "the last of a prefix",
      { ...withPrefix("a"), limit: 1, descending: true },
      { pairs: [{ key: "a/2", pair: pairAt(6) }], count: 3, more: true },
    ],
    [
      "the past",
      { ...b, revision: 3 },
      { pairs: [{ key: "b", pair: pairAt(3, LEASE) }], count: 1, more: false },
    ],
  ];

  test.each(right)("is right: %s", (_what, request, answer) => {
    expect(judge({}, readAt(request, 7, { answer }))).toBeUndefined();
  });

  const old: KeyAndPair = { key: "a", pair: pairAt(2) };
  const wrong: readonly (readonly [what: string, request: ReadRequest, answer: ReadAnswer])[] = [
    ["an older pair than the header's revision", a, { pairs: [old], count: 1, more: false }],
    ["nothing where there is a pair", a, { pairs: [], count: 0, more: false }],
    ["a wrong count", { ...EVERY_KEY, countOnly: true }, { pairs: [], count: 5, more: false }],
    ["another past than asked for", { ...a, revision: 5 }, { pairs: [old], count: 1, more: false }],
    [
      "a value where keys alone were asked for",
      { ...a, keysOnly: true },
      { pairs: [{ key: "a", pair: pairAt(4) }], count: 1, more: false },
    ],
    [
      "`more` forgotten",
      { ...withPrefix("a/"), limit: 1 },
      { pairs: [{ key: "a/1", pair: pairAt(6) }], count: 2, more: false },
    ],
  ];

  test.each(wrong)("is wrong: %s", (_what, request, answer) => {
    expect(judge({}, readAt(request, 7, { answer }))).toContain("there was");
  });

  test("is wrong under a header from the future", () => {
    expect(judge({}, readAt(a, 8))).toContain("a header at 8");
  });
});

describe("(a) a write acknowledged through the proxy before the read began", () => {
  test("is shown by an answer of its revision, or a later one", () => {
    expect(judge(acknowledged(4, 4_999), readAt(a, 4))).toBeUndefined();
    expect(judge(acknowledged(4, 4_999), readAt(a, 7))).toBeUndefined();
  });

  test("is missed by an older answer, at once", () => {
    expect(judge(acknowledged(4, 4_999), readAt(a, 3))).toContain("acknowledged 1.0 ms before");
  });

  const covered: readonly (readonly [what: string, span: KeySpan, revision: number])[] = [
    ["its prefix", withPrefix("a"), 6],
    ["every key", EVERY_KEY, 6],
    ["its second key", { key: "a/2" }, 6],
    ["all keys from one on", { key: "b", rangeEnd: "\0" }, 7],
    ["a range that its deletion makes empty", { key: "b", rangeEnd: "c" }, 5],
  ];
  test.each(covered)("is missed by an older answer for %s", (_what, span, revision) => {
    expect(judge(acknowledged(revision, 4_999), readAt(span, revision - 1))).toContain("acknowledged");
  });

  test("is missed by an older count, though the count is the same", () => {
    const count = { ...withPrefix("a"), countOnly: true };
    expect(judge(acknowledged(4, 4_999), readAt(count, 3))).toContain("acknowledged");
  });

  test("need not be shown when it is acknowledged later, or is about other keys", () => {
    expect(judge(acknowledged(4, 5_000), readAt(a, 3))).toBeUndefined();
    expect(judge(acknowledged(4, 4_999), readAt(b, 3))).toBeUndefined();
  });

  test("need not be shown by a member that did not acknowledge it", () => {
    expect(judge(acknowledged(4, 4_999), readAt(a, 3, { memberId: "8" }))).toBeUndefined();
  });

  test("is missed even when a later one, about other keys, is shown", () => {
    const writes = [...acknowledged(7, 4_998).writes, ...acknowledged(4, 4_999).writes];
    expect(judge({ writes }, readAt(a, 3))).toContain('put of "a" at 4');
  });

  test("counts as a lease's revocation when the keys were that lease's", () => {
    expect(judge(acknowledged(5, 4_999, LEASE), readAt(b, 4))).toContain('delete of "b" at 5');
    expect(judge(acknowledged(5, 4_999, "98"), readAt(b, 4))).toBeUndefined();
  });
});

describe("(b) what the member had told of longer ago than the age allows", () => {
  test("is shown, or told of not so long ago", () => {
    expect(judge(words(3_000, 4), readAt(a, 4))).toBeUndefined();
    expect(judge(words(3_950, 4), readAt(a, 3))).toBeUndefined();
  });

  test("is missed by an older answer", () => {
    expect(judge(words(3_000, 4), readAt(a, 3))).toContain("had told of a put");
    expect(judge(words(3_000, 7), readAt(withPrefix("a"), 5))).toContain('put of "a/1" at 6');
  });

  test("is not missed where no key of the range changed", () => {
    expect(judge(words(3_000, 7), readAt(a, 4))).toBeUndefined();
  });

  test("is not asked of another member, which may lag", () => {
    expect(judge(words(3_000, 4), readAt(a, 3, { memberId: "8" }))).toBeUndefined();
  });
});

describe("(c) an event that a watch through the proxy had brought", () => {
  const watched = { span: withPrefix("a"), memberId: MEMBER };

  test("is shown", () => {
    expect(judge({ watched }, readAt(a, 4, { watchedRevision: 4 }))).toBeUndefined();
  });

  test("is missed by an older answer, of the key or a range", () => {
    expect(judge({ watched }, readAt(a, 3, { watchedRevision: 4 }))).toContain('brought a put of "a" at 4');
    expect(judge({ watched }, readAt({ key: "a/2" }, 5, { watchedRevision: 6 }))).toContain("brought");
    expect(judge({ watched }, readAt(EVERY_KEY, 5, { watchedRevision: 6 }))).toContain("brought");
  });

  test("says nothing of keys that are not watched", () => {
    expect(judge({ watched }, readAt({ key: "c" }, 6, { watchedRevision: 7 }))).toBeUndefined();
  });
});

describe("a read of the past", () => {
  const past = { ...a, revision: 3 };
  const compactions = [{ revision: 4, callMs: 4_000, ackMs: 4_999 }];
  const refused = (endMs: number): RecordedRead => {
    return { request: past, startMs: 3_000, endMs, watchedRevision: 0, outcome: { kind: "compacted" } };
  };

  test("may be as old as it likes", () => {
    expect(judge({ ...acknowledged(4, 1), ...words(1, 7) }, readAt(past, 3))).toBeUndefined();
  });

  test("is refused once a compaction through the proxy was acknowledged", () => {
    expect(judge({ compactions }, readAt(past, 7))).toContain("answered though compacted at 4");
    expect(judge({ compactions }, readAt(past, 7, { startMs: 4_998 }))).toBeUndefined();
    expect(judge({ compactions }, readAt({ ...a, revision: 4 }, 7))).toBeUndefined();
  });

  test("is not refused before a compaction was asked for", () => {
    expect(judge({ compactions }, refused(4_500))).toBeUndefined();
    expect(judge({ compactions }, refused(3_999))).toContain("which it is not");
    expect(judge({}, refused(4_500))).toContain("which it is not");
  });
});
