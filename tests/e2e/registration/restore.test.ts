/** Registrations in a cluster that is restored to what it was before they were made: its revision goes back, and they are gone. */
import { cpSync, renameSync, rmSync } from "node:fs";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import {
  freeAddresses,
  registering,
  Registry,
  startRegistering,
  waitListed,
  waitRegistered,
} from "./scene.ts";

setDefaultTimeout(90_000);

/** There is no heartbeat in a test's time: the list alone tells what is lost. */
const LONG_TTL = 100_000;

let cluster: EtcdCluster;
let registry: Registry;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  registry = new Registry(cluster);
}, 120_000);
afterAll(() => cluster.dispose());

test("a proxy that is unknown to the restored cluster is registered again, as soon as it is back", async () => {
  const [address] = freeAddresses(1) as [string];
  const member = cluster.member(0);
  const saved = `${member.dataFolder}.saved`;
  await member.kill();
  cpSync(member.dataFolder, saved, { recursive: true });
  member.restart();
  await member.waitHealthy();
  for (let number = 0; number < 20; number++) await registry.run("put", "key", String(number));
  await using proxy = await startRegistering([member.endpoint], address, registering(address, LONG_TTL));
  await registry.waitWhole(address);
  await waitListed(address, [address]);
  await member.kill();
  rmSync(member.dataFolder, { recursive: true });
  renameSync(saved, member.dataFolder);
  member.restart();
  await waitRegistered(proxy, 2);
  await registry.waitWhole(address);
  expect(await proxy.stop()).toBe(0);
  expect([await registry.keys(), await registry.leases()]).toEqual([{}, []]);
});
