/** `/proxy/endpoints` as the status page takes it, and what it says of the proxy by it. */
import { describe, expect, test } from "bun:test";
import {
  lastFailure,
  proxyState,
  readEndpoints,
  toneOfState,
  wordedEvent,
} from "../../src/observe/status-page/model/endpoints-told.ts";

const endpoint = (state: string, name = "a:2379") => ({ endpoint: name, state, reason: "" });
const read = (told: unknown) => readEndpoints(JSON.stringify(told));

describe("what is told", () => {
  test("is read with all that it has", () => {
    const { endpoints, events, draining } = read({
      endpoints: [
        { ...endpoint("fit"), latencySeconds: 0.002, priority: 1, weight: 3, inUse: true, connections: 4 },
      ],
      events: [
        { time: "2026-01-02T03:04:05.678Z", endpoint: "a:2379", kind: "failed", reason: "gone", worker: 1 },
      ],
      draining: true,
    });
    expect(endpoints).toEqual([
      {
        endpoint: "a:2379",
        state: "fit",
        reason: "",
        latencySeconds: 0.002,
        priority: 1,
        weight: 3,
        connections: 4,
        inUse: true,
      },
    ]);
    expect(events).toEqual([
      {
        timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
        endpoint: "a:2379",
        kind: "failed",
        reason: "gone",
        worker: 1,
      },
    ]);
    expect(draining).toBe(true);
  });

  const strange: readonly { told: unknown }[] = [
    { told: null },
    { told: 1 },
    { told: [] },
    { told: { endpoints: 5, events: "x" } },
    { told: { endpoints: [null], events: [null, { time: "soon" }] } },
  ];
  test.each(strange)("is taken without complaint when it is %j", ({ told }) => {
    const { events, draining } = read(told);
    expect([events, draining]).toEqual([[], false]);
  });

  test("that is no JSON is an error", () => {
    expect(() => readEndpoints("no worker answers\n")).toThrow(SyntaxError);
  });
});

describe("the state of the proxy", () => {
  const stateOf = (told: unknown) => proxyState(read(told));

  test.each<[string[], string, string]>([
    [["fit", "fit"], "Serving", "good"],
    [["fit", "silent", "unfit"], "Serving, 1 of 3 endpoints fit", "fair"],
    [["unfit"], "Serving, 0 of 1 endpoints fit", "fair"],
    [["silent", "failed"], "No endpoint answers", "bad"],
    [[], "No endpoint answers", "bad"],
  ])("with endpoints that are %j is %p", (states, words, tone) => {
    expect(stateOf({ endpoints: states.map((state) => endpoint(state)) })).toEqual({ words, tone } as never);
  });

  test("is draining, however its endpoints are", () => {
    const { words } = stateOf({ endpoints: [endpoint("fit")], draining: true });
    expect(words).toStartWith("Draining");
  });

  test("and of what a newer proxy may say is told as it says it", () => {
    expect([toneOfState("dormant"), wordedEvent("dormant")]).toEqual([
      "quiet",
      { words: "dormant", tone: "quiet" },
    ]);
  });
});

describe("the last failure of an endpoint", () => {
  const events = [
    { time: "2026-01-02T03:04:09Z", endpoint: "a:2379", kind: "connected" },
    { time: "2026-01-02T03:04:07Z", endpoint: "b:2379", kind: "silent", reason: "not this one" },
    { time: "2026-01-02T03:04:05Z", endpoint: "a:2379", kind: "failed", reason: "connection refused" },
    { time: "2026-01-02T03:04:01Z", endpoint: "a:2379", kind: "failed", reason: "an older one" },
  ];

  test("is what is wrong now", () => {
    const told = read({ endpoints: [{ ...endpoint("failed"), reason: "connection reset" }], events });
    expect(lastFailure(told.endpoints[0]!, told.events)).toEqual({
      reason: "connection reset",
      timeMs: null,
    });
  });

  test("is else the newest of the events, with its time", () => {
    const told = read({ endpoints: [endpoint("fit")], events });
    expect(lastFailure(told.endpoints[0]!, told.events)).toEqual({
      reason: "connection refused",
      timeMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    });
  });

  test("is null where there was none", () => {
    const told = read({ endpoints: [endpoint("fit", "c:2379")], events });
    expect(lastFailure(told.endpoints[0]!, told.events)).toBeNull();
  });
});
