import { describe, expect, test } from "bun:test";
import type { FlagDefinition } from "../../src/cli/flag-definition.ts";
import { formatDefault, parseFlagValue, wordsOf } from "../../src/cli/flag-value.ts";

const entry = { group: "Limits", since: "live", description: "", placeholder: "value" } as const;
const text: FlagDefinition = { ...entry, name: "name", kind: "text", default: "" };
const list: FlagDefinition = { ...entry, name: "list", kind: "list", default: ["a"] };
const boolean: FlagDefinition = { ...entry, name: "debug", kind: "boolean", default: false };
const duration: FlagDefinition = { ...entry, name: "delay", kind: "duration", default: 60_000 };
const integer: FlagDefinition = {
  ...entry,
  name: "count",
  kind: "integer",
  default: 5,
  min: 1,
  max: 4_294_967_295,
};

describe("the value of a flag", () => {
  test("text is taken as it is, the empty one too", () => {
    expect(parseFlagValue(text, " a=b,c ")).toBe(" a=b,c ");
    expect(parseFlagValue(text, "")).toBe("");
  });

  test("text of a fixed set is one of it, and a near miss is suggested", () => {
    const way: FlagDefinition = { ...text, values: ["sticky", "round-robin", ""] };
    expect(parseFlagValue(way, "round-robin")).toBe("round-robin");
    expect(parseFlagValue(way, "")).toBe("");
    expect(() => parseFlagValue(way, "roundrobin")).toThrow(
      'etcdproxy: --name "roundrobin" is unknown: did you mean round-robin?',
    );
    expect(() => parseFlagValue(way, "fair")).toThrow(
      'etcdproxy: --name "fair" is unknown: use sticky, round-robin',
    );
    expect(wordsOf(way)).toEqual(["sticky", "round-robin"]);
    expect(wordsOf(text)).toBeUndefined();
  });

  test("a list is split at commas, and goes on where the flag is given again", () => {
    expect(parseFlagValue(list, "a, b")).toEqual(["a", "b"]);
    expect(parseFlagValue(list, "c", ["a", "b"])).toEqual(["a", "b", "c"]);
  });

  test.each(["", ",", "a,", "a,,b"])("the list %j has an empty item", (value) => {
    expect(() => parseFlagValue(list, value)).toThrow(
      "etcdproxy: --list: an item of the list is empty: write it, or drop the comma",
    );
  });

  test("a faulty list is not repeated in the error, since an endpoint may carry a password", () => {
    expect(() => parseFlagValue(list, "http://root:secret@a,")).toThrow(
      expect.not.stringContaining("secret"),
    );
  });

  test.each([
    ["1", true],
    ["t", true],
    ["T", true],
    ["true", true],
    ["TRUE", true],
    ["True", true],
    ["0", false],
    ["f", false],
    ["F", false],
    ["false", false],
    ["FALSE", false],
    ["False", false],
  ] as const)("the boolean %s is %p, as in Go", (value, expected) => {
    expect(parseFlagValue(boolean, value)).toBe(expected);
  });

  test.each(["", "yes", "tRUE", "2"])("%j is no boolean", (value) => {
    expect(() => parseFlagValue(boolean, value)).toThrow(
      `etcdproxy: --debug ${JSON.stringify(value)}: write --debug, --debug=true or --debug=false`,
    );
  });

  test("an error names where the value stands, and what can be written there", () => {
    expect(() => parseFlagValue(boolean, "yes", [], "ETCDPROXY_DEBUG")).toThrow(
      'etcdproxy: ETCDPROXY_DEBUG "yes": write true or false',
    );
    expect(() => parseFlagValue(integer, "0", [], "proxy.yaml:3: count")).toThrow(
      'etcdproxy: proxy.yaml:3: count "0": out of range: use 1 to 4294967295',
    );
  });

  test("a duration becomes milliseconds", () => {
    expect(parseFlagValue(duration, "1m30s")).toBe(90_000);
  });

  test.each(["soon", "5", ""])("%j is no duration", (value) => {
    expect(() => parseFlagValue(duration, value)).toThrow(
      `etcdproxy: --delay ${JSON.stringify(value)}: not a duration: write it like 1m30s, 500ms or 2h`,
    );
  });

  test.each(["-1s", "597h"])("the duration %s is outside of what a timer takes", (value) => {
    expect(() => parseFlagValue(duration, value)).toThrow(
      `etcdproxy: --delay "${value}": out of range: use 0 to 596h31m23s647ms`,
    );
  });

  test("a duration may have a lowest value of its own", () => {
    const dialTimeout: FlagDefinition = { ...duration, min: 1 };
    expect(parseFlagValue(dialTimeout, "1ms")).toBe(1);
    expect(() => parseFlagValue(dialTimeout, "0")).toThrow(
      'etcdproxy: --delay "0": out of range: use 1ms to 596h31m23s647ms',
    );
  });

  test.each([
    ["1", 1],
    ["+7", 7],
    ["4294967295", 4_294_967_295],
  ] as const)("the number %s is taken", (value, expected) => {
    expect(parseFlagValue(integer, value)).toBe(expected);
  });

  test.each(["", "1.5", "1e3", "0x10", "1_000", "many", "1 "])("%j is no whole number", (value) => {
    expect(() => parseFlagValue(integer, value)).toThrow(
      `etcdproxy: --count ${JSON.stringify(value)}: not a whole number: use 1 to 4294967295`,
    );
  });

  test.each(["0", "-1", "4294967296", "9".repeat(400)])("the number %s is out of range", (value) => {
    expect(() => parseFlagValue(integer, value)).toThrow(
      `etcdproxy: --count "${value}": out of range: use 1 to 4294967295`,
    );
  });

  test("a value with a line break still makes an error of one line", () => {
    expect(() => parseFlagValue(integer, "1\n2")).toThrow(
      'etcdproxy: --count "1\\n2": not a whole number: use 1 to 4294967295',
    );
  });

  test("defaults are written as an operator would, and left out where there is nothing to tell", () => {
    expect([text, list, boolean, duration, integer].map(formatDefault)).toEqual([
      undefined,
      "a",
      undefined,
      "1m",
      "5",
    ]);
  });
});
