import { expect, test } from "bun:test";
import { parseLeaseOptions } from "./lease-options.ts";

test("without options 500 clients keep 5000 leases alive at etcd itself", () => {
  expect(parseLeaseOptions([])).toEqual({
    address: "127.0.0.1:2379",
    etcdAddress: "127.0.0.1:2379",
    mode: "paced",
    leases: 5000,
    clients: 500,
    connections: 50,
    ttlSeconds: 3,
    paceSeconds: 1,
    seconds: 5,
    warmUpSeconds: 2,
    json: false,
  });
});

test("a proxy and its process are taken", () => {
  const words = ["--address=127.0.0.1:1", "--etcd", "127.0.0.1:2", "--pid=7", "--etcd-pid=8", "--mode=burst"];
  expect(parseLeaseOptions(words)).toMatchObject({
    address: "127.0.0.1:1",
    etcdAddress: "127.0.0.1:2",
    proxyPid: 7,
    etcdPid: 8,
    mode: "burst",
  });
});

test.each([
  ["--mode", "fast"],
  ["--leases", "499"],
  ["--pace", "0"],
  ["--seconds", "soon"],
])("%s %s is refused by its name", (name, value) => {
  expect(() => parseLeaseOptions([name, value])).toThrow(`${name} ${value}`);
});
