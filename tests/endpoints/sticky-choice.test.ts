import { describe, expect, test } from "bun:test";
import { parseEndpoints, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { StickyChoice } from "../../src/endpoints/sticky-choice.ts";

const RETRY_DELAY_MS = 1_000;
const [a, b, c] = parseEndpoints("a:1,b:1,c:1") as [Endpoint, Endpoint, Endpoint];

/** A choice whose chance is always `random`: 0 takes the first of those in question, 0.99 the last. */
function choose(endpoints: readonly Endpoint[] = [a, b, c], random = 0): StickyChoice {
  return new StickyChoice(endpoints, { retryDelayMs: RETRY_DELAY_MS, random: () => random });
}

const names = (endpoints: readonly Endpoint[]): string => endpoints.map(({ hostname }) => hostname).join("");

describe("the current endpoint", () => {
  test("is picked by chance at the start", () => {
    expect([0, 0.34, 0.99].map((random) => choose([a, b, c], random).current(0))).toEqual([a, b, c]);
  });

  test("stays while it does not fail, whatever others do", () => {
    const choice = choose();
    choice.failed(b, "refused", 0);
    choice.succeeded(c);
    expect([0, 1, 1e9].map((nowMs) => choice.current(nowMs))).toEqual([a, a, a]);
  });

  test("gives way to an active one when it fails", () => {
    const choice = choose();
    choice.failed(b, "refused", 0);
    choice.failed(a, "refused", 1);
    expect(choice.current(1)).toBe(c);
  });

  test("does not come back by itself when its retry delay is over", () => {
    const choice = choose();
    choice.failed(a, "refused", 0);
    expect(choice.current(RETRY_DELAY_MS * 5)).toBe(b);
  });

  test("is left even without a retry delay", () => {
    const choice = new StickyChoice([a, b], { retryDelayMs: 0, random: () => 0 });
    choice.failed(a, "refused", 0);
    expect(choice.current(0)).toBe(b);
  });

  test("is the one that failed longest ago when all are set aside", () => {
    const choice = choose();
    for (const endpoint of [b, a, c]) choice.failed(endpoint, "refused", 5);
    expect(choice.current(5)).toBe(b);
    choice.failed(b, "refused", 5);
    expect(choice.current(5)).toBe(a);
  });

  test("becomes the one that works again after all had failed", () => {
    const choice = choose();
    for (const endpoint of [a, b, c]) choice.failed(endpoint, "refused", 0);
    choice.succeeded(c);
    expect(choice.current(0)).toBe(c);
  });

  test("becomes one whose retry delay is over when all had failed", () => {
    const choice = choose();
    choice.failed(b, "refused", 0);
    choice.failed(a, "refused", 500);
    choice.failed(c, "refused", 900);
    choice.failed(b, "refused", 950);
    expect(choice.current(1_499)).toBe(a);
    expect(choice.current(1_500)).toBe(a);
    choice.failed(a, "refused", 1_900);
    expect(choice.current(1_900)).toBe(c);
  });
});

describe("the candidates", () => {
  test("are the current endpoint, then the other active ones, then those set aside, oldest failure first", () => {
    const endpoints = parseEndpoints("a:1,b:1,c:1,d:1,e:1");
    const choice = choose(endpoints);
    choice.failed(endpoints[3]!, "refused", 0);
    choice.failed(endpoints[1]!, "refused", 1);
    expect(names(choice.candidates(2))).toBe("acedb");
  });

  test("come in another order with another chance", () => {
    expect(names(choose([a, b, c], 0.99).candidates(0))).toBe("cba");
  });

  test("count as active again when their retry delay is over", () => {
    const choice = choose();
    choice.failed(b, "refused", 0);
    expect(names(choice.candidates(RETRY_DELAY_MS - 1))).toBe("acb");
    expect(names(choice.candidates(RETRY_DELAY_MS))).toBe("abc");
  });
});

describe("a failure", () => {
  test("is news once, until the endpoint has worked again", () => {
    const choice = choose();
    expect(choice.failed(a, "refused", 0)).toBe(true);
    expect(choice.failed(a, "refused", 1)).toBe(false);
    expect(choice.failed(a, "refused", RETRY_DELAY_MS * 2)).toBe(false);
    expect(choice.succeeded(a)).toBe(true);
    expect(choice.succeeded(a)).toBe(false);
    expect(choice.failed(a, "refused", 2)).toBe(true);
  });

  test("is told with its reason until the endpoint has worked again", () => {
    const choice = choose([a, b]);
    choice.failed(a, "refused", 0);
    choice.failed(a, "timeout", 0);
    expect(choice.describe()).toEqual([
      { endpoint: a, reason: "timeout" },
      { endpoint: b, reason: undefined },
    ]);
    choice.succeeded(a);
    expect(choice.describe()[0]).toEqual({ endpoint: a, reason: undefined });
  });

  test("of an endpoint that is no longer listed changes nothing", () => {
    const choice = choose([a]);
    expect(choice.failed(b, "refused", 0)).toBe(false);
    expect(choice.describe()).toEqual([{ endpoint: a, reason: undefined }]);
  });
});

describe("another list", () => {
  test("keeps the current endpoint and what is known of those on both", () => {
    const choice = choose([a, b]);
    choice.failed(b, "refused", 0);
    choice.replace([c, b, a]);
    expect(names(choice.candidates(1))).toBe("acb");
  });

  test("without the current endpoint chooses one that has not failed", () => {
    const choice = choose([a, b]);
    choice.failed(b, "refused", 0);
    choice.replace([b, c]);
    expect(choice.current(0)).toBe(c);
  });

  test("must not be empty", () => {
    expect(() => choose([])).toThrow(RangeError);
    expect(() => choose().replace([])).toThrow(RangeError);
  });
});
