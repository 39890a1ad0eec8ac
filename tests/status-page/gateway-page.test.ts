/** The status page of a gateway in Chromium: its endpoints, its clients' bytes, a member that dies, several workers. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser } from "playwright-core";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { freePorts } from "../harness/free-ports.ts";
import { waitFor } from "../harness/wait-for.ts";
import { type PageVisit, startBrowser } from "./browser.ts";
import { BusyClients } from "./busy-clients.ts";
import { ShownProxy, sumOf } from "./scene.ts";

setDefaultTimeout(120_000);

const CLIENTS = 4;

const plain = (text: string): string => text.replaceAll("\u202f", " ");

describe.skipIf(Bun.which("chromium") === null)("the page of a gateway", () => {
  let cluster: EtcdCluster;
  let browser: Browser;
  /** Of a member that is not there. */
  let dead = "";

  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 1 });
    browser = await startBrowser();
    dead = `127.0.0.1:${freePorts(1)[0]}`;
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await cluster.dispose();
  });

  const rowOf = async (visit: PageVisit, endpoint: string): Promise<string[]> =>
    (await visit.rows("endpoints")).find(([name]) => name === endpoint) ?? [];

  test("shows what passes between clients and each endpoint, and which one cannot be reached", async () => {
    await using gateway = await ShownProxy.start(
      "gateway",
      [dead, ...cluster.endpoints],
      ["--balancer=round-robin"],
    );
    await using clients = new BusyClients(gateway.address, { clients: CLIENTS, watches: 1 });
    await using visit = await gateway.visit(browser);
    const [member = ""] = cluster.endpoints;
    await waitFor("bytes in both directions", async () => {
      const [, state, connections, toMember, toClients] = await rowOf(visit, member);
      return (
        state === "fit" &&
        connections === String(CLIENTS) &&
        [toMember, toClients].every((told) => /^[1-9].*B\/s$/.test(plain(told ?? "")))
      );
    });
    const row = await waitFor("the dead endpoint to be known as dead", async () => {
      const told = await rowOf(visit, dead);
      return told[1] !== "fit" && told;
    });
    expect(["silent", "failed"]).toContain(row[1]!);
    expect([row[2], row.at(-1)]).toEqual(["0", "connection refused"]);
    expect(await visit.state()).toBe("Serving, 1 of 2 endpoints fit");
    const events = (await visit.rows("events")).filter(([, endpoint]) => endpoint === dead);
    expect(events.length).toBeGreaterThan(0);
    expect(events[0]![3]).toBe("connection refused");

    expect((await visit.figure("connections")).value).toBe(String(CLIENTS));
    const failures = sumOf(await gateway.metrics(), "etcdproxy_gateway_endpoint_dial_failures_total");
    await waitFor("the failed dials to be shown", async () => {
      const [, all = ""] = /· (\d+) in all/.exec((await visit.figure("dial-failures")).detail) ?? [];
      return Number(all) >= failures;
    });
    expect((await visit.plots()).map((plot) => plot.split(".")[0])).toEqual(
      expect.arrayContaining(["Client connections", "Bytes", "Clients that come", "Processor", "Memory"]),
    );
    expect(await visit.violations()).toEqual([]);
    expect(visit.complaints).toEqual([]);
    expect(clients).toBeDefined();
  });

  test("of several workers tells of all of them, and of each event which worker it is from", async () => {
    const flags = ["--workers=2", "--balancer=round-robin"];
    await using gateway = await ShownProxy.start("gateway", [dead, ...cluster.endpoints], flags);
    await using clients = new BusyClients(gateway.address, { clients: 8, watches: 1 });
    await using visit = await gateway.visit(browser);
    const [member = ""] = cluster.endpoints;
    await waitFor("the clients of all workers", async () => (await rowOf(visit, member))[2] === "8");
    const events = await waitFor("an event of each worker", async () => {
      const told = await visit.rows("events");
      const workers = new Set(told.map((row) => row[4]));
      return workers.has("worker 0") && workers.has("worker 1") && told;
    });
    expect(events.every(([, endpoint]) => endpoint === dead)).toBe(true);
    expect(await visit.page.locator("#events-head th", { hasText: "Told by" }).isVisible()).toBe(true);
    expect(await visit.violations()).toEqual([]);
    expect(clients).toBeDefined();
  });
});
