/** What the flags about logging ask for, and what is refused. */
import { describe, expect, test } from "bun:test";
import { callLogFlags, loggingOptions, unusedCallLogFlags } from "../../src/cli/logging-flags.ts";
import { createLogger, type LogLevel } from "../../src/observe/log.ts";

const flags = { logLevel: "info", logFormat: "auto", debug: false };

describe("the level", () => {
  test.each([
    ["debug", "debug"],
    ["info", "info"],
    ["warn", "warn"],
    ["error", "error"],
    ["WARN", "warn"],
  ])("--log-level=%s is %s", (logLevel, level) => {
    expect(loggingOptions({ ...flags, logLevel }, false, {}).level).toBe(level as LogLevel);
  });

  test.each(["info", "debug", "INFO"])("--debug makes --log-level=%s debug", (logLevel) => {
    expect(loggingOptions({ ...flags, logLevel, debug: true }, false, {}).level).toBe("debug");
  });

  test.each([
    [{ logLevel: "wran" }, '--log-level "wran" is unknown: did you mean warn?'],
    [{ logLevel: "loud" }, '--log-level "loud" is unknown: use debug, info, warn, error'],
    [{ logLevel: "Warn" }, '--log-level "Warn" is unknown: did you mean warn?'],
    [{ logLevel: "" }, '--log-level "" is unknown: use debug, info, warn, error'],
    [{ logLevel: "fatal" }, '--log-level "fatal" is a level that nothing is logged at: use error'],
    [{ logLevel: "PANIC" }, '--log-level "PANIC" is a level that nothing is logged at: use error'],
    [
      { logLevel: "error", debug: true },
      "--debug and --log-level=error contradict each other: leave one of them out",
    ],
    [{ logFormat: "jsn" }, '--log-format "jsn" is unknown: did you mean json?'],
    [{ logFormat: "xml" }, '--log-format "xml" is unknown: use auto, json, readable'],
    [{ logFormat: "toString" }, '--log-format "toString" is unknown: use auto, json, readable'],
  ])("%p is refused", (wrong, line) => {
    expect(() => loggingOptions({ ...flags, ...wrong }, true, {})).toThrow(line);
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
    ["console", "a file", {}, PLAIN],
    ["readable", "a terminal", {}, COLOURFUL],
    ["auto", "a terminal", { NO_COLOR: "1" }, PLAIN],
    ["auto", "a terminal", { NO_COLOR: "" }, COLOURFUL],
    ["auto", "a terminal", { TERM: "dumb" }, PLAIN],
  ])("--log-format=%s on %s, with %p in the environment", (logFormat, where, environment, expected) => {
    const options = loggingOptions({ ...flags, logFormat }, where === "a terminal", environment);
    expect(options).toEqual({ level: "info", ...expected });
  });
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
