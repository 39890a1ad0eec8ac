/**
 * The npm package `etcd3`, Node's client of etcd, on all targets.
 */
import { expect } from "bun:test";
import { Etcd3, EtcdLockFailedError, type IKeyValue } from "etcd3";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import { eachTargetOf, type Target, useTargets } from "./targets.ts";

const eachTarget = eachTargetOf(useTargets());

/** A client whose keys are its target's own; closed by the caller. */
function open(target: Target): Etcd3 & Disposable {
  const client = new Etcd3({ hosts: target.endpoints.map((endpoint) => `http://${endpoint}`) });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

eachTarget("values are put, read, listed and deleted", async (target) => {
  using client = open(target);
  const keys = client.namespace(`${target.name}/kv/`);
  await keys.put("a").value("1");
  await keys.put("b").value("2");
  expect(await keys.get("a").string()).toBe("1");
  expect(await keys.get("none").string()).toBeNull();
  expect(await keys.getAll().strings()).toEqual({ a: "1", b: "2" });
  expect(await keys.getAll().sort("Key", "Descend").keys()).toEqual(["b", "a"]);
  expect((await keys.delete().all()).deleted).toBe("2");
  expect(await keys.getAll().count()).toBe(0);
});

eachTarget("a namespace sees its own keys only", async (target) => {
  using client = open(target);
  const inside = client.namespace(`${target.name}/namespace/`);
  await client.put(`${target.name}/outside`).value("outside");
  await inside.put("key").value("inside");
  expect(await client.get(`${target.name}/namespace/key`).string()).toBe("inside");
  expect(await inside.getAll().keys()).toEqual(["key"]);
});

eachTarget("a watcher sees puts and deletions in order", async (target) => {
  using client = open(target);
  const keys = client.namespace(`${target.name}/watch/`);
  const watcher = await keys.watch().prefix("").create();
  const seen: string[] = [];
  const note = (kind: string) => (pair: IKeyValue) => {
    seen.push(`${kind} ${pair.key.toString()} ${pair.value.toString()}`);
  };
  watcher.on("put", note("put"));
  watcher.on("delete", note("delete"));
  await keys.put("a").value("1");
  await keys.put("b").value("2");
  await keys.delete().key("a");
  await waitFor("three events", () => seen.length >= 3);
  expect(seen).toEqual(["put a 1", "put b 2", "delete a "]);
  await watcher.cancel();
});

eachTarget("a lease keeps its key while it lives, and takes it along", async (target) => {
  using client = open(target);
  const lease = client.lease(60);
  const key = `${target.name}/leased`;
  await lease.put(key).value("value");
  await lease.keepaliveOnce();
  expect(await client.get(key).string()).toBe("value");
  await lease.revoke();
  expect(await client.get(key).string()).toBeNull();
});

eachTarget("a lock keeps others out until it is released", async (target) => {
  using client = open(target);
  const name = `${target.name}/lock`;
  const held = await client.lock(name).acquire();
  const refused: unknown = await client
    .lock(name)
    .acquire()
    .catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(EtcdLockFailedError);
  await held.release();
  const again = await client.lock(name).acquire();
  await again.release();
});

eachTarget("an election has a leader, and another after it", async (target) => {
  using client = open(target);
  const election = client.election(`${target.name}/election`, 60);
  const first = election.campaign("first");
  await withDeadline(
    new Promise<void>((resolve) => first.on("elected", () => resolve())),
    () => "the first to be elected",
  );
  expect(await election.leader()).toBe("first");
  const second = election.campaign("second");
  const elected = new Promise<void>((resolve) => second.on("elected", () => resolve()));
  await first.resign();
  await withDeadline(elected, () => "the second to be elected");
  expect(await election.leader()).toBe("second");
  await second.resign();
});

eachTarget("a transaction compares and branches, and concurrent ones count right", async (target) => {
  using client = open(target);
  const key = `${target.name}/stm`;
  const absent = client.if(key, "Version", "==", 0);
  const created = await absent.then(client.put(key).value("0")).commit();
  expect(created.succeeded).toBe(true);
  const other = await client
    .if(key, "Version", "==", 0)
    .then(client.put(key).value("again"))
    .else(client.get(key))
    .commit();
  expect(other.succeeded).toBe(false);
  await Promise.all(
    Array.from({ length: 5 }, () =>
      client.stm({ retries: 50 }).transact(async (transaction) => {
        const value = Number(await transaction.get(key).string());
        await transaction.put(key).value(String(value + 1));
      }),
    ),
  );
  expect(await client.get(key).string()).toBe("5");
});
