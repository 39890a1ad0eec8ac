/**
 * Members that have stopped, behind a gateway that checks them: clients that are connected to one are reset in time, come
 * again and are served by another.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { CertificateAuthority } from "../harness/certificates.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import type { EtcdMember } from "../harness/etcd-member.ts";
import { etcdctl, EtcdctlStream } from "../harness/etcdctl.ts";
import { ensureBuilt, type EtcdproxyProcess, startGateway } from "../harness/etcdproxy-process.ts";
import { readExposition, valueOf } from "../harness/exposition.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { curl } from "./curl.ts";
import { bytes } from "./methods/side.ts";

setDefaultTimeout(90_000);

/** The promise: a stopped member is left within this time. */
const LEFT_WITHIN_MS = 3_000;
/** How much later this process may see it: it shares its cores. */
const SEEN_LATE_MS = 1_000;
const RESET = "endpoint is dead, its clients are reset";

let cluster: EtcdCluster;
beforeAll(async () => {
  await ensureBuilt();
  cluster = await startEtcdCluster({ members: 3 });
}, 120_000);
afterAll(async () => {
  await cluster.dispose();
});

async function startChecked(): Promise<{ gateway: EtcdproxyProcess; url: string }> {
  const gateway = await startGateway(cluster.endpoints, ["--metrics-addr=http://127.0.0.1:0"]);
  return { gateway, url: String((await gateway.logged("listening for metrics"))["address"]) };
}

/** The only member that clients of the gateway are connected to. */
async function memberInUse(url: string, members = cluster.members): Promise<EtcdMember> {
  return waitFor("one member in use", async () => {
    const families = readExposition((await curl("HTTP/1.1", `${url}/metrics`)).body);
    const used = members.filter(({ endpoint }) => {
      return valueOf(families, `etcdproxy_gateway_endpoint_connections{endpoint="${endpoint}"}`) > 0;
    });
    return used.length === 1 && used[0]!;
  });
}

test("a call to a member that has stopped ends within three seconds, and the next one is answered by another", async () => {
  const { gateway, url } = await startChecked();
  await using _ = gateway;
  using client = new GrpcClient(gateway.address);
  const read = () => client.unary(KV.method.range, { key: bytes("stopped"), serializable: true });
  await read();
  const stopped = await memberInUse(url);
  stopped.stop();
  try {
    const stoppedMs = performance.now();
    expect(await read().catch(() => "failed")).toBe("failed");
    expect(performance.now() - stoppedMs).toBeLessThan(LEFT_WITHIN_MS + SEEN_LATE_MS);
    expect(await gateway.logged(RESET)).toMatchObject({
      level: "warn",
      endpoint: stopped.endpoint,
      connections: 1,
    });
    await read();
    expect((await memberInUse(url)).endpoint).not.toBe(stopped.endpoint);
  } finally {
    stopped.continue();
    await cluster.waitHealthy();
  }
});

test("etcdctl's watch goes on over another member, and misses nothing", async () => {
  const { gateway, url } = await startChecked();
  await using _ = gateway;
  await using watch = new EtcdctlStream([gateway.address], ["watch", "dead/watched"]);
  const stopped = await memberInUse(url);
  const put = async (value: string): Promise<void> => {
    const others = cluster.endpoints.filter((endpoint) => endpoint !== stopped.endpoint);
    const { code, stderr } = await etcdctl(others, ["put", "dead/watched", value]);
    expect([code, stderr]).toEqual([0, ""]);
  };
  await waitFor("the watch to see events", async () => {
    await put("before");
    return watch.stdout.lines.length > 0;
  });
  stopped.stop();
  try {
    await waitFor("a put while the member is stopped", () => put("after").then(() => true));
    await watch.stdout.find("the event", (line) => (line === "after" ? line : undefined));
    expect(await gateway.logged(RESET)).toMatchObject({ endpoint: stopped.endpoint });
  } finally {
    stopped.continue();
    await cluster.waitHealthy();
  }
});

test("where no other member answers, connections are left as they are: the member may come back", async () => {
  const alone = await startGateway([cluster.endpoints[0]!], ["--metrics-addr=http://127.0.0.1:0"]);
  await using _ = alone;
  using client = new GrpcClient(alone.address);
  const read = () => client.unary(KV.method.range, { key: bytes("alone"), serializable: true });
  await read();
  const member = cluster.member(0);
  member.stop();
  try {
    const answered = read();
    await alone.logged("endpoint fails its checks");
    member.continue();
    await answered;
    expect(alone.log.filter(({ msg }) => msg === RESET)).toEqual([]);
  } finally {
    member.continue();
    await cluster.waitHealthy();
  }
});

test("when all members fall silent together, connections are left as they are, and go on when that has passed", async () => {
  const { gateway, url } = await startChecked();
  await using _ = gateway;
  const count = (message: string): number => gateway.log.filter(({ msg }) => msg === message).length;
  for (let tried = 0; tried < 3; tried++) {
    using client = new GrpcClient(gateway.address);
    const read = () => client.unary(KV.method.range, { key: bytes("all"), serializable: true });
    await read();
    await memberInUse(url);
    try {
      for (const member of cluster.members) member.stop();
      await waitFor("a verdict on each", () => count("endpoint fails its checks") === (tried + 1) * 3);
      const answered = read();
      for (const member of cluster.members) member.continue();
      await answered;
    } finally {
      for (const member of cluster.members) member.continue();
      await cluster.waitHealthy();
    }
    expect(count(RESET)).toBe(0);
    await waitFor("their recovery", () => count("endpoint passes its checks again") === (tried + 1) * 3);
  }
});

test("members that want certificates of clients log few lines of the checks, and one that stops is left in time", async () => {
  using folder = new TemporaryFolder("quiet");
  const authority = await CertificateAuthority.create(folder, "authority");
  const [server, own] = await Promise.all([authority.server("member"), authority.client("harness")]);
  const tls = { server, clients: { caFile: authority.file, own } };
  await using secure = await startEtcdCluster({ members: 3, tls });
  const linesOf = ({ logFile }: EtcdMember): number =>
    readFileSync(logFile, "utf8").split("client didn't provide a certificate").length - 1;
  const before = secure.members.map(linesOf);
  await using gateway = await startGateway(secure.endpoints, ["--metrics-addr=http://127.0.0.1:0"]);
  const startedMs = performance.now();
  const url = String((await gateway.logged("listening for metrics"))["address"]);
  using client = new GrpcClient(gateway.address, {}, { caFile: authority.file, certificate: own });
  const read = () => client.unary(KV.method.range, { key: bytes("quiet"), serializable: true });
  await read();
  await waitFor("the time of seven checks of each", () => performance.now() - startedMs > 7_500);
  for (const [index, member] of secure.members.entries()) {
    const lines = linesOf(member) - before[index]!;
    expect(lines).toBeGreaterThan(0);
    expect(lines).toBeLessThan(4);
  }
  const stopped = await memberInUse(url, secure.members);
  stopped.stop();
  try {
    const stoppedMs = performance.now();
    expect(await read().catch(() => "failed")).toBe("failed");
    expect(performance.now() - stoppedMs).toBeLessThan(LEFT_WITHIN_MS + SEEN_LATE_MS);
    await read();
  } finally {
    stopped.continue();
  }
});
