import { describe, expect, test } from "bun:test";
import { type ChoiceFlags, choiceOptions, withWeights } from "../../src/cli/choice-flags.ts";
import { parseEndpoints } from "../../src/endpoints/endpoint.ts";

const flags = (given: Partial<ChoiceFlags> = {}): ChoiceFlags => ({
  balancer: "sticky",
  endpointWeights: [],
  healthCheckIntervalMs: 1_000,
  healthCheckTimeoutMs: 500,
  ...given,
});
const endpoints = parseEndpoints("a,b:1,[::1]:2");

describe("--balancer", () => {
  test.each(["sticky", "round-robin", "weighted", "least-latency"] as const)("%s is known", (balancer) => {
    expect(choiceOptions(flags({ balancer })).balancer).toBe(balancer);
  });

  test("least-latency needs the checks that measure latency", () => {
    expect(() => choiceOptions(flags({ balancer: "least-latency", healthCheckIntervalMs: 0 }))).toThrow(
      "--balancer=least-latency needs health checks",
    );
  });
});

test("--health-check-interval=0 turns checks off", () => {
  expect(choiceOptions(flags()).healthChecks).toEqual({ intervalMs: 1_000, timeoutMs: 500 });
  expect(choiceOptions(flags({ healthCheckIntervalMs: 0 })).healthChecks).toBeNull();
});

describe("--endpoint-weights", () => {
  const weights = (...endpointWeights: string[]): number[] =>
    withWeights(endpoints, flags({ endpointWeights })).map(({ weight }) => weight);

  test("are those of the endpoints they name, written as --endpoints are; 1 for the others", () => {
    expect(weights("a=3,[::1]:2=0")).toEqual([3, 1, 0]);
    expect(weights("http://b:1=7", "a:2379=2")).toEqual([2, 7, 1]);
    expect(weights()).toEqual([1, 1, 1]);
  });

  test.each([
    ["a", '--endpoint-weights "a": write an endpoint and a number from 0 to 65535'],
    ["a=", '--endpoint-weights "a=": write an endpoint and a number'],
    ["=3", '--endpoint-weights "=3": write an endpoint and a number'],
    ["a=-1", '--endpoint-weights "a=-1": write an endpoint and a number'],
    ["a=65536", '--endpoint-weights "a=65536": write an endpoint and a number'],
    ["c=1", "--endpoint-weights names c:2379, which --endpoints does not"],
  ])("of the form %s are refused", (item, message) => {
    expect(() => weights(item)).toThrow(message);
  });

  test("are refused beside SRV records, which bring their own", () => {
    expect(() => choiceOptions(flags({ endpointWeights: ["a=1"], discoverySrv: "x.test" }))).toThrow(
      "--endpoint-weights is for --endpoints",
    );
  });
});
