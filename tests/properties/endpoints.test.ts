import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createEndpoint, parseEndpoints, type Endpoint } from "../../src/endpoints/endpoint.ts";
import { EndpointChoice } from "../../src/endpoints/endpoint-choice.ts";
import { AddressError, formatAddress, parseAddress } from "../../src/net/address.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(100) });

const RETRY_DELAY_MS = 100;

const hostname = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
const port = fc.integer({ min: 1, max: 65_535 });

describe("addresses", () => {
  test("are read back as they were printed", () => {
    fc.assert(
      fc.property(hostname, port, (host, number) => {
        const address = { hostname: host, port: number };
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
    );
  });

  test("are refused with an AddressError, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[[\]:.a1-]*$/)), (text) => {
        try {
          expect(parseAddress(formatAddress(parseAddress(text)))).toEqual(parseAddress(text));
        } catch (error) {
          if (!(error instanceof AddressError)) throw error;
        }
      }),
    );
  });
});

test("a list of endpoints is read back as it was printed, each address once and in order", () => {
  const endpoint = fc.tuple(fc.constantFrom("http", "https", "unstated"), hostname, port);
  const list = fc.uniqueArray(endpoint, {
    selector: ([, host, number]) => createEndpoint("unstated", host, number).name,
    minLength: 1,
  });
  fc.assert(
    fc.property(list, (parts) => {
      const endpoints = parts.map(([scheme, host, number]) => createEndpoint(scheme, host, number));
      const texts = endpoints.map(({ scheme, name }) =>
        scheme === "unstated" ? name : `${scheme}://${name}`,
      );
      expect(parseEndpoints([...texts, ...texts].join(","))).toEqual(endpoints);
    }),
  );
});

describe("a sticky choice, after any failures, successes and time,", () => {
  const ENDPOINTS = parseEndpoints("a:1,b:1,c:1,d:1");

  type Step =
    | { readonly kind: "failed" | "succeeded"; readonly endpoint: Endpoint }
    | { readonly kind: "wait"; readonly ms: number };

  const steps: fc.Arbitrary<Step[]> = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom("failed", "succeeded"), endpoint: fc.constantFrom(...ENDPOINTS) }),
      fc.record({ kind: fc.constant("wait"), ms: fc.integer({ min: 0, max: RETRY_DELAY_MS }) }),
    ),
    { maxLength: 30 },
  );

  interface Seen {
    readonly choice: EndpointChoice;
    readonly nowMs: number;
    readonly step: Step;
    /** The current endpoint before the step. */
    readonly before: Endpoint;
    /** When each endpoint failed last, unless it has worked since: a model of what the choice keeps. */
    readonly failedMs: ReadonlyMap<string, number>;
  }

  /** Runs random steps and calls `law` after each. */
  function holds(law: (seen: Seen) => void): void {
    fc.assert(
      fc.property(
        steps,
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        (run, chance) => {
          const random = (): number => chance.next().value ?? 0;
          const choice = new EndpointChoice(ENDPOINTS, { retryDelayMs: RETRY_DELAY_MS, random });
          const failedMs = new Map<string, number>();
          let nowMs = 0;
          for (const step of run) {
            const before = choice.current(nowMs);
            if (step.kind === "wait") nowMs += step.ms;
            else if (step.kind === "failed") {
              choice.failed(step.endpoint, "refused", nowMs);
              failedMs.set(step.endpoint.name, nowMs);
            } else {
              choice.succeeded(step.endpoint);
              failedMs.delete(step.endpoint.name);
            }
            law({ choice, nowMs, step, before, failedMs });
          }
        },
      ),
    );
  }

  const isSetAside = ({ failedMs, nowMs }: Seen, { name }: Endpoint): boolean =>
    nowMs - (failedMs.get(name) ?? -Infinity) < RETRY_DELAY_MS;

  test("offers every endpoint exactly once, the current one first", () => {
    holds(({ choice, nowMs }) => {
      const candidates = choice.candidates(nowMs);
      expect(candidates[0]).toBe(choice.current(nowMs));
      expect(new Set(candidates)).toEqual(new Set(ENDPOINTS));
      expect(candidates).toHaveLength(ENDPOINTS.length);
    });
  });

  test("offers none that is set aside before one that is active", () => {
    holds((seen) => {
      const setAside = seen.choice.candidates(seen.nowMs).map((endpoint) => isSetAside(seen, endpoint));
      expect(setAside).toEqual(setAside.toSorted((a, b) => Number(a) - Number(b)));
    });
  });

  test("offers those set aside with the oldest failure first", () => {
    holds((seen) => {
      const setAside = seen.choice.candidates(seen.nowMs).filter((endpoint) => isSetAside(seen, endpoint));
      const failedMs = setAside.map(({ name }) => seen.failedMs.get(name) ?? 0);
      expect(failedMs).toEqual(failedMs.toSorted((a, b) => a - b));
    });
  });

  test("leaves the current endpoint only when it has failed", () => {
    holds((seen) => {
      if (seen.choice.current(seen.nowMs) === seen.before) return;
      const justFailed = seen.step.kind === "failed" && seen.step.endpoint === seen.before;
      expect(justFailed || seen.failedMs.has(seen.before.name)).toBe(true);
    });
  });

  test("does not stay on an endpoint that failed while another is active", () => {
    holds((seen) => {
      if (ENDPOINTS.every((endpoint) => isSetAside(seen, endpoint))) return;
      expect(isSetAside(seen, seen.choice.current(seen.nowMs))).toBe(false);
    });
  });
});

test("a sticky choice starts on each endpoint with the same chance", () => {
  const endpoints = parseEndpoints("a:1,b:1,c:1");
  const draws = 300;
  const starts = Array.from({ length: draws }, (_, index) =>
    new EndpointChoice(endpoints, { retryDelayMs: 0, random: () => index / draws }).current(0),
  );
  expect(endpoints.map((endpoint) => starts.filter((start) => start === endpoint).length)).toEqual([
    100, 100, 100,
  ]);
});
