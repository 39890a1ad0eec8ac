import { expect, test } from "bun:test";
import { short, table } from "./table.ts";

test("the first column stands left, the others right", () => {
  expect(
    table(
      ["who", "rate"],
      [
        ["ours", "12"],
        ["etcd", "3"],
      ],
    ),
  ).toEqual(["who   rate", "----  ----", "ours    12", "etcd     3"]);
});

test("a column without any figure is left out", () => {
  expect(table(["who", "p50", "p99"], [["ours", "", "7"], ["etcd"]])).toEqual([
    "who   p99",
    "----  ---",
    "ours    7",
    "etcd",
  ]);
});

test("a number is as long as what counts in it", () => {
  expect([0.1234, 1.005, 12.34, 123.4, 12_345.6].map(short)).toEqual([
    "0.12",
    "1.00",
    "12.3",
    "123",
    "12 346",
  ]);
});
