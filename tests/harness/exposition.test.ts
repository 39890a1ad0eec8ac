import { describe, expect, test } from "bun:test";
import { readExposition, valueOf } from "./exposition.ts";

const METRIC = "# HELP up Is it?\n# TYPE up gauge\n";

test("a page is read into its metrics", () => {
  const families = readExposition(
    `${METRIC}up{a="x\\"}",b=""} 1\nup 2.5e3\n\n# HELP b_total B.\n# TYPE b_total counter\n`,
  );
  expect(valueOf(families, 'up{a="x\\"}",b=""}')).toBe(1);
  expect(valueOf(families, "up")).toBe(2500);
  expect(families.get("b_total")).toEqual({ type: "counter", help: "B.", samples: new Map() });
  expect(() => valueOf(families, "down")).toThrow("no down on the page");
});

describe("a page is refused for", () => {
  test.each([
    ["an end without newline", `${METRIC}up 1`],
    ["a sample without a type", "up 1\n"],
    ["a type without help", "# TYPE up gauge\n"],
    ["help without a type", "# HELP up Is it?\n"],
    ["empty help", "# HELP up \n# TYPE up gauge\n"],
    ["an unknown type", "# HELP up Is it?\n# TYPE up number\n"],
    ["a metric that is told twice", METRIC + METRIC],
    ["a series that is told twice", `${METRIC}up 1\nup 1\n`],
    ["a sample of another metric", `${METRIC}down 1\n`],
    ["labels without quotes", `${METRIC}up{a=b} 1\n`],
    ["a newline in a label", `${METRIC}up{a="x\ny"} 1\n`],
    ["a value that is no number", `${METRIC}up one\n`],
    ["a sample without value", `${METRIC}up\n`],
    ["a counter below zero", "# HELP up_total Is it?\n# TYPE up_total counter\nup_total -1\n"],
  ])("%s", (_what, page) => {
    expect(() => readExposition(page)).toThrow();
  });

  test.each([
    ["requests", "counter"],
    ["requests_total", "gauge"],
    ["requests_count", "gauge"],
    ["requests_gauge", "gauge"],
    ["requestsOpen", "gauge"],
    ["delay_ms", "gauge"],
    ["delay_milliseconds", "gauge"],
    ["a:b", "gauge"],
  ])("the name %s of a %s", (name, type) => {
    expect(() => readExposition(`# HELP ${name} Help.\n# TYPE ${name} ${type}\n`)).toThrow();
  });
});
