/** What the log says of a member that goes down and comes back: one line each. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { freePorts } from "../../harness/free-ports.ts";
import { waitFor } from "../../harness/wait-for.ts";

setDefaultTimeout(120_000);

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 120_000);
afterAll(() => cluster.dispose());

function linesAbout(proxy: EtcdproxyProcess, endpoint: string, level: string): string[] {
  return proxy.log
    .filter((line) => line["endpoint"] === endpoint && line.level === level)
    .map(({ msg }) => msg);
}

/** The member's state on the page, or undefined. */
async function stateOf(metricsUrl: unknown, endpoint: string): Promise<string | undefined> {
  const page = await fetch(`${String(metricsUrl)}/proxy/endpoints`);
  const { endpoints } = (await page.json()) as { endpoints: { endpoint: string; state: string }[] };
  return endpoints.find((each) => each.endpoint === endpoint)?.state;
}

test.each([
  ["grpc-proxy", startGrpcProxy],
  ["gateway", startGateway],
] as const)(
  "%s: a member that is killed is one warning, and one that never was another",
  async (_, start) => {
    const { endpoint } = cluster.member(0);
    const never = `127.0.0.1:${freePorts(1)[0]}`;
    await using proxy = await start([endpoint, never], ["--metrics-addr=http://127.0.0.1:0"]);
    const { address } = await proxy.logged("listening for metrics");
    await waitFor("the member to be fit", async () => (await stateOf(address, endpoint)) === "fit");
    await cluster.member(0).kill();
    await waitFor("the member to be unfit", async () => (await stateOf(address, endpoint)) !== "fit");
    await waitFor("the line", () => linesAbout(proxy, endpoint, "warn").length > 0);
    cluster.member(0).restart();
    await waitFor("the member to be back", async () => (await stateOf(address, endpoint)) === "fit");
    await waitFor("the line", () => /connected|again/.test(linesAbout(proxy, endpoint, "info").at(-1) ?? ""));
    expect(await proxy.stop()).toBe(0);
    expect(linesAbout(proxy, endpoint, "warn")).toHaveLength(1);
    expect(linesAbout(proxy, never, "warn")).toHaveLength(1);
  },
);
