/** The events of endpoints: what is told of each, and that no member can make them many or long. */
import { describe, expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import {
  EndpointEvents,
  EVENT_REASON_MAX,
  EVENTS_MAX,
  eventsOfAll,
  type EndpointEvent,
} from "../../src/endpoints/endpoint-events.ts";

const a = createEndpoint("http", "a", 2379);
const b = createEndpoint("http", "b", 2379);
const c = createEndpoint("http", "c", 2379);

/** Events a second apart, from 1970 on. */
function events(): EndpointEvents {
  let nowMs = 0;
  return new EndpointEvents(() => (nowMs += 1000));
}

describe("events", () => {
  test("are told newest first, each with its time and what there is to say", () => {
    const told = events();
    told.connected(a);
    told.failed(a, "connection reset");
    told.judged(b, { kind: "unfit", reason: "it has no leader" });
    told.judged(b, { kind: "fit", latencyMs: 1 });
    expect(told.newest).toEqual([
      { time: "1970-01-01T00:00:04.000Z", endpoint: "b:2379", kind: "fit" },
      { time: "1970-01-01T00:00:03.000Z", endpoint: "b:2379", kind: "unfit", reason: "it has no leader" },
      { time: "1970-01-01T00:00:02.000Z", endpoint: "a:2379", kind: "failed", reason: "connection reset" },
      { time: "1970-01-01T00:00:01.000Z", endpoint: "a:2379", kind: "connected" },
    ]);
  });

  test("tell who came onto the list and who left it, and not who stayed", () => {
    const told = events();
    told.replaced([a, b], [b, c], "SRV records");
    expect(told.newest.map(({ endpoint, kind, reason }) => [endpoint, kind, reason])).toEqual([
      ["c:2379", "added", "SRV records"],
      ["a:2379", "removed", "SRV records"],
    ]);
  });

  test("are bounded in number: the oldest go", () => {
    const told = events();
    for (let count = 0; count < 3 * EVENTS_MAX; count++) told.failed(a, String(count));
    expect(told.newest.length).toBe(EVENTS_MAX);
    expect(told.newest[0]!.reason).toBe(String(3 * EVENTS_MAX - 1));
  });

  test("are bounded in bytes, whatever a member says, and stay text that can be written", () => {
    const told = events();
    told.failed(a, "😀".repeat(EVENT_REASON_MAX * 100));
    const { reason = "" } = told.newest[0]!;
    expect(reason.length).toBe(EVENT_REASON_MAX);
    expect(reason.endsWith("…")).toBe(true);
    expect(reason.isWellFormed()).toBe(true);
  });
});

describe("the events of several workers", () => {
  const event = (second: number, endpoint = "a:2379"): EndpointEvent => ({
    time: new Date(second * 1000).toISOString(),
    endpoint,
    kind: "connected",
  });

  test("are in one order, each with its worker; one that does not answer has none", () => {
    const told = eventsOfAll([[event(5), event(1)], null, [event(3)]]);
    expect(told.map(({ time, worker }) => [Date.parse(time) / 1000, worker])).toEqual([
      [5, 0],
      [3, 2],
      [1, 0],
    ]);
  });

  test("are no more than those of one", () => {
    const many = Array.from({ length: EVENTS_MAX }, (_, index) => event(1000 - index));
    expect(eventsOfAll([many, many]).length).toBe(EVENTS_MAX);
  });
});
