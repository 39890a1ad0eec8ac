/** The events on `/proxy/endpoints` of the compiled file: what has happened to members, by one process and by several workers. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { EndpointEvent } from "../../../src/endpoints/endpoint-events.ts";
import { startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { curl } from "../curl.ts";

setDefaultTimeout(120_000);

const PAGES = "--metrics-addr=http://127.0.0.1:0";

async function eventsOf(proxy: EtcdproxyProcess): Promise<EndpointEvent[]> {
  const url = String((await proxy.logged("listening for metrics"))["address"]);
  const { body } = await curl("HTTP/1.1", `${url}/proxy/endpoints`);
  return (JSON.parse(body) as { events: EndpointEvent[] }).events;
}

describe("the events of members", () => {
  test("tell of connections, of members that are found, and of the one that has died, newest first", async () => {
    await using cluster = await startEtcdCluster({ members: 3 });
    const [first, second, third] = cluster.members;
    await using proxy = await startGrpcProxy(
      [first!.endpoint],
      [PAGES, "--endpoints-auto-sync-interval=200ms"],
    );
    const found = await waitFor("the members to be found", async () => {
      const events = await eventsOf(proxy);
      return events.filter(({ kind }) => kind === "added").length === 2 && events;
    });
    expect(found.findLast(({ kind }) => kind === "connected")!.endpoint).toBe(first!.endpoint);
    expect(
      found.filter(({ kind }) => kind === "added").map(({ endpoint, reason }) => [endpoint, reason]),
    ).toEqual(
      expect.arrayContaining([
        [second!.endpoint, "member list"],
        [third!.endpoint, "member list"],
      ]),
    );
    const used = cluster.members.find(({ endpoint }) => endpoint === proxy.endpointInUse)!;
    await used.kill();
    const after = await waitFor("the death of the member in use, and a connection to another", async () => {
      const events = await eventsOf(proxy);
      const failed = events.findIndex(
        ({ endpoint, kind }) => endpoint === used.endpoint && kind === "failed",
      );
      const next = events.findIndex(
        ({ endpoint, kind }) => endpoint !== used.endpoint && kind === "connected",
      );
      return failed >= 0 && next >= 0 && next < failed && events;
    });
    const death = after.find(({ endpoint, kind }) => endpoint === used.endpoint && kind === "failed")!;
    expect(death.reason).toBeString();
    expect(after.map(({ time }) => time)).toEqual(
      after
        .map(({ time }) => time)
        .toSorted()
        .toReversed(),
    );
    expect(Math.abs(Date.now() - Date.parse(death.time))).toBeLessThan(60_000);
    expect(after.some((event) => "worker" in event)).toBe(false);
  });

  test("name the worker where there are several", async () => {
    await using cluster = await startEtcdCluster({ members: 1 });
    await using proxy = await startGrpcProxy(cluster.endpoints, [PAGES, "--workers=2"]);
    const events = await waitFor("each worker to be connected", async () => {
      const told = await eventsOf(proxy);
      return told.length >= 2 && told;
    });
    expect(events.map(({ kind, worker }) => `${kind} ${worker}`).toSorted()).toEqual([
      "connected 0",
      "connected 1",
    ]);
  });
});
