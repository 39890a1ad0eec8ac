/**
 * `etcdctl watch`, the Go client's watch, which always requires a leader and matches `created` by position.
 */
import { expect } from "bun:test";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { EtcdctlStream } from "../../harness/etcdctl.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { InteractiveEtcdctl } from "./interactive-etcdctl.ts";
import { Writer } from "./writer.ts";

const eachTarget = eachTargetOf(useTargets());

const ETCDCTLS = 4;
const LARGE_BYTES = 1024 * 1024;

eachTarget("a key is watched from a revision on, with previous pairs", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const key = `${target.name}/key`;
  const revision = await writer.put(key, "one");
  await using watch = new EtcdctlStream(target.endpoints, ["watch", key, `--rev=${revision}`, "--prev-kv"]);
  expect(await watch.nextLines(3)).toEqual(["PUT", key, "one"]);
  await writer.put(`${key}s`, "not this one");
  await writer.put(key, "two");
  expect(await watch.nextLines(5)).toEqual(["PUT", key, "one", key, "two"]);
  await writer.delete(key);
  expect(await watch.nextLines(5)).toEqual(["DELETE", key, "two", key, ""]);
});

eachTarget("a range, a prefix and all keys are watched", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const base = `${target.name}/ranges/`;
  const from = `--rev=${(await writer.put(`${target.name}/before`, "v")) + 1n}`;
  const watched = [
    ["watch", `${base}a`, `${base}c`, from],
    ["watch", "--prefix", base, from],
    ["watch", "--prefix", "", from], // all keys
  ];
  await using stack = new AsyncDisposableStack();
  const [range, prefix, all] = watched.map((words) => stack.use(new EtcdctlStream(target.endpoints, words)));
  for (const name of ["b", "c"]) await writer.put(base + name, name);
  await writer.put(`${target.name}/beside`, "v");
  await writer.put(`${base}a`, "a");
  const pair = (name: string): string[] => ["PUT", base + name, name];
  expect(await range!.nextLines(6)).toEqual([...pair("b"), ...pair("a")]);
  expect(await prefix!.nextLines(9)).toEqual([...pair("b"), ...pair("c"), ...pair("a")]);
  const beside = ["PUT", `${target.name}/beside`, "v"];
  expect(await all!.nextLines(12)).toEqual([...pair("b"), ...pair("c"), ...beside, ...pair("a")]);
});

eachTarget("a watch from a compacted revision ends with the reason", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const key = `${target.name}/compacted`;
  const first = await writer.put(key, "1");
  // More than anyone on the way may have kept for its own use.
  for (const value of ["x", "y"]) await writer.put(key, value.repeat(LARGE_BYTES));
  const revision = await writer.put(key, "2");
  await client.unary(KV.method.compact, { revision, physical: true });
  await using watch = new EtcdctlStream(target.endpoints, ["watch", key, `--rev=${first}`]);
  const found = (line: string): string | undefined => (line.includes("compacted") ? line : undefined);
  expect(await watch.stderr.find("why the watch ended", found)).toContain(
    "required revision has been compacted",
  );
  expect(await watch.exited).not.toBe(0);
});

eachTarget("several etcdctls watch the same keys, each from where it asked", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const base = `${target.name}/several/`;
  const revisions: bigint[] = [];
  for (let index = 0; index < ETCDCTLS; index++) {
    revisions.push(await writer.put(`${base}${index}`, String(index)));
  }
  await using stack = new AsyncDisposableStack();
  const watches = revisions.map((revision) =>
    stack.use(new EtcdctlStream(target.endpoints, ["watch", "--prefix", base, `--rev=${revision}`])),
  );
  await writer.put(`${base}all`, "v");
  for (const [index, watch] of watches.entries()) {
    const names = [...revisions.keys()].slice(index).map(String);
    const lines = names.flatMap((name) => ["PUT", base + name, name]);
    expect(await watch.nextLines(lines.length + 3)).toEqual([...lines, "PUT", `${base}all`, "v"]);
  }
});

eachTarget(
  "watches are begun one after another on one stream, and asked for their progress",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    const first = `${target.name}/interactive/first`;
    const second = `${target.name}/interactive/second`;
    const revision = await writer.put(first, "1");
    await using watch = new InteractiveEtcdctl(target.endpoints);
    await watch.say(`watch ${first} --rev=${revision}`);
    expect(await watch.nextLines(3)).toEqual(["PUT", first, "1"]);
    await watch.say(`watch ${second} --rev=${revision + 1n} --prev-kv`);
    await writer.put(second, "2");
    // Without a previous pair it prints empty lines or none, as its version likes.
    const printed = (value: string) => (line: string) => (line === value ? line : undefined);
    await watch.stdout.find("the put of the second key", printed("2"));
    const last = await writer.put(`${target.name}/interactive/elsewhere`, "v");
    const progress = (line: string): bigint | undefined => {
      const [, told] = /^progress notify: (\d+)$/.exec(line) ?? [];
      return told !== undefined && BigInt(told) >= last ? BigInt(told) : undefined;
    };
    await watch.say("progress");
    expect(await watch.stdout.find(`progress to ${last}`, progress)).toBeGreaterThanOrEqual(last);
    await writer.put(first, "3");
    await watch.stdout.find("the put of the first key", printed("3"));
  },
);
