import { describe, expect, test } from "bun:test";
import { type WatchEvent, WatchResponseReader } from "../../../src/etcd/watch-response.ts";
import {
  OrderedAnswers,
  type ProgressAnswers,
  type ProvenProgress,
  UnorderedAnswers,
} from "../../../src/proxy/watch/progress-answers.ts";
import type { UpstreamWatch } from "../../../src/proxy/watch/upstream-watch.ts";
import { FakeClock } from "../../harness/fake-clock.ts";

/** Longer than a member is given to settle. */
const SETTLED_MS = 1000;
/** Longer than a watch that shows nothing counts as behind. */
const NOT_BEHIND_MS = 10_000;

const header = (revision: number) => ({ identity: new Uint8Array(0), revision });
const watchNamed = (name: string) => ({ name }) as unknown as UpstreamWatch;
const [one, other] = [watchNamed("one"), watchNamed("other")];

/** A member's message with an event for each revision. */
function events(...revisions: readonly number[]): WatchResponseReader {
  const response = new WatchResponseReader();
  response.events = revisions.map((revision) => ({ revision }) as WatchEvent);
  return response;
}

/** A member that is asked, and how its answers are understood. */
class Asked {
  readonly answers: ProgressAnswers;
  /** Requests that the member has got. */
  sent = 0;
  live: readonly UpstreamWatch[];

  constructor(answers: ProgressAnswers, live: readonly UpstreamWatch[] = [one, other]) {
    this.answers = answers;
    this.live = live;
  }

  readonly #send = (): void => {
    this.sent++;
  };

  /** Returns how many requests were sent for it. */
  request(fresh = true): number {
    const before = this.sent;
    this.answers.request(this.#send, fresh);
    return this.sent - before;
  }

  answer(revision: number): ProvenProgress | null {
    return this.answers.onAnswer(header(revision), this.live, this.#send);
  }

  /** The last of `count` answers; those before it prove nothing. */
  answerTimes(count: number, revision: number): ProvenProgress | null {
    for (let i = 1; i < count; i++) expect(this.answer(revision)).toBeNull();
    return this.answer(revision);
  }
}

describe("an answer behind the events", () => {
  const ask = () => new Asked(new OrderedAnswers());

  test("proves its revision for all open watches", () => {
    const member = ask();
    expect(member.request()).toBe(1);
    expect(member.answer(10)).toEqual({ header: header(10), watches: [one, other], fresh: true });
    expect(member.answers.requests).toBe(1);
  });

  test("says nothing of a watch in the past that was asked for behind the request", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 5, 10, member.answers.requests);
    expect(member.answer(10)?.watches).toEqual([other]);
    member.request();
    expect(member.answer(10)?.watches).toEqual([one, other]);
  });

  test("says nothing of such a watch as often as there are requests from before it", () => {
    const member = ask();
    member.request();
    member.request();
    member.answers.onCreated(one, 5, 10, member.answers.requests);
    expect(member.answer(9)?.watches).toEqual([other]);
    expect(member.answer(10)?.watches).toEqual([other]);
    member.request();
    expect(member.answer(10)?.watches).toEqual([one, other]);
  });

  test("above the revision at which such a watch was opened is later, and proves it", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 5, 10, member.answers.requests);
    expect(member.answer(11)?.watches).toEqual([one, other]);
  });

  test("proves a watch in the past if all requests from before it were answered", () => {
    const member = ask();
    member.request();
    member.answer(9);
    member.answers.onCreated(one, 5, 10, member.answers.requests);
    member.request();
    expect(member.answer(10)?.watches).toEqual([one, other]);
  });

  test("proves a watch in the past that was asked for before the request", () => {
    const member = ask();
    const before = member.answers.requests;
    member.request();
    member.answers.onCreated(one, 5, 10, before);
    expect(member.answer(10)?.watches).toEqual([one, other]);
  });

  test("proves a watch that was opened for the present", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 0, 10, member.answers.requests);
    expect(member.answer(10)?.watches).toEqual([one, other]);
  });

  test("proves a watch again that was in doubt and is opened anew for the present", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 5, 10, member.answers.requests);
    member.answers.onCreated(one, 0, 10, member.answers.requests);
    expect(member.answer(10)?.watches).toEqual([one, other]);
  });

  test("is not fresh when it may be to a request from before a fresh one was wanted", () => {
    const member = ask();
    member.request();
    member.request();
    expect(member.answer(10)?.fresh).toBe(false);
    expect(member.answer(10)?.fresh).toBe(true);
  });

  test("is as fresh as before when the member is only asked again", () => {
    const member = ask();
    member.request();
    member.request(false);
    expect(member.answer(10)?.fresh).toBe(true);
  });

  test("is fresh behind something newer than a watch that was asked for later", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 0, 10, member.answers.requests);
    member.answers.onWatchTold(one, events(10, 11));
    member.request();
    expect(member.answer(11)?.fresh).toBe(true);
  });

  test("is not fresh behind events that are no newer than that watch", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 0, 10, member.answers.requests);
    member.answers.onWatchTold(one, events(9, 10));
    member.answers.onWatchTold(one, events());
    member.request();
    expect(member.answer(10)?.fresh).toBe(false);
  });

  test("is fresh at once when something newer comes while a fresh one is waited for", () => {
    const member = ask();
    member.request();
    member.answers.onCreated(one, 0, 10, member.answers.requests);
    member.request();
    member.answers.onWatchTold(undefined, events(11));
    expect(member.answer(11)?.fresh).toBe(true);
  });
});

describe("a member that answers behind the events", () => {
  test("is asked once at a time while it is silent", () => {
    const member = new Asked(new OrderedAnswers());
    for (let i = 0; i < 5; i++) expect(member.request()).toBe(1);
    expect(member.answers.requests).toBe(5);
  });

  test("is asked as often as answers may be stale once it has answered", () => {
    const member = new Asked(new OrderedAnswers());
    for (let i = 0; i < 3; i++) member.request();
    member.answer(10);
    expect(member.request()).toBe(1 + 2);
    expect([member.answer(10)?.fresh, member.answer(10)?.fresh, member.answer(10)?.fresh]).toEqual([
      false,
      false,
      true,
    ]);
  });

  test("is asked a bounded number of times at once, however long it was silent", () => {
    const member = new Asked(new OrderedAnswers());
    for (let i = 0; i < 1000; i++) member.request();
    member.answer(10);
    expect(member.request()).toBe(1 + 32);
  });
});

describe("answers beside the events", () => {
  /** A member that was asked, and its clock. */
  function ask(live?: readonly UpstreamWatch[]): { member: Asked; clock: FakeClock } {
    const clock = new FakeClock();
    const member = new Asked(new UnorderedAnswers(clock), live);
    expect(member.request()).toBe(1);
    return { member, clock };
  }

  /** Gives the first answer at `revision`, and the member time; then the member is asked many times. */
  function counting(live?: readonly UpstreamWatch[]): { member: Asked; clock: FakeClock; count: number } {
    const { member, clock } = ask(live);
    expect(member.answer(10)).toBeNull();
    clock.advance(SETTLED_MS);
    return { member, clock, count: member.sent - 1 };
  }

  test("prove what the first one said, once the member had time and many have come in a row", () => {
    const { member, count } = counting();
    expect(count).toBe(24);
    expect(member.answerTimes(count, 15)).toEqual({
      header: header(10),
      watches: [one, other],
      fresh: true,
    });
    expect(member.answers.requests).toBe(1 + count);
  });

  test("are not asked for while the member has its time", () => {
    const { member, clock } = ask();
    member.answer(10);
    clock.advance(100);
    expect(member.sent).toBe(1);
  });

  test("begin anew when something older comes while the member has its time", () => {
    const { member, clock } = ask();
    member.answer(10);
    clock.advance(240);
    member.answers.onWatchTold(one, events(10));
    clock.advance(240);
    expect(member.sent).toBe(1);
    clock.advance(SETTLED_MS);
    expect(member.answerTimes(member.sent - 1, 10)?.header).toEqual(header(10));
  });

  test("begin anew when something older comes between them", () => {
    const { member, clock, count } = counting();
    member.answer(10);
    member.answers.onWatchTold(one, events(9, 12));
    expect(member.answerTimes(count - 1, 12)).toBeNull();
    expect(member.sent).toBe(1 + count);
    clock.advance(SETTLED_MS);
    expect(member.sent).toBe(1 + 2 * count);
    expect(member.answerTimes(count, 12)?.header).toEqual(header(10));
  });

  test("are not disturbed by what is newer, by messages without events, or by watches that are gone", () => {
    const { member, count } = counting();
    member.answer(11);
    member.answers.onWatchTold(one, events(11, 12));
    member.answers.onWatchTold(one, events());
    member.answers.onWatchTold(undefined, events(9));
    expect(member.answerTimes(count - 1, 12)?.watches).toEqual([one, other]);
  });

  test("say nothing of a watch that was opened behind the first one", () => {
    const { member, count } = counting([one]);
    member.live = [one, other];
    expect(member.answerTimes(count, 10)?.watches).toEqual([one]);
  });

  test("say nothing of a watch that is gone", () => {
    const { member, count } = counting();
    member.live = [other];
    expect(member.answerTimes(count, 10)?.watches).toEqual([other]);
  });

  test("say nothing of a watch in the past that has not shown anything newer than its opening", () => {
    const { member, count } = counting();
    member.answers.onCreated(one, 5, 20, 0);
    member.answers.onWatchTold(one, events(19, 20));
    expect(member.answerTimes(count, 20)?.watches).toEqual([other]);
  });

  test("prove a watch in the past that has shown something newer than its opening", () => {
    const { member, count } = counting();
    member.answers.onCreated(one, 5, 20, 0);
    member.answers.onWatchTold(one, events(21));
    expect(member.answerTimes(count, 20)?.watches).toEqual([one, other]);
  });

  test("prove a watch in the past that has had nothing to show for long", () => {
    const { member, clock, count } = counting();
    member.answers.onCreated(one, 5, 20, 0);
    clock.advance(NOT_BEHIND_MS);
    expect(member.answerTimes(count, 20)?.watches).toEqual([one, other]);
  });

  test("prove a watch in the past that is opened anew for the present", () => {
    const { member, count } = counting();
    member.answers.onCreated(one, 5, 20, 0);
    member.answers.onCreated(one, 0, 20, 0);
    expect(member.answerTimes(count, 20)?.watches).toEqual([one, other]);
  });

  test("are asked for once, however many want to know", () => {
    const { member } = ask();
    expect(member.request(false)).toBe(0);
    expect(member.request()).toBe(0);
  });

  test("are fresh when the member was only asked for again meanwhile", () => {
    const { member, count } = counting();
    member.request(false);
    expect(member.answerTimes(count, 10)?.fresh).toBe(true);
    expect(member.sent).toBe(1 + count);
  });

  test("are not fresh when a fresh one was wanted meanwhile, which is then asked for", () => {
    const { member, clock, count } = counting();
    member.request();
    expect(member.answerTimes(count, 10)?.fresh).toBe(false);
    expect(member.sent).toBe(1 + count + 1);
    expect(member.answer(30)).toBeNull();
    clock.advance(SETTLED_MS);
    expect(member.answerTimes(count, 30)).toMatchObject({ header: header(30), fresh: true });
    expect(member.request()).toBe(1);
  });

  test("that nobody asked for prove nothing", () => {
    const clock = new FakeClock();
    const member = new Asked(new UnorderedAnswers(clock));
    expect(member.answer(10)).toBeNull();
    expect([member.sent, clock.timers]).toEqual([0, 0]);
  });
});
