/** Beside etcd's own grpc-proxy under the same prefix: each lists the other, and what both write is alike. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type LoggedChild, spawnLogged } from "../../harness/child-process.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdBinary } from "../../harness/etcd-version.ts";
import { ensureBuilt } from "../../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import {
  freeAddresses,
  memberTable,
  PREFIX,
  registering,
  Registry,
  rowOf,
  startRegistering,
  valueOf,
  waitListed,
} from "./scene.ts";

setDefaultTimeout(90_000);

const TTL = 3;

let cluster: EtcdCluster;
let folder: TemporaryFolder;
beforeAll(async () => {
  [cluster] = await Promise.all([startEtcdCluster({ members: 1 }), ensureBuilt()]);
  folder = new TemporaryFolder("beside");
}, 120_000);
afterAll(async () => {
  await cluster.dispose();
  folder[Symbol.dispose]();
});

/** etcd's own proxy, which registers the address that it listens at. */
function startTheirs(address: string): LoggedChild {
  const serving = [`--listen-addr=${address}`, `--endpoints=${cluster.endpoints.join(",")}`];
  const data = `--data-dir=${folder.file("proxy")}`;
  const flags = [...serving, ...registering(address, TTL), data];
  return spawnLogged([etcdBinary("etcd"), "grpc-proxy", "start", ...flags], folder.file("proxy.log"));
}

/** The table of an endpoint, its rows in the order of their addresses: theirs has none. */
async function sortedTable(endpoint: string): Promise<unknown[]> {
  return (await memberTable(endpoint)).toSorted((some, other) =>
    some["CLIENT ADDRS"]! < other["CLIENT ADDRS"]! ? -1 : 1,
  );
}

test("both register alike, and list each other", async () => {
  const [ours, theirs] = freeAddresses(2) as [string, string];
  const child = startTheirs(theirs);
  try {
    await using proxy = await startRegistering(cluster.endpoints, ours, registering(ours, TTL));
    await waitListed(ours, [ours, theirs]);
    const rows = [rowOf(ours), rowOf(theirs)];
    expect(await memberTable(ours)).toEqual(rows);
    await waitFor("etcd's own proxy to list ours", async () =>
      Bun.deepEquals(await sortedTable(theirs), rows),
    );
    expect(await new Registry(cluster).keys()).toEqual({
      [`${PREFIX}/${ours}`]: valueOf(ours),
      [`${PREFIX}/${theirs}`]: valueOf(theirs),
    });
    // It takes nothing back when it ends: its lease has to.
    child.kill("SIGTERM");
    await child.exited;
    await waitListed(ours, [ours]);
    // What becomes of its own list when ours goes is not to be seen: it forgets nobody (#17887).
    expect(await proxy.stop()).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});
