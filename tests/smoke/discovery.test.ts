/**
 * `--discovery-srv` of the compiled file, both products as the documents start them: the members come from a real name server, and so do their
 * addresses.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl } from "../harness/etcdctl.ts";
import { runEtcdproxy, startProxy } from "../harness/etcdproxy-process.ts";
import { startDnsServer, type DnsServer } from "../net/dns-server.ts";

let cluster: EtcdCluster;
let dns: DnsServer;
/** The port of the member, which DNS calls infra0.example.com. */
let memberPort: string | undefined;

beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
  memberPort = cluster.member(0).endpoint.split(":")[1];
  dns = await startDnsServer(
    "--local=/example.com/",
    `--srv-host=_etcd-client._tcp.example.com,infra0.example.com,${memberPort},0,0`,
    "--host-record=infra0.example.com,127.0.0.1",
    "--host-record=empty.example.com,127.0.0.1",
  );
});
afterAll(async () => {
  await dns.stop();
  await cluster.dispose();
});

describe.each([
  "gateway --discovery-srv=example.com",
  "gateway start --discovery-srv=example.com",
  "gateway --discovery-srv example.com start",
  "grpc-proxy start --discovery-srv=example.com",
])("etcdproxy %s", (line) => {
  test("serves the members that the SRV records of example.com name", async () => {
    await using proxy = await startProxy([
      ...line.split(" "),
      `--dns-server=${dns.address}`,
      "--listen-addr=127.0.0.1:0",
    ]);
    expect(await proxy.logged("discovered the cluster from SRV records")).toMatchObject({
      endpoints: [`infra0.example.com:${memberPort}`],
    });
    expect(await etcdctl([proxy.address], ["put", "found", "by DNS"])).toMatchObject({ stdout: "OK\n" });
    expect(await proxy.stop()).toBe(0);
  });
});

test.each(["gateway", "grpc-proxy start"])(
  "a domain without SRV records ends the start of the %s with one line that names the flag",
  async (line) => {
    const { code, stdout, stderr } = await runEtcdproxy([
      ...line.split(" "),
      "--discovery-srv=empty.example.com",
      `--dns-server=${dns.address}`,
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^etcdproxy: --discovery-srv empty\.example\.com: [^\n]+\n$/);
  },
);
