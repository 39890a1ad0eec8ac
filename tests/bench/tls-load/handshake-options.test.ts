import { expect, test } from "bun:test";
import { parseHandshakeOptions } from "./handshake-options.ts";

test("without further options clients show nothing and come to etcd itself", () => {
  expect(parseHandshakeOptions(["--cacert=ca.crt"])).toEqual({
    address: "127.0.0.1:2379",
    handshakes: 5000,
    warmUpHandshakes: 200,
    connections: 8,
    caFile: "ca.crt",
    group: "X25519",
    json: false,
  });
});

test("a proxy, its process and what clients show are taken", () => {
  const words = [
    "--address",
    "127.0.0.1:1",
    "--pid=77",
    "--etcd-pid=78",
    "--cacert=a",
    "--cert=b",
    "--key=c",
  ];
  expect(parseHandshakeOptions([...words, "--handshakes=9", "--warm-up=0", "--json"])).toMatchObject({
    address: "127.0.0.1:1",
    proxyPid: 77,
    etcdPid: 78,
    caFile: "a",
    shown: { certificateFile: "b", keyFile: "c" },
    handshakes: 9,
    warmUpHandshakes: 0,
    json: true,
  });
});

test.each([
  ["--handshakes", "0"],
  ["--warm-up", "-1"],
  ["--connections", "some"],
  ["--pid", "0"],
  ["--cert", "without-key.pem"],
  ["--fast", ""],
])("%s %s is refused by its name", (name, value) => {
  expect(() => parseHandshakeOptions(["--cacert=ca.crt", `${name}=${value}`])).toThrow(name);
});

test("clients that could not check the server are refused", () => {
  expect(() => parseHandshakeOptions([])).toThrow("--cacert is missing");
});
