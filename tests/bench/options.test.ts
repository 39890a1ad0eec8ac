import { expect, test } from "bun:test";
import { parseOptions } from "./options.ts";

test("without options everything is measured in five rounds", () => {
  expect(parseOptions([])).toEqual({
    rounds: 5,
    seconds: 2.5,
    parts: ["kv", "watch", "lease", "gateway", "tls", "idle"],
    jsonFile: "bench-results.json",
    strict: false,
  });
});

test("every option is taken", () => {
  const words = ["--rounds", "2", "--seconds=0.5", "--only", "gateway", "--json", "x.json", "--strict"];
  expect(parseOptions(words)).toEqual({
    rounds: 2,
    seconds: 0.5,
    parts: ["gateway"],
    jsonFile: "x.json",
    strict: true,
  });
});

test.each([
  ["--rounds", "0"],
  ["--rounds", "1.5"],
  ["--seconds", "soon"],
  ["--only", "auth"],
  ["--fast", ""],
])("%s %s is refused by its name", (name, value) => {
  expect(() => parseOptions([name, value])).toThrow(name);
});
