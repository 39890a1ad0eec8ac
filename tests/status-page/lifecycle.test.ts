/** The status page while its proxy dies, comes back as another process, and stops in good order. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser } from "playwright-core";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { waitFor } from "../harness/wait-for.ts";
import { startBrowser } from "./browser.ts";
import { BusyClients } from "./busy-clients.ts";
import { ShownProxy } from "./scene.ts";

setDefaultTimeout(120_000);

const plain = (text: string): string => text.replaceAll("\u202f", " ");

describe.skipIf(Bun.which("chromium") === null)("the page of a proxy", () => {
  let cluster: EtcdCluster;
  let browser: Browser;

  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 1 });
    browser = await startBrowser();
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await cluster.dispose();
  });

  test("that dies says so and since when, asks on, and takes the next process for what it is", async () => {
    await using proxy = await ShownProxy.start("grpc-proxy", cluster.endpoints);
    await using clients = new BusyClients(proxy.address, { clients: 2, watches: 1 });
    await using visit = await proxy.visit(browser);
    const events = async (): Promise<string | undefined> =>
      (await visit.plots()).find((plot) => plot.startsWith("Watch events."));
    await waitFor("events to be plotted", async () =>
      / [1-9][^;]*\/s now/.test(plain((await events()) ?? "")),
    );
    const watched = (await visit.figure("watches")).value;

    await proxy.kill();
    await waitFor("the page to notice", async () =>
      (await visit.state()).startsWith("Does not answer since"),
    );
    expect(await visit.state()).toMatch(/^Does not answer since \d\d:\d\d:\d\d$/);
    const outage = visit.page.locator("#outage");
    expect(await outage.isVisible()).toBe(true);
    const told = (await outage.textContent()) ?? "";
    expect(told).toMatch(
      /does not answer since \d\d:\d\d:\d\d: it cannot be reached\. What is shown is from /,
    );
    // What was known stays, with its time.
    expect((await visit.figure("watches")).value).toBe(watched);
    expect((await visit.rows("endpoints")).length).toBe(1);
    expect(await visit.violations()).toEqual([]);
    const complaints = visit.complaints.filter((text) => !text.includes("Failed to load resource"));
    expect(complaints).toEqual([]);

    await proxy.restart();
    await waitFor("the page to go on", async () => (await visit.state()) === "Serving");
    expect(await outage.isVisible()).toBe(false);
    const rows = await visit.rows("events");
    expect(rows.map(([, endpoint, event]) => [endpoint, event])).toContainEqual(["this proxy", "restarted"]);
    // The counters begin again: a rate is never below zero, and what was counted before is not counted anew.
    await waitFor("events to be plotted again", async () =>
      / [1-9][^;]*\/s now/.test(plain((await events()) ?? "")),
    );
    for (const plot of await visit.plots()) expect(plot).not.toMatch(/-\d|NaN|Infinity/);
    expect(clients).toBeDefined();
  });

  test("that drains says so", async () => {
    await using proxy = await ShownProxy.start("grpc-proxy", cluster.endpoints, ["--drain-timeout=1h"]);
    await using gateway = await ShownProxy.start("gateway", cluster.endpoints, ["--drain-timeout=1h"]);
    for (const shown of [proxy, gateway]) {
      await using clients = new BusyClients(shown.address, { clients: 1, watches: 1 });
      await using visit = await shown.visit(browser);
      // A slow call that the drain waits for: a member that hangs answers nothing.
      await waitFor(
        "the client to be connected",
        async () => (await visit.figure("connections")).value === "1",
      );
      cluster.member(0).stop();
      try {
        await waitFor("calls to hang", async () => (await visit.rows("endpoints"))[0]?.[1] === "silent");
        shown.process.kill("SIGTERM");
        await waitFor("the page to tell of the drain", async () =>
          (await visit.state()).startsWith("Draining"),
        );
        expect(visit.complaints).toEqual([]);
      } finally {
        cluster.member(0).continue();
      }
      expect(clients).toBeDefined();
    }
  });
});
