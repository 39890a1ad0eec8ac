/** Registrations as etcd's own Go library reads and writes them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { hostname } from "node:os";
import { registrationValue } from "../../../src/proxy/cluster/registration-value.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { ensureBuilt, type EtcdproxyProcess } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { bytes } from "../methods/side.ts";
import { namingClient, withoutNamingClient } from "./go-client.ts";
import { freeAddresses, PREFIX, Registry, startRegistering, waitListed } from "./scene.ts";

setDefaultTimeout(90_000);

const why = withoutNamingClient === "" ? "" : ` (${withoutNamingClient})`;

describe.skipIf(why !== "")(`etcd's Go library${why}`, () => {
  let cluster: EtcdCluster;
  let proxies: EtcdproxyProcess[];
  let addresses: string[];

  beforeAll(async () => {
    [cluster] = await Promise.all([startEtcdCluster({ members: 1 }), ensureBuilt()]);
    addresses = freeAddresses(3);
    proxies = await Promise.all(addresses.map((address) => startRegistering(cluster.endpoints, address)));
    await waitListed(addresses[0]!, addresses);
    await waitListed(addresses[1]!, addresses);
  }, 120_000);

  afterAll(async () => {
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
    await cluster.dispose();
  });

  test("takes all registered proxies for its endpoints once it has synchronized them with one", async () => {
    const synchronized = await namingClient([`http://${addresses[1]}`], PREFIX, "sync");
    expect(synchronized).toEqual(addresses);
  });

  test("lists our registrations, through a proxy and at a member, as it lists its own", async () => {
    const endpoint = (address: string): unknown => [
      `${PREFIX}/${address}`,
      { Addr: address, Metadata: JSON.stringify({ name: hostname() }) },
    ];
    for (const reached of [addresses[0]!, cluster.endpoints[0]!]) {
      const listed = (await namingClient([reached], PREFIX, "list")) as Record<string, unknown>;
      expect(Object.entries(listed)).toEqual(addresses.map(endpoint) as [string, unknown][]);
    }
  });

  test("dials all of them in turn by the naming resolver, which it reaches through one of them", async () => {
    expect(await namingClient([addresses[2]!], PREFIX, "dial", "30")).toEqual(addresses);
  });

  test("finds others once one has gone", async () => {
    const [address] = freeAddresses(1) as [string];
    const passing = await startRegistering(cluster.endpoints, address);
    const all = [...addresses, address].toSorted();
    await waitListed(addresses[0]!, all);
    expect(await namingClient([addresses[0]!], PREFIX, "sync")).toEqual(all);
    expect(await passing.stop()).toBe(0);
    await waitListed(addresses[0]!, addresses);
    expect(await namingClient([addresses[0]!], PREFIX, "dial", "30")).toEqual(addresses);
  });

  test("writes the very bytes that we write, whatever is in address and name, and we list what it writes", async () => {
    const prefix = "others";
    using client = new GrpcClient(cluster.endpoints[0]!);
    const odd = ["vm", "a.b-c", `"quoted" \\ <&>`, "tab\tline\nbell\u0007", "\u2028é日本😀\u007f"];
    for (const [number, name] of odd.entries()) {
      const clientUrl = `http://proxy${number}?a=<${name}>&b`;
      const key = await namingClient(cluster.endpoints, prefix, "add", clientUrl, name);
      expect(key).toBe(`${prefix}/${clientUrl}`);
      const { kvs } = await client.unary(KV.method.range, { key: bytes(String(key)) });
      expect(Buffer.from(kvs[0]!.value).toString()).toBe(registrationValue({ name, clientUrl }));
    }
    const listed = new Registry(cluster);
    expect(Object.keys(await listed.keys())).toHaveLength(addresses.length);
    const key = await namingClient(cluster.endpoints, PREFIX, "add", "service:80", "a service");
    await waitListed(addresses[0]!, [...addresses, "service:80"]);
    await listed.run("del", String(key));
    await waitListed(addresses[0]!, addresses);
  });
});
