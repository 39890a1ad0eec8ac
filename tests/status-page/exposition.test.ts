/** The status page's reader of Prometheus's text: what the proxies write, and what they do not. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Metrics } from "../../src/observe/metrics.ts";
import { readExposition } from "../../src/observe/status-page/model/exposition.ts";

describe("the page of metrics", () => {
  test("is read as prom-client writes it", async () => {
    const metrics = new Metrics();
    metrics.gauge("depth", "Of the water.", () => 1.5);
    metrics.counters("calls_total", "Of all.", ["method"], () => [
      { labels: { method: 'a "quoted" \\ one\nin two lines, with {braces} and commas,' }, value: 3 },
      { labels: { method: "b" }, value: 4 },
    ]);
    const read = readExposition(await metrics.text());
    expect(read.sum("depth")).toBe(1.5);
    expect(read.sum("calls_total")).toBe(7);
    expect(read.sum("calls_total", { method: "b" })).toBe(4);
    expect(
      read.sum("calls_total", { method: 'a "quoted" \\ one\nin two lines, with {braces} and commas,' }),
    ).toBe(3);
    expect([...read.counted]).toEqual(["calls_total"]);
  });

  test("counts the parts of a histogram among what is counted, and its buckets by their bounds", () => {
    const read = readExposition(
      "# TYPE took_seconds histogram\n" +
        'took_seconds_bucket{le="0.1"} 3\ntook_seconds_bucket{le="+Inf"} 5\ntook_seconds_sum 1e-1\ntook_seconds_count 5\n',
    );
    expect([...read.counted]).toEqual(["took_seconds_bucket", "took_seconds_sum", "took_seconds_count"]);
    expect(read.sum("took_seconds_bucket", { le: "+Inf" })).toBe(5);
    expect(read.sum("took_seconds_sum")).toBe(0.1);
  });

  test("tells null of what is not there, and the largest of several", () => {
    const read = readExposition('up{a="1"} 2\nup{a="2"} +Inf\n');
    expect([read.sum("down"), read.max("down"), read.sum("up", { a: "3" })]).toEqual([null, null, null]);
    expect(read.max("up")).toBe(Number.POSITIVE_INFINITY);
  });

  test("leaves out the lines that it cannot read", () => {
    const read = readExposition("what is this\nup one\nup NaN\n{} 3\nup 1 1700000000000\n\n# EOF\n");
    expect([...read.names]).toEqual(["up"]);
    expect(read.sum("up")).toBe(1);
  });

  test("takes a label named as what objects have by nature for a label", () => {
    const read = readExposition('up{__proto__="x",constructor="y"} 1\n');
    expect(read.sum("up", { constructor: "y" })).toBe(1);
    expect(read.sum("up", { ["__proto__"]: "x" })).toBe(1);
    expect(read.sum("up", { toString: "y" })).toBeNull();
  });

  test("never fails, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        readExposition(text);
      }),
    );
  });
});
