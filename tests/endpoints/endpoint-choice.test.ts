import { describe, expect, test } from "bun:test";
import type { Balancer } from "../../src/endpoints/balancer.ts";
import { createEndpoint, parseEndpoints, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { EndpointChoice } from "../../src/endpoints/endpoint-choice.ts";

const RETRY_DELAY_MS = 1_000;
const [a, b, c] = parseEndpoints("a:1,b:1,c:1") as [Endpoint, Endpoint, Endpoint];

/** A choice whose chance is always `random`: 0 takes the first of those in question, 0.99 the last. */
function choose(endpoints: readonly Endpoint[] = [a, b, c], random = 0): EndpointChoice {
  return new EndpointChoice(endpoints, { retryDelayMs: RETRY_DELAY_MS, random: () => random });
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
    const choice = new EndpointChoice([a, b], { retryDelayMs: 0, random: () => 0 });
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
    expect(choice.describe(0)).toEqual([
      { endpoint: a, state: "failed", reason: "timeout", latencyMs: null },
      { endpoint: b, state: "fit", reason: undefined, latencyMs: null },
    ]);
    choice.succeeded(a);
    expect(choice.describe(0)[0]).toEqual({ endpoint: a, state: "fit", reason: undefined, latencyMs: null });
  });

  test("of an endpoint that is no longer listed changes nothing", () => {
    const choice = choose([a]);
    expect(choice.failed(b, "refused", 0)).toBe(false);
    expect(choice.describe(0)).toEqual([{ endpoint: a, state: "fit", reason: undefined, latencyMs: null }]);
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

describe("a check", () => {
  const leaderless = { kind: "unfit", reason: "has no leader" } as const;
  const silent = { kind: "silent", reason: "no answer", refused: false } as const;
  const fit = { kind: "fit", latencyMs: 1 } as const;

  test("that finds the current endpoint unfit or silent turns to a fit one", () => {
    for (const verdict of [leaderless, silent]) {
      const choice = choose();
      expect(choice.judge(a, verdict)).toBe(true);
      expect(choice.current(0)).toBe(b);
      expect(names(choice.candidates(0))).toBe("bca");
    }
  });

  test("is news once", () => {
    const choice = choose();
    expect([leaderless, leaderless, silent, fit, fit].map((verdict) => choice.judge(a, verdict))).toEqual([
      true,
      false,
      true,
      true,
      false,
    ]);
  });

  test("that finds all unfit leaves the current endpoint in use", () => {
    const choice = choose();
    for (const endpoint of [b, c, a]) choice.judge(endpoint, leaderless);
    expect(choice.current(0)).toBe(a);
    choice.judge(a, silent);
    expect(choice.current(0)).toBe(b);
  });

  test("ranks who answers before who is silent, and who is silent before who failed a moment ago", () => {
    const choice = choose();
    choice.failed(a, "refused", 0);
    choice.judge(b, silent);
    choice.judge(c, leaderless);
    expect(names(choice.candidates(0))).toBe("cba");
    expect(choice.describe(0).map(({ state }) => state)).toEqual(["failed", "silent", "unfit"]);
  });

  test("that is answered takes off the mark of a failed dial, but not of misbehaviour", () => {
    const choice = choose();
    choice.failed(b, "refused", 0);
    choice.failed(c, "sent nonsense", 0, "misbehaved");
    for (const endpoint of [b, c]) choice.judge(endpoint, fit);
    expect([b, c].map((endpoint) => choice.isFit(endpoint, 1))).toEqual([true, false]);
  });

  test("does not bring back an endpoint that was left", () => {
    const choice = choose();
    choice.judge(a, silent);
    expect(choice.current(0)).toBe(b);
    choice.judge(a, fit);
    expect(choice.current(0)).toBe(b);
  });

  test("of all endpoints tells whether all have failed", () => {
    const choice = choose();
    choice.failed(a, "refused", 0);
    choice.judge(b, silent);
    choice.judge(c, leaderless);
    expect(choice.allFailed(0)).toBe(false);
    choice.judge(c, silent);
    expect(choice.allFailed(0)).toBe(true);
  });
});

describe("turns", () => {
  const turns = (choice: EndpointChoice, count: number): string =>
    names(Array.from({ length: count }, () => choice.next(0)));
  const choosing = (
    balancer: Balancer,
    weights: readonly (readonly [priority: number, weight: number])[],
  ) => {
    const endpoints = weights.map(([priority, weight], index) => {
      return createEndpoint("http", "abc"[index]!, 1, { priority, weight });
    });
    return new EndpointChoice(endpoints, { retryDelayMs: RETRY_DELAY_MS, random: () => 0, balancer });
  };

  test("are all of one endpoint when the choice is sticky", () => {
    expect(turns(choose(), 4)).toBe("aaaa");
  });

  test("go round, without those that something speaks against", () => {
    const choice = choosing("round-robin", [
      [0, 1],
      [0, 7],
      [0, 1],
    ]);
    expect(turns(choice, 6)).toBe("abcabc");
    choice.judge(b, { kind: "silent", reason: "no answer", refused: false });
    expect(turns(choice, 4)).toBe("acac");
  });

  test.each([
    ["1:1", [1, 1], "abababab"],
    ["1:2:3", [1, 2, 3], "cbcacbcbcacb"],
    ["1:0", [1, 0], "aaaa"],
    ["0:0", [0, 0], "abab"],
  ])("of weights %s are given in these shares", (_, weights, expected) => {
    const choice = choosing(
      "weighted",
      weights.map((weight) => [0, weight] as const),
    );
    expect(turns(choice, expected.length).split("").toSorted().join("")).toBe(
      expected.split("").toSorted().join(""),
    );
  });

  test("are spread: an endpoint of a large share does not have all of its own in a row", () => {
    const choice = choosing("weighted", [
      [0, 3],
      [0, 1],
      [0, 1],
    ]);
    expect(turns(choice, 10)).toBe("abacaabaca");
  });

  test("go to those of the lowest priority number while one of them is good", () => {
    const choice = choosing("round-robin", [
      [10, 1],
      [10, 1],
      [20, 1],
    ]);
    expect(turns(choice, 4)).toBe("abab");
    choice.failed(a, "refused", 0);
    choice.failed(b, "refused", 0);
    expect(turns(choice, 2)).toBe("cc");
  });

  test("go to the fastest, and stay until another is clearly faster", () => {
    const choice = choosing("least-latency", [
      [0, 1],
      [0, 1],
    ]);
    choice.judge(a, { kind: "fit", latencyMs: 9 });
    choice.judge(b, { kind: "fit", latencyMs: 4 });
    expect(turns(choice, 2)).toBe("bb");
    for (let times = 0; times < 30; times++) choice.judge(a, { kind: "fit", latencyMs: 3.8 });
    expect(turns(choice, 2)).toBe("bb");
    for (let times = 0; times < 30; times++) choice.judge(a, { kind: "fit", latencyMs: 1 });
    expect(turns(choice, 2)).toBe("aa");
  });
});

test("a sticky choice starts on the lowest priority number, and within it by weight", () => {
  const endpoints = [
    createEndpoint("http", "a", 1, { priority: 2, weight: 9 }),
    createEndpoint("http", "b", 1, { priority: 1, weight: 3 }),
    createEndpoint("http", "c", 1, { priority: 1, weight: 1 }),
  ];
  const starts = Array.from({ length: 100 }, (_, index) =>
    new EndpointChoice(endpoints, { retryDelayMs: 0, random: () => index / 100 }).current(0),
  );
  expect(endpoints.map((endpoint) => starts.filter((start) => start === endpoint).length)).toEqual([
    0, 75, 25,
  ]);
});
