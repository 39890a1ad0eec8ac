/**
 * etcdctl, the Go client, on all targets: what operators type, and what it prints.
 */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import type { CommandResult } from "../harness/child-process.ts";
import { etcdVersion, isSince } from "../harness/etcd-version.ts";
import { etcdctl, EtcdctlStream } from "../harness/etcdctl.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { eachTargetOf, type Target, useTargets } from "./targets.ts";

const targets = useTargets();
const eachTarget = eachTargetOf(targets);

/** Runs a command that must succeed; gives what it printed. */
async function ran(target: Target, rest: readonly string[], stdin?: string): Promise<string> {
  const input = stdin === undefined ? undefined : new TextEncoder().encode(stdin);
  return succeeded(await etcdctl(target.endpoints, rest, input));
}

function succeeded({ code, stdout, stderr }: CommandResult): string {
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
  return stdout.trimEnd();
}

/** The JSON that a command prints with `-w json`. */
async function ranJson<Answer>(target: Target, ...rest: readonly string[]): Promise<Answer> {
  return JSON.parse(await ran(target, [...rest, "-w", "json"])) as Answer;
}

interface WithHeader {
  readonly header: { readonly revision: number };
}

eachTarget("put, get and del a key", async (target) => {
  const key = `${target.name}/key`;
  expect(await ran(target, ["put", key, "value"])).toBe("OK");
  expect(await ran(target, ["get", key])).toBe(`${key}\nvalue`);
  expect(await ran(target, ["get", `${target.name}/`, "--prefix", "--keys-only"])).toBe(key);
  expect(await ran(target, ["del", key])).toBe("1");
  expect(await ran(target, ["get", key])).toBe("");
});

eachTarget("get reads an old revision", async (target) => {
  const key = `${target.name}/old`;
  const { header } = await ranJson<WithHeader>(target, "put", key, "old");
  await ran(target, ["put", key, "new"]);
  expect(await ran(target, ["get", key, `--rev=${header.revision}`])).toBe(`${key}\nold`);
});

eachTarget("txn takes one of two branches", async (target) => {
  const key = `${target.name}/txn`;
  await ran(target, ["put", key, "1"]);
  const txn = `value("${key}") = "1"\n\nput ${key} then\nget ${key}\n\nput ${key} else\n\n`;
  expect(await ran(target, ["txn"], txn)).toBe(`SUCCESS\n\nOK\n\n${key}\nthen`);
  expect(await ran(target, ["txn"], txn)).toBe("FAILURE\n\nOK");
});

eachTarget("a lease is granted, kept alive, told of and revoked, with its key", async (target) => {
  const key = `${target.name}/leased`;
  const granted = await ran(target, ["lease", "grant", "60"]);
  const [, id = ""] = /^lease ([0-9a-f]+) granted with TTL\(60s\)$/.exec(granted) ?? [];
  await ran(target, ["put", key, "value", `--lease=${id}`]);
  expect(await ran(target, ["lease", "keep-alive", "--once", id])).toBe(
    `lease ${id} keepalived with TTL(60)`,
  );
  await using alive = new EtcdctlStream(target.endpoints, ["lease", "keep-alive", id]);
  expect(await alive.nextLine()).toBe(`lease ${id} keepalived with TTL(60)`);
  expect(await ran(target, ["lease", "timetolive", id, "--keys"])).toContain(`attached keys([${key}])`);
  expect(await ran(target, ["lease", "list"])).toContain(id);
  expect(await ran(target, ["lease", "revoke", id])).toBe(`lease ${id} revoked`);
  expect(await ran(target, ["get", key])).toBe("");
});

eachTarget("watch shows a prefix's changes from a revision on, with the previous pair", async (target) => {
  const key = `${target.name}/watch/key`;
  const { header } = await ranJson<WithHeader>(target, "put", key, "one");
  await ran(target, ["put", key, "two"]);
  const flags = ["--prefix", `--rev=${header.revision}`, "--prev-kv"];
  await using watch = new EtcdctlStream(target.endpoints, ["watch", `${target.name}/watch/`, ...flags]);
  expect(await watch.nextLines(3)).toEqual(["PUT", key, "one"]);
  expect(await watch.nextLines(5)).toEqual(["PUT", key, "one", key, "two"]);
  await ran(target, ["del", key]);
  expect(await watch.nextLines(5)).toEqual(["DELETE", key, "two", key, ""]);
});

eachTarget("a lock is held until its holder goes, and then by the next", async (target) => {
  const name = `${target.name}/lock`;
  await using holder = new EtcdctlStream(target.endpoints, ["lock", name]);
  const key = await holder.nextLine();
  expect(key).toStartWith(`${name}/`);
  await using waiter = new EtcdctlStream(target.endpoints, ["lock", name]);
  expect(await holder.stop()).toBe(0);
  const nextKey = await waiter.nextLine();
  expect(nextKey).toStartWith(`${name}/`);
  expect(nextKey).not.toBe(key);
  expect(await waiter.stop()).toBe(0);
});

eachTarget("an election is won, observed, and won by the next", async (target) => {
  const name = `${target.name}/election`;
  await using first = new EtcdctlStream(target.endpoints, ["elect", name, "first"]);
  const [key = "", value] = await first.nextLines(2);
  expect(key).toStartWith(`${name}/`);
  expect(value).toBe("first");
  await using observer = new EtcdctlStream(target.endpoints, ["elect", "--listen", name]);
  expect(await observer.nextLines(2)).toEqual([key, "first"]);
  await using second = new EtcdctlStream(target.endpoints, ["elect", name, "second"]);
  expect(await first.stop()).toBe(0);
  expect((await second.nextLines(2))[1]).toBe("second");
  expect((await observer.nextLines(2))[1]).toBe("second");
  expect(await second.stop()).toBe(0);
});

eachTarget("snapshot save writes a database that snapshot status accepts", async (target) => {
  using folder = new TemporaryFolder("snapshot");
  const file = folder.file("snapshot.db");
  await ran(target, ["put", `${target.name}/snapshot`, "value"]);
  succeeded(await etcdctl([target.address], ["snapshot", "save", file]));
  expect(readFileSync(file).includes(`${target.name}/snapshot`)).toBe(true);
  // From 3.6 on the check of a file is etcdutl's, which takes no endpoints.
  if (isSince(etcdVersion(), [3, 6, 0])) return;
  const status = JSON.parse(
    succeeded(await etcdctl([target.address], ["snapshot", "status", file, "-w", "json"])),
  ) as { readonly totalKey: number };
  expect(status.totalKey).toBeGreaterThan(0);
});

eachTarget(
  "member list shows the members",
  async (target) => {
    const list = await ran(target, ["member", "list"]);
    for (const member of targets.cluster.members) {
      expect(list).toContain(`started, ${member.name}, `);
      expect(list).toContain(`http://${member.endpoint}`);
    }
  },
  { except: { target: "grpcProxy", why: "it names itself as the one member, see every-method" } },
);

eachTarget("endpoint health finds each endpoint healthy", async (target) => {
  const { code, stdout, stderr } = await etcdctl(target.endpoints, ["endpoint", "health"]);
  expect(code).toBe(0);
  for (const endpoint of target.endpoints) expect(stdout + stderr).toContain(`${endpoint} is healthy`);
});

eachTarget("endpoint status and hashkv tell of the member behind each endpoint", async (target) => {
  const statuses = await ranJson<
    readonly { readonly Endpoint: string; readonly Status: { readonly version: string } }[]
  >(target, "endpoint", "status");
  expect(statuses.map(({ Endpoint }) => Endpoint)).toEqual([...target.endpoints]);
  for (const { Status } of statuses) expect(Status.version).toBe(etcdVersion().join("."));
  const hashes = await ranJson<readonly { readonly HashKV: { readonly hash: number } }[]>(
    target,
    "endpoint",
    "hashkv",
  );
  for (const { HashKV } of hashes) expect(HashKV.hash).toBeGreaterThan(0);
});

eachTarget("alarm list and alarm disarm find nothing to tell of", async (target) => {
  expect(await ran(target, ["alarm", "list"])).toBe("");
  expect(await ran(target, ["alarm", "disarm"])).toBe("");
});

eachTarget("compaction drops old revisions, and get then says so", async (target) => {
  const key = `${target.name}/compacted`;
  const { header } = await ranJson<WithHeader>(target, "put", key, "one");
  const later = await ranJson<WithHeader>(target, "put", key, "two");
  const revision = later.header.revision;
  expect(await ran(target, ["compaction", String(revision)])).toBe(`compacted revision ${revision}`);
  const { code, stderr } = await etcdctl(target.endpoints, ["get", key, `--rev=${header.revision}`]);
  expect(code).not.toBe(0);
  expect(stderr).toContain("etcdserver: mvcc: required revision has been compacted");
});

eachTarget("defrag defragments the member behind each endpoint", async (target) => {
  const printed = await ran(target, ["defrag", "--command-timeout=30s"]);
  for (const endpoint of target.endpoints) {
    expect(printed).toMatch(new RegExp(`Finished defragmenting etcd member\\[${endpoint}\\]`));
  }
});
