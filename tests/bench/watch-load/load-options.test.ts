import { expect, test } from "bun:test";
import { parseLoadOptions } from "./load-options.ts";

test("without options 1000 clients watch one key at etcd itself, and get bursts", () => {
  expect(parseLoadOptions([])).toMatchObject({
    address: "127.0.0.1:2379",
    etcdAddress: "127.0.0.1:2379",
    mode: "burst",
    start: "next",
    connections: 50,
    ranges: 0,
    watchersPerRange: 1000,
    putsPerBurst: 500,
  });
});

test("a proxy and its process are taken", () => {
  const words = ["--address", "127.0.0.1:1", "--etcd=127.0.0.1:2", "--pid", "77", "--mode=memory"];
  const expected = { address: "127.0.0.1:1", etcdAddress: "127.0.0.1:2", proxyPid: 77, mode: "memory" };
  expect(parseLoadOptions(words)).toMatchObject(expected);
});

test.each([
  ["--mode", "fast"],
  ["--start", "later"],
  ["--watchers", "many"],
  ["--connections", "0"],
  ["--value-bytes", "3"],
  ["--seconds", "-1"],
  ["--pid", "0"],
  ["--fast", ""],
])("%s %s is refused by its name", (name, value) => {
  expect(() => parseLoadOptions([`${name}=${value}`])).toThrow(name);
});
