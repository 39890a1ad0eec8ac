/**
 * Records and addresses that change while clients keep calling, name servers that die and come back, names that do not
 * resolve: the compiled file, both products, before a real cluster.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startEtcdCluster, type EtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl } from "../../harness/etcdctl.ts";
import type { EtcdMember } from "../../harness/etcd-member.ts";
import { ensureBuilt, type EtcdproxyProcess, startProxy } from "../../harness/etcdproxy-process.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { type DnsServer, startDnsServer } from "../../net/dns-server.ts";
import { Load } from "../load.ts";
import { connectionsTo } from "../sockets.ts";
import { changed, member, portOf } from "./dns-records.ts";

const DOMAIN = "cluster.test";
const PRODUCTS = ["gateway", "grpc-proxy"] as const;
type Product = (typeof PRODUCTS)[number];
const CLIENTS = 4;
const CALLS = 50;

setDefaultTimeout(120_000);

let cluster: EtcdCluster;
let dns: DnsServer;
/** Of the three members, for short. */
let members: [EtcdMember, EtcdMember, EtcdMember];

beforeAll(async () => {
  await ensureBuilt();
  [cluster, dns] = await Promise.all([startEtcdCluster({ members: 3 }), startDnsServer()]);
  members = [cluster.member(0), cluster.member(1), cluster.member(2)];
}, 120_000);

afterAll(async () => {
  await dns.stop();
  await cluster.dispose();
});

const recordOf = ({ name, endpoint }: EtcdMember): string[] => member("etcd-client", DOMAIN, name, endpoint);
const nameOf = ({ name, endpoint }: EtcdMember): string => `${name}.${DOMAIN}:${portOf(endpoint)}`;
const address = (host: string, ...addresses: string[]): string[] =>
  addresses.map((each) => `--host-record=${host}.${DOMAIN},${each}`);

function start(product: Product, ...flags: string[]): Promise<EtcdproxyProcess> {
  return startProxy([
    ...(product === "gateway" ? ["gateway"] : ["grpc-proxy", "start"]),
    `--dns-server=${dns.address}`,
    "--listen-addr=127.0.0.1:0",
    ...flags,
  ]);
}

const discovering = (product: Product, refresh: string): Promise<EtcdproxyProcess> =>
  start(product, `--discovery-srv=${DOMAIN}`, `--discovery-refresh=${refresh}`);

async function works(proxy: EtcdproxyProcess): Promise<void> {
  const put = await etcdctl([proxy.address], ["put", "refreshed", "yes"]);
  expect(put).toMatchObject({ code: 0, stdout: "OK\n" });
}

async function revive(killed: EtcdMember): Promise<void> {
  killed.restart();
  await cluster.waitHealthy();
}

describe.each(PRODUCTS)("%s", (product) => {
  test("members come and go with their records, and no call fails", async () => {
    const [first, second, third] = members;
    await dns.setRecords(...recordOf(first));
    await using proxy = await discovering(product, "200ms");
    await using load = new Load(proxy.address, `come-and-go-${product}`, CLIENTS);
    await load.progress(CALLS);
    await dns.setRecords(...recordOf(first), ...recordOf(second));
    await changed(proxy, { added: [nameOf(second)] });
    await load.progress(CALLS);
    await dns.setRecords(...recordOf(second), ...recordOf(third));
    await changed(proxy, { added: [nameOf(third)], removed: [nameOf(first)] });
    await load.progress(CALLS);
    if (product === "grpc-proxy") {
      // It has left the member whose record has gone; the gateway's clients keep their connections.
      await waitFor("the member without a record to be left", () => {
        return connectionsTo(proxy.pid, first.endpoint) === 0;
      });
    }
    await load.progress(CALLS);
    await load.stop();
    expect({ reads: load.readFailures, writes: load.writeFailures }).toEqual({ reads: [], writes: [] });
    await works(proxy);
  });

  test("a name server that dies changes nothing, and what it says when it is back is heard", async () => {
    const [first, second] = members;
    await dns.setRecords(...recordOf(first));
    await using proxy = await discovering(product, "200ms");
    await using load = new Load(proxy.address, `no-dns-${product}`, CLIENTS);
    await load.progress(CALLS);
    await dns.stop();
    const isStaying = ({ msg }: { msg: string }): boolean => msg.endsWith("the endpoints stay as they are");
    await proxy.loggedWhere("that they stay as they are", isStaying);
    await load.progress(CALLS);
    await dns.setRecords(...recordOf(first), ...recordOf(second));
    await changed(proxy, { added: [nameOf(second)] });
    await load.stop();
    expect({ reads: load.readFailures, writes: load.writeFailures }).toEqual({ reads: [], writes: [] });
    // Once for each reason: one lookup may have been under way.
    const told = proxy.log.filter(isStaying).map(({ msg }) => msg);
    expect(told).toEqual([...new Set(told)]);
    expect(told.length).toBeLessThanOrEqual(2);
  });

  test("when all members fail they are looked up at once, whatever the interval", async () => {
    const [first, second] = members;
    for (const refresh of ["0", "1h"]) {
      await dns.setRecords(...recordOf(first));
      await using proxy = await discovering(product, refresh);
      await works(proxy);
      await dns.setRecords(...recordOf(second));
      await first.kill();
      await waitFor("calls to succeed again", async () => {
        const { code } = await etcdctl(
          [proxy.address],
          ["put", "refreshed", "again", "--command-timeout=2s"],
        );
        return code === 0;
      });
      await changed(proxy, { added: [nameOf(second)], removed: [nameOf(first)] });
      await revive(first);
    }
  });

  test("a member whose name has a dead address beside a good one is used", async () => {
    const [first] = members;
    await dns.setRecords(...address("two", "127.0.0.9", "127.0.0.1"));
    await using proxy = await start(product, `--endpoints=two.${DOMAIN}:${portOf(first.endpoint)}`);
    for (let call = 0; call < 5; call++) await works(proxy);
  });

  test("a name that does not resolve is no harm beside one that does, and is told of", async () => {
    const [first, second] = members;
    await dns.setRecords(...address("good", "127.0.0.1"));
    await using proxy = await start(
      product,
      `--endpoints=late.${DOMAIN}:${portOf(second.endpoint)},good.${DOMAIN}:${portOf(first.endpoint)}`,
      ...(product === "gateway" ? ["--retry-delay=100ms"] : []),
    );
    for (let call = 0; call < 3; call++) await works(proxy);
    // It is tried again: once it resolves, and the other one is gone, it is used.
    await dns.setRecords(...address("good", "127.0.0.1"), ...address("late", "127.0.0.1"));
    await first.kill();
    await waitFor("the late name to be used", async () => {
      const { code } = await etcdctl([proxy.address], ["put", "late", "used", "--command-timeout=2s"]);
      return code === 0;
    });
    await revive(first);
  });

  test("names that do not resolve at the start are waited for", async () => {
    const [first] = members;
    await dns.setRecords();
    await using proxy = await start(product, `--endpoints=late.${DOMAIN}:${portOf(first.endpoint)}`);
    const failing = etcdctl([proxy.address], ["get", "late", "--command-timeout=1s"]);
    await proxy.loggedWhere("why it cannot be used", ({ reason }) =>
      String(reason).includes(`late.${DOMAIN} has no address in DNS`),
    );
    expect((await failing).code).not.toBe(0);
    await dns.setRecords(...address("late", "127.0.0.1"));
    await waitFor("the late name to be used", async () => {
      const { code } = await etcdctl([proxy.address], ["get", "late", "--command-timeout=2s"]);
      return code === 0;
    });
  });
});

test("the metrics page comes from a member whose name only --dns-server knows", async () => {
  const [first] = members;
  await dns.setRecords(...address("two", "127.0.0.9", "127.0.0.1"));
  await using proxy = await start("grpc-proxy", `--endpoints=two.${DOMAIN}:${portOf(first.endpoint)}`);
  const page = await fetch(`http://${proxy.address}/metrics`);
  expect(page.status).toBe(200);
  expect(await page.text()).toContain("etcd_server_has_leader 1");
});
