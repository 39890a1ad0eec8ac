/** With `--namespace` proxies are registered inside it, and know of those who are there. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { ensureBuilt } from "../../harness/etcdproxy-process.ts";
import {
  freeAddresses,
  PREFIX,
  registering,
  Registry,
  startRegistering,
  valueOf,
  waitListed,
  waitRegistered,
} from "./scene.ts";

setDefaultTimeout(60_000);

let cluster: EtcdCluster;
beforeAll(async () => {
  [cluster] = await Promise.all([startEtcdCluster({ members: 1 }), ensureBuilt()]);
}, 120_000);
afterAll(() => cluster.dispose());

test("the key lies in the namespace, and is kept there", async () => {
  const [first, second, outside] = freeAddresses(3) as [string, string, string];
  const inside = (address: string): string[] => [...registering(address), "--namespace=apps/"];
  await using one = await startRegistering(cluster.endpoints, first, inside(first));
  await using two = await startRegistering(cluster.endpoints, second, [
    ...inside(second),
    "--namespace-strict",
  ]);
  await using other = await startRegistering(cluster.endpoints, outside);
  await waitListed(first, [first, second]);
  await waitListed(second, [first, second]);
  await waitListed(outside, [outside]);
  const registry = new Registry(cluster);
  const prefix = `apps/${PREFIX}`;
  const both = { [`${prefix}/${first}`]: valueOf(first), [`${prefix}/${second}`]: valueOf(second) };
  expect(await registry.keys(prefix)).toEqual(both);
  expect(await registry.keys()).toEqual({ [`${PREFIX}/${outside}`]: valueOf(outside) });

  await registry.run("del", `${prefix}/${first}`);
  await waitRegistered(one, 2);
  expect(await registry.keys(prefix)).toEqual(both);
  await waitListed(second, [first, second]);

  expect([await one.stop(), await two.stop(), await other.stop()]).toEqual([0, 0, 0]);
  expect([await registry.keys(prefix), await registry.keys(), await registry.leases()]).toEqual([{}, {}, []]);
});
