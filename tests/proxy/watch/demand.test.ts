import { describe, expect, test } from "bun:test";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import type { ClientStream } from "../../../src/proxy/watch/client-stream.ts";
import { Demand } from "../../../src/proxy/watch/demand.ts";
import { Subscriber, watchOptions } from "../../../src/proxy/watch/subscriber.ts";

function range(key: string, rangeEnd = ""): KeyRange {
  return KeyRange.of(Buffer.from(key), Buffer.from(rangeEnd))!;
}

/** A watch on a range of its own making. */
function watch(key: string, rangeEnd = "", { prevKv = false, token = "" } = {}): Subscriber {
  const options = watchOptions(prevKv, false, false, false, false);
  return new Subscriber({ token } as ClientStream, range(key, rangeEnd), options, 0);
}

function demandOf(...watches: readonly Subscriber[]): Demand {
  const demand = new Demand();
  for (const each of watches) demand.add(each);
  return demand;
}

describe("the demand for a range", () => {
  test("is that of the watches on exactly this range", () => {
    const [one, two, wider] = [watch("a", "c"), watch("a", "c"), watch("a", "d")];
    const demand = demandOf(one, wider, two);
    expect(demand.of(range("a", "c"))).toEqual([one, two]);
    expect(demand.of(range("a", "d"))).toEqual([wider]);
    expect(demand.of(range("a"))).toEqual([]);
  });

  test("has one range object for all", () => {
    const [one, two] = [watch("a", "c"), watch("a", "c")];
    demandOf(one, two);
    expect(two.range).toBe(one.range);
  });

  test("has the same range however it was written", () => {
    const [key, sameAsRange] = [watch("a"), watch("a", "a\0")];
    expect(demandOf(key, sameAsRange).of(range("a"))).toEqual([key, sameAsRange]);
  });

  test("ends with each watch that leaves, in any order", () => {
    const watches = ["first", "second", "third"].map(() => watch("a", "c"));
    const [first, second, third] = watches;
    const demand = demandOf(...watches);
    demand.remove(first!);
    expect(new Set(demand.of(range("a", "c")))).toEqual(new Set([second!, third!]));
    demand.remove(third!);
    expect(demand.of(range("a", "c"))).toEqual([second!]);
    demand.remove(second!);
    expect(demand.of(range("a", "c"))).toEqual([]);
  });

  test("stays as it is when a watch leaves that has left, or never came", () => {
    const [gone, stays, never] = [watch("a"), watch("a"), watch("a")];
    const demand = demandOf(gone, stays);
    demand.remove(gone);
    demand.remove(gone);
    demand.remove(never);
    demand.remove(watch("b"));
    expect(demand.of(range("a"))).toEqual([stays]);
  });

  test("has the tokens of those who watch it, each once", () => {
    const demand = demandOf(
      watch("a", "c", { token: "alice" }),
      watch("a", "c", { token: "alice" }),
      watch("a", "c", { token: "bob" }),
      watch("a", "d", { token: "carol" }),
    );
    expect([...demand.tokensOf(range("a", "c"))]).toEqual(["alice", "bob"]);
    expect([...demand.tokensOf(range("x"))]).toEqual([]);
  });
});

describe("prev_kv", () => {
  test("is wanted of a range when a watch within it wants it", () => {
    const demand = demandOf(watch("b", "", { prevKv: true }), watch("a", "z"));
    expect(demand.wantsPrevKv(range("a", "z"))).toBe(true);
    expect(demand.wantsPrevKv(range("b"))).toBe(true);
    expect(demand.wantsPrevKv(range("c", "z"))).toBe(false);
  });

  test("is not wanted of a range for a watch that reaches beyond it", () => {
    expect(demandOf(watch("a", "z", { prevKv: true })).wantsPrevKv(range("a", "c"))).toBe(false);
  });

  test("is wanted until the last has left who wants it", () => {
    const [one, two, plain] = [
      watch("a", "", { prevKv: true }),
      watch("a", "", { prevKv: true }),
      watch("a"),
    ];
    const demand = demandOf(one, plain, two);
    demand.remove(one);
    expect(demand.wantsPrevKv(range("a"))).toBe(true);
    demand.remove(two);
    expect(demand.wantsPrevKv(range("a"))).toBe(false);
  });
});
