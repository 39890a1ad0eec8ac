/** How long proxies are registered: as long as they live, whatever becomes of their lease, their key and their members. */
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import type { EtcdproxyProcess } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { metric } from "../../drain/drain-scene.ts";
import { WatchStream } from "../watch/watch-stream.ts";
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

setDefaultTimeout(90_000);

/** What etcd makes of a shorter one: it ends no lease sooner. */
const SHORT_TTL = 3;

let cluster: EtcdCluster;
let registry: Registry;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 3 });
  registry = new Registry(cluster);
}, 120_000);
afterAll(() => cluster.dispose());

let address: string;
let otherAddress: string;
let proxy: EtcdproxyProcess;

beforeEach(async () => {
  [address, otherAddress] = freeAddresses(2) as [string, string];
  proxy = await startRegistering(cluster.endpoints, address);
  await registry.waitWhole(address);
});

afterEach(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const lease of await registry.leases()) await registry.run("lease", "revoke", lease);
  await registry.run("del", "--prefix", `${PREFIX}/`);
});

/** A second proxy, beside the first. */
async function another(ttlSeconds: number, advertised = otherAddress): Promise<EtcdproxyProcess> {
  const flags = registering(advertised, ttlSeconds);
  return await startRegistering(cluster.endpoints, otherAddress, flags);
}

describe("a proxy that ends", () => {
  test("by SIGTERM is gone from every list at once, however long its lease would be", async () => {
    await using other = await another(100_000);
    await waitListed(address, [address, otherAddress]);
    expect(await other.stop()).toBe(0);
    expect([Object.keys(await registry.keys()), (await registry.leases()).length]).toEqual([
      [`${PREFIX}/${address}`],
      1,
    ]);
    await waitListed(address, [address]);
  });

  test("by SIGKILL is gone when its lease has ended", async () => {
    await using other = await another(SHORT_TTL);
    await waitListed(address, [address, otherAddress]);
    other.kill("SIGKILL");
    await other.exited;
    await waitListed(address, [address]);
    await registry.waitWhole(address);
  });

  test("and is started again at once takes its key over", async () => {
    await using other = await another(60);
    await waitListed(address, [address, otherAddress]);
    other.kill("SIGKILL");
    await other.exited;
    await using again = await another(60);
    await waitRegistered(again);
    await again.stop();
    await waitListed(address, [address]);
  });

  test("takes its registration back before its clients are told to go", async () => {
    await using other = await another(60);
    await waitListed(address, [address, otherAddress]);
    using client = new GrpcClient(otherAddress);
    using watch = new WatchStream(client);
    await watch.open({ key: "key" });
    expect(await other.stop()).toBe(0);
    const steps = ["stopping", "no longer registered", "draining: clients may finish", "stopped"];
    expect(other.log.map(({ msg }) => msg).filter((message) => steps.includes(message))).toEqual(steps);
  });
});

describe("a registration that somebody meddles with is made again", () => {
  test("when its lease is revoked", async () => {
    const [lease] = await registry.leases();
    await registry.run("lease", "revoke", lease!);
    await waitRegistered(proxy, 2);
    await registry.waitWhole(address);
    expect(await registry.leases()).not.toEqual([lease!]);
    expect(await metric(address, "etcdproxy_registration_renewals_total")).toBe(1);
    expect(await metric(address, "etcdproxy_registered")).toBe(1);
  });

  test("when its key is deleted, under the same lease", async () => {
    const leases = await registry.leases();
    await registry.run("del", `${PREFIX}/${address}`);
    await waitRegistered(proxy, 2);
    await registry.waitWhole(address);
    expect(await registry.leases()).toEqual(leases);
    await waitListed(address, [address]);
  });

  test("when its key is overwritten", async () => {
    await registry.run("put", `${PREFIX}/${address}`, "garbage");
    await waitRegistered(proxy, 2);
    await registry.waitWhole(address);
    await waitListed(address, [address]);
  });
});

describe("a second proxy with the same address", () => {
  test("shares the key: it is there until both have gone", async () => {
    await using other = await another(60, address);
    await waitRegistered(other);
    await proxy.logged("another proxy has registered this address, and is left alone");
    expect(await registry.keys()).toEqual({ [`${PREFIX}/${address}`]: valueOf(address) });
    await other.stop();
    await waitRegistered(proxy, 2);
    await registry.waitWhole(address);
    expect(await proxy.stop()).toBe(0);
    expect([await registry.keys(), await registry.leases()]).toEqual([{}, []]);
  });
});

describe("members that go and come", () => {
  test("a member in use that dies takes neither the registration nor the list with it", async () => {
    await using other = await another(SHORT_TTL);
    await waitListed(address, [address, otherAddress]);
    const name = proxy.endpointInUse;
    const member = cluster.members.find(({ endpoint }) => endpoint === name)!;
    await member.kill();
    await waitFor("another member", () => proxy.endpointInUse !== name);
    // What happens from here on is seen on another member.
    await other.stop();
    await waitListed(address, [address]);
    expect(await registry.leases()).toHaveLength(1);
    member.restart();
    await member.waitHealthy();
  });

  test("a cluster that is restarted has the proxies again, and they know of each other", async () => {
    await using other = await another(SHORT_TTL);
    await waitListed(address, [address, otherAddress]);
    await Promise.all(cluster.members.map((member) => member.kill()));
    await proxy.loggedWhere(
      "that the watch is lost",
      ({ msg }) => msg === "the registered proxies cannot be watched",
    );
    for (const member of cluster.members) member.restart();
    await cluster.waitHealthy(60_000);
    await registry.waitWhole(address, otherAddress);
    await waitListed(address, [address, otherAddress]);
    expect(await other.stop()).toBe(0);
    await waitListed(address, [address]);
  });

  test("a cluster that is down keeps no proxy from its end, nor from starting", async () => {
    await Promise.all(cluster.members.map((member) => member.kill()));
    await using other = await another(60);
    expect(await other.stop()).toBe(0);
    expect(await proxy.stop()).toBe(0);
    expect(proxy.log.map(({ msg }) => msg)).toContain("the registration stays until its lease ends");
    for (const member of cluster.members) member.restart();
    await cluster.waitHealthy(60_000);
  });

  test("a proxy that is started before its members is registered once they are there", async () => {
    await proxy.stop();
    await Promise.all(cluster.members.map((member) => member.kill()));
    await using early = await another(60);
    await early.logged("this proxy cannot be registered");
    using client = new GrpcClient(otherAddress);
    const { members } = await client.unary(Cluster.method.memberList, {});
    expect(members.map(({ clientURLs }) => clientURLs)).toEqual([[otherAddress]]);
    for (const member of cluster.members) member.restart();
    await cluster.waitHealthy(60_000);
    await registry.waitWhole(otherAddress);
  });
});

test("lists cost the members no read", async () => {
  const reads = async (): Promise<number> => {
    const pages = await Promise.all(
      cluster.members.map(
        async ({ url }) => await (await fetch(`${url}/metrics`, { keepalive: false })).text(),
      ),
    );
    const count = /^grpc_server_started_total\{.*grpc_method="Range".*\} (\d+)$/gm;
    return pages
      .flatMap((page) => [...page.matchAll(count)])
      .reduce((sum, [, value]) => sum + Number(value), 0);
  };
  using client = new GrpcClient(address);
  const before = await reads();
  for (let time = 0; time < 20; time++) {
    const { members } = await client.unary(Cluster.method.memberList, {});
    expect(members).toHaveLength(1);
  }
  expect(await reads()).toBe(before);
});
