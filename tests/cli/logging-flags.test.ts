/** What the flags about logging ask for, and what is refused. */
import { describe, expect, test } from "bun:test";
import { callLogFlags, loggingOptions, unusedCallLogFlags } from "../../src/cli/logging-flags.ts";
import { createLogger, type LogLevel } from "../../src/observe/log.ts";

const flags = { logLevel: "info", logFormat: "auto", debug: false } as const;

describe("the level", () => {
  test.each(["debug", "info", "warn", "error"] as const)("is that of --log-level=%s", (logLevel) => {
    expect(loggingOptions({ ...flags, logLevel }, false, {}).level).toBe(logLevel);
  });

  test.each(["info", "debug"] as const)("--debug makes --log-level=%s debug", (logLevel) => {
    expect(loggingOptions({ ...flags, logLevel, debug: true }, false, {}).level).toBe("debug");
  });

  test("is not two at once", () => {
    expect(() => loggingOptions({ ...flags, logLevel: "error", debug: true }, true, {})).toThrow(
      "--debug and --log-level=error contradict each other: leave one of them out",
    );
  });
});

describe("the format", () => {
  const COLOURFUL = { output: "readable", colours: true } as const;
  const PLAIN = { output: "readable", colours: false } as const;
  const JSON_LINES = { output: "json", colours: false } as const;
  test.each([
    ["auto", "a terminal", {}, COLOURFUL],
    ["auto", "a file", {}, JSON_LINES],
    ["json", "a terminal", {}, JSON_LINES],
    ["readable", "a file", {}, PLAIN],
    ["readable", "a terminal", {}, COLOURFUL],
    ["auto", "a terminal", { NO_COLOR: "1" }, PLAIN],
    ["auto", "a terminal", { NO_COLOR: "" }, COLOURFUL],
    ["auto", "a terminal", { TERM: "dumb" }, PLAIN],
  ] as const)(
    "--log-format=%s on %s, with %p in the environment",
    (logFormat, where, environment, expected) => {
      const options = loggingOptions({ ...flags, logFormat }, where === "a terminal", environment);
      expect(options).toEqual({ level: "info", ...expected });
    },
  );
});

describe("the log of calls", () => {
  const calls = { experimentalEnableGrpcLogging: true, grpcLoggingValues: false, logLevel: "info" };

  function asked(wanted: Partial<typeof calls>, level: LogLevel = "info") {
    const log = createLogger({ level, output: "json", destination: { write: () => {} } });
    const all = { ...calls, ...wanted, logLevel: level };
    return { options: callLogFlags(all, log), warnings: unusedCallLogFlags(all, log) };
  }

  test("is on where it is asked for, with values or without", () => {
    expect(asked({})).toEqual({ options: { values: false }, warnings: [] });
    expect(asked({ grpcLoggingValues: true })).toEqual({ options: { values: true }, warnings: [] });
    expect(asked({ experimentalEnableGrpcLogging: false })).toEqual({ options: undefined, warnings: [] });
  });

  test("that would write nothing is off, with a warning", () => {
    const { options, warnings } = asked({}, "warn");
    expect(options).toBeUndefined();
    expect(warnings).toEqual([
      "--experimental-enable-grpc-logging is not used: its lines are of level info, below --log-level=warn",
    ]);
  });

  test("that is off has no values, which is warned of", () => {
    const { options, warnings } = asked({ experimentalEnableGrpcLogging: false, grpcLoggingValues: true });
    expect(options).toBeUndefined();
    expect(warnings).toEqual([
      "--grpc-logging-values is not used: calls are logged with --experimental-enable-grpc-logging",
    ]);
  });
});
