/** Waiting for clients to finish: how long, and what the log tells of it. */
import { describe, expect, test } from "bun:test";
import { drained } from "../../src/observe/drain.ts";
import { RecordedLog } from "../gateway/recorded-log.ts";

const never = (): Promise<void> => Promise.withResolvers<void>().promise;
const told = (log: RecordedLog): string[] => log.lines.map(({ level, message }) => `${level} ${message}`);

describe("waiting for clients to finish", () => {
  test("says nothing where there is none", async () => {
    const log = new RecordedLog();
    await drained({ timeoutMs: 60_000, log, left: () => ({ clients: 0 }), finish: async () => {} });
    expect(log.lines).toEqual([]);
  });

  test("ends when they have, and says so", async () => {
    const log = new RecordedLog();
    let clients = 2;
    await drained({
      timeoutMs: 60_000,
      log,
      left: () => ({ clients }),
      async finish() {
        clients = 0;
      },
    });
    expect(log.lines).toEqual([
      { level: "info", message: "draining: clients may finish", fields: { clients: 2, secondsLeft: 60 } },
      { level: "info", message: "drained: no client is left", fields: {} },
    ]);
  });

  test("ends when the time is up, and warns of what is left", async () => {
    const log = new RecordedLog();
    await drained({ timeoutMs: 1, log, left: () => ({ clients: 2, requests: 3 }), finish: never });
    expect(told(log)).toEqual([
      "info draining: clients may finish",
      "warn the drain timeout is over: what clients have open is cut",
    ]);
    expect(log.lines[1]!.fields).toEqual({ clients: 2, requests: 3 });
  });

  test("of no time at all tells nobody to finish", async () => {
    const log = new RecordedLog();
    let asked = false;
    await drained({
      timeoutMs: 0,
      log,
      left: () => ({ clients: 1 }),
      async finish() {
        asked = true;
      },
    });
    expect(asked).toBe(false);
    expect(told(log)).toEqual(["warn the drain timeout is over: what clients have open is cut"]);
  });
});
