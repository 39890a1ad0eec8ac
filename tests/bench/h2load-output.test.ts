import { describe, expect, test } from "bun:test";
import { checkAnswers, latencyOf, parseH2loadLog, parseH2loadSummary } from "./h2load-output.ts";

const output = `starting benchmark...
spawning thread #0: 8 total client(s). 20000 total requests
progress: 100% done

finished in 322.00ms, 62111.80 req/s, 3.93MB/s
requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.26MB (1325464) total, 39.16KB (40096) headers (space savings 94.72%), 644.53KB (660000) data
                     min         max         mean         sd        +/- sd
time for request:       52us      9.91ms      1.90ms      1.25ms    74.04%
`;
const summary = { requests: 20_000, succeeded: 20_000, elapsedSeconds: 0.322, answerBytes: 660_000 };

describe("h2load's summary", () => {
  test("gives requests, time and the bytes of the answers", () => {
    expect(parseH2loadSummary(output)).toEqual(summary);
  });

  test("may tell the time in any of h2load's units", () => {
    const inUnit = (time: string): number =>
      parseH2loadSummary(output.replace("322.00ms", time)).elapsedSeconds;
    expect(inUnit("2.50s")).toBe(2.5);
    expect(inUnit("900us")).toBeCloseTo(0.0009, 9);
    expect(inUnit("2m")).toBe(120);
  });

  test("that is missing is an error which shows what h2load printed", () => {
    expect(() => parseH2loadSummary("Could not connect to the host\n")).toThrow(
      "Could not connect to the host",
    );
  });
});

describe("answers", () => {
  test("of the expected size are right", () => {
    expect(() => checkAnswers(summary, { minBytes: 33, maxBytes: 33 })).not.toThrow();
    expect(() => checkAnswers(summary, { minBytes: 32, maxBytes: 34 })).not.toThrow();
  });

  test("are wrong as soon as a single one lacks its message", () => {
    const oneError = { ...summary, answerBytes: 660_000 - 33 };
    expect(() => checkAnswers(oneError, { minBytes: 33, maxBytes: 33 })).toThrow("expected 33 to 33");
  });

  test("are wrong when they are larger than expected", () => {
    expect(() => checkAnswers(summary, { minBytes: 30, maxBytes: 32 })).toThrow("33.00 bytes on average");
  });

  test("must all be there", () => {
    expect(() => checkAnswers({ ...summary, succeeded: 19_999 }, { minBytes: 33, maxBytes: 33 })).toThrow(
      "only 19999 of 20000 requests succeeded",
    );
  });
});

describe("h2load's log", () => {
  test("gives the duration of each request, sorted", () => {
    const log = "1795325372947096\t200\t91\n1795325372946686\t200\t530\n1795325372946686\t200\t56\n";
    expect([...parseH2loadLog(log)]).toEqual([56, 91, 530]);
  });

  test("with a line that is none is an error", () => {
    expect(() => parseH2loadLog("1795325372947096\t200\t91\nsomething else\n")).toThrow("something else");
  });

  test("tells the median and the 99th percentile", () => {
    const micros = Array.from({ length: 200 }, (_, index) => index + 1);
    expect(latencyOf(micros)).toEqual({ p50Micros: 100, p99Micros: 198 });
  });
});
