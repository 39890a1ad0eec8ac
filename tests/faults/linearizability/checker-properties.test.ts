/**
 * The checker against executions of the model: whatever order really was, with any overlaps, is accepted; with one
 * answer made stale it is not; and on tiny histories it says what trying every order says.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { runs } from "../../properties/runs.ts";
import { isLinearizable } from "./brute-force.ts";
import { check } from "./checker.ts";
import { describeVerdict } from "./excerpt.ts";
import { isAnswered, type Operation } from "./history.ts";
import { EVERY_KEY, spans } from "./key-span.ts";
import { execute, KvState } from "./kv-model.ts";
import { answerText, type Compare, type KvRequest, valuesWritten } from "./kv-operation.ts";

const DETAILS = ["revisions", "values"] as const;
/** Between the moments at which two operations take effect. */
const STEP_MS = 10;

const key = fc.constantFrom("a", "b", "c");
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({
    key,
    target: fc.constantFrom("version" as const, "mod" as const, "create" as const),
    relation: fc.constantFrom("=" as const, "!=" as const, "<" as const, ">" as const),
    operand: fc.integer({ min: 0, max: 6 }),
  }),
  fc.record({
    key,
    target: fc.constant("value" as const),
    relation: fc.constantFrom("=" as const, "!=" as const),
    operand: fc.nat(6).map((place) => `v${place}`),
  }),
);
const range: fc.Arbitrary<KvRequest> = fc.oneof(
  key.map((key): KvRequest => ({ kind: "range", key })),
  fc.constant<KvRequest>({ kind: "range", ...EVERY_KEY }),
);
const remove: fc.Arbitrary<KvRequest> = fc.oneof(
  fc.record({ kind: fc.constant("delete" as const), key, prevKv: fc.boolean() }),
  fc.constant<KvRequest>({ kind: "delete", key: "b", rangeEnd: "d" }),
);

/** A request that writes values of its own: those with the name of its place. */
function requestAt(place: number): fc.Arbitrary<KvRequest> {
  const put: fc.Arbitrary<KvRequest> = fc.record({
    kind: fc.constant("put" as const),
    key,
    value: fc.constant(`v${place}`),
    prevKv: fc.boolean(),
  });
  const list = fc.oneof(
    fc.tuple(put),
    fc.tuple(remove),
    fc.tuple(range, range),
    fc.constant<KvRequest[]>([
      { kind: "put", key: "a", value: `v${place}` },
      { kind: "range", ...EVERY_KEY },
      { kind: "put", key: "c", value: `v${place}` },
    ]),
  );
  const txn: fc.Arbitrary<KvRequest> = fc.record({
    kind: fc.constant("txn" as const),
    compare: fc.array(compare, { maxLength: 2 }),
    success: list,
    failure: list,
  });
  return fc.oneof({ weight: 3, arbitrary: range }, { weight: 3, arbitrary: put }, remove, txn);
}

/** An operation, and how it lies around the moment at which it takes effect. */
interface Draw {
  readonly request: KvRequest;
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly fate: "answered" | "unknown and done" | "unknown and not done";
}

function execution(lengthMax: number, overlapMs: number): fc.Arbitrary<readonly Draw[]> {
  return fc.integer({ min: 1, max: lengthMax }).chain((length) =>
    fc.tuple(
      ...Array.from({ length }, (_, place) =>
        fc.record<Draw>({
          request: requestAt(place),
          beforeMs: fc.integer({ min: 1, max: overlapMs }),
          afterMs: fc.integer({ min: 1, max: overlapMs }),
          fate: fc.oneof(
            { weight: 20, arbitrary: fc.constant("answered" as const) },
            fc.constantFrom("unknown and done" as const, "unknown and not done" as const),
          ),
        }),
      ),
    ),
  );
}

interface Executed {
  readonly history: readonly Operation[];
  /** What the store held before each operation. */
  readonly before: readonly KvState[];
}

function executed(draws: readonly Draw[]): Executed {
  let state = new KvState();
  const before: KvState[] = [];
  const history = draws.map(({ request, beforeMs, afterMs, fate }, place): Operation => {
    before.push(state);
    const { answer, state: after } = execute(state, request);
    if (fate !== "unknown and not done") state = after;
    const effectMs = place * STEP_MS;
    const asked = { client: `c${place}`, target: "model", request, callMs: effectMs - beforeMs };
    if (fate !== "answered") {
      return { ...asked, returnMs: Number.POSITIVE_INFINITY, outcome: { kind: "unknown", why: fate } };
    }
    const outcome = { kind: "answered", revision: after.revision, answer } as const;
    return { ...asked, returnMs: effectMs + afterMs, outcome };
  });
  return { history, before };
}

test("an execution of the model is linearizable, whatever overlaps and whatever is unknown", () => {
  fc.assert(
    fc.property(execution(50, 6 * STEP_MS), (draws) => {
      const { history } = executed(draws);
      for (const detail of DETAILS) {
        expect(describeVerdict(check(history, { detail }))).toStartWith("linearizable");
      }
    }),
    { numRuns: runs(150) },
  );
});

test("a read made stale is found out: it shows what had been written over before it began", () => {
  let found = 0;
  fc.assert(
    fc.property(execution(30, 3 * STEP_MS), fc.nat(), fc.boolean(), (draws, choice, oldHeader) => {
      const { history, before } = executed(draws);
      const stale = staleReads(history, before);
      if (stale.length === 0) return;
      found++;
      const { place, state } = stale[choice % stale.length]!;
      const { request, outcome, ...times } = history[place]!;
      const { answer } = execute(state, request);
      const header = outcome.kind === "answered" && !oldHeader ? outcome.revision : state.revision;
      const changed = { ...times, request, outcome: { kind: "answered", revision: header, answer } as const };
      const altered = history.with(place, changed);
      for (const detail of DETAILS) expect(check(altered, { detail }).kind).toBe("violation");
    }),
    { numRuns: runs(150) },
  );
  expect(found).toBeGreaterThan(runs(20));
});

/**
 * The reads, by place, that could be answered from a state that is past beyond doubt: it holds a value whose writer
 * had ended before another write of that key began, and that one had ended before the read began.
 */
function staleReads(
  history: readonly Operation[],
  before: readonly KvState[],
): { readonly place: number; readonly state: KvState }[] {
  const putsOf = (key: string): number[] =>
    [...history.keys()].filter((place) => {
      const operation = history[place]!;
      return operation.request.kind === "put" && operation.request.key === key && isAnswered(operation);
    });
  return ["a", "b", "c"].flatMap((key) => {
    const places = putsOf(key);
    return places.flatMap((older, index) => {
      const newer = places[index + 1];
      if (newer === undefined || history[older]!.returnMs >= history[newer]!.callMs) return [];
      const state = before[newer]!;
      const [value] = valuesWritten(history[older]!.request);
      if (state.pairs.get(key)?.value !== value) return [];
      return [...history.keys()]
        .filter((place) => {
          const { request, callMs } = history[place]!;
          const reads = request.kind === "range" && spans(request, key) && isAnswered(history[place]!);
          return reads && callMs > history[newer]!.returnMs;
        })
        .map((place) => ({ place, state }));
    });
  });
}

test("on tiny histories, right and wrong ones, it says what trying every order says", () => {
  const verdicts = { linearizable: 0, violation: 0, undecided: 0 };
  fc.assert(
    fc.property(execution(6, 4 * STEP_MS), fc.nat(), fc.nat(), (draws, which, from) => {
      const { history, before } = executed(draws);
      const place = which % history.length;
      const operation = history[place]!;
      // Half of them tell what was right at another moment.
      const state = before[from % history.length]!;
      const { answer, state: after } = execute(state, operation.request);
      const outcome = { kind: "answered", revision: after.revision, answer } as const;
      const altered =
        isAnswered(operation) && from % 2 === 0 ? history.with(place, { ...operation, outcome }) : history;
      for (const detail of DETAILS) {
        const { kind } = check(altered, { detail });
        verdicts[kind]++;
        const story = altered.map(({ outcome }) =>
          outcome.kind === "answered" ? answerText(outcome.answer, detail) : "unknown",
        );
        expect(kind, story.join("; ")).toBe(
          isLinearizable(altered, { detail }) ? "linearizable" : "violation",
        );
      }
    }),
    { numRuns: runs(1000) },
  );
  expect(verdicts.violation).toBeGreaterThan(runs(50));
  expect(verdicts.undecided).toBe(0);
});
