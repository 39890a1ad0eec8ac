import { expect, test } from "bun:test";
import { parseKvOptions } from "./kv-options.ts";

test("without options 128 calls are in flight at etcd itself, nine reads to a put", () => {
  expect(parseKvOptions([])).toEqual({
    address: "127.0.0.1:2379",
    calls: 200_000,
    warmUpCalls: 20_000,
    connections: 8,
    inFlight: 16,
    keys: 1000,
    exponent: 0.99,
    putPercent: 10,
    valueBytes: 256,
    serializable: false,
    seed: 1,
    fill: false,
    json: false,
  });
});

test("a proxy, its process and etcd are taken", () => {
  const words = [
    "--address=127.0.0.1:1",
    "--etcd=127.0.0.1:2",
    "--pid=7",
    "--etcd-pid=8",
    "--reads=serializable",
  ];
  expect(parseKvOptions(words)).toMatchObject({
    address: "127.0.0.1:1",
    etcdAddress: "127.0.0.1:2",
    proxyPid: 7,
    etcdPid: 8,
    serializable: true,
  });
});

test.each([
  ["--reads", "fast"],
  ["--puts", "101"],
  ["--exponent", "steep"],
  ["--keys", "0"],
  ["--calls", "1.5"],
])("%s %s is refused by its name", (name, value) => {
  expect(() => parseKvOptions([name, value])).toThrow(`${name} ${value}`);
});
