import { describe, expect, test } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import { firstLookup } from "../../src/endpoints/first-lookup.ts";
import {
  type DiscoveredEndpoints,
  SrvDiscoveryError,
  type SrvDiscoveryFailure,
} from "../../src/endpoints/srv-discovery.ts";
import { RecordedLog } from "../gateway/recorded-log.ts";

const FOUND: DiscoveredEndpoints = {
  endpoints: [createEndpoint("http", "a", 2379)],
  warnings: [],
  incomplete: false,
};

/** What becomes of a start whose lookups fail like this, the last one for ever; each takes a second. */
async function start(...failures: (SrvDiscoveryFailure | "found")[]) {
  let nowMs = 0;
  let tries = 0;
  const log = new RecordedLog();
  const outcome = await firstLookup({
    discovery: {
      async discover() {
        nowMs += 1000;
        const failure = failures[Math.min(tries++, failures.length - 1)] ?? "found";
        if (failure === "found") return FOUND;
        throw new SrvDiscoveryError(failure, `it is ${failure}`);
      },
    },
    nowMs: () => nowMs,
    async sleep(ms) {
      expect(ms).toBeWithin(250, 5001);
      nowMs += ms;
    },
    log,
    random: () => 0.5,
  }).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
  return { outcome, tries, seconds: nowMs / 1000, log };
}

describe("the first lookup", () => {
  test("that finds members is the only one", async () => {
    expect(await start("found")).toMatchObject({ outcome: FOUND, tries: 1 });
  });

  test("that finds nothing is the only one, too: what is wrong is to be seen at once", async () => {
    expect(await start("none")).toMatchObject({ outcome: "it is none", tries: 1 });
  });

  test("waits for a name server that comes up, and tells once why", async () => {
    const { outcome, tries, log } = await start("no-answer", "no-answer", "no-answer", "found");
    expect({ outcome, tries }).toEqual({ outcome: FOUND, tries: 4 });
    expect(log.warnings()).toEqual(["not ready yet: it is no-answer"]);
  });

  test("gives a name server up that does not answer for half a minute", async () => {
    const { outcome, seconds } = await start("no-answer");
    expect(outcome).toBe("it is no-answer");
    expect(seconds).toBeWithin(30, 40);
  });

  test("waits for members that DNS knows as long as it takes", async () => {
    const { outcome, seconds, log } = await start(
      ...Array.from({ length: 100 }, (): SrvDiscoveryFailure => "unreachable"),
      "found",
    );
    expect(outcome).toEqual(FOUND);
    expect(seconds).toBeGreaterThan(100);
    expect(log.warnings()).toEqual(["not ready yet: it is unreachable"]);
  });

  test("ends when what it waits for turns out to be wrong", async () => {
    expect((await start("no-answer", "unreachable", "none")).outcome).toBe("it is none");
  });
});
