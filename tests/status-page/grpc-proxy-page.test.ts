/** The status page of a grpc-proxy in Chromium, as a person sees it, works it, and hears it read. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser } from "playwright-core";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { waitFor } from "../harness/wait-for.ts";
import { type PageVisit, startBrowser } from "./browser.ts";
import { BusyClients } from "./busy-clients.ts";
import { ShownProxy, sumOf } from "./scene.ts";

setDefaultTimeout(120_000);

const CLIENTS = 6;
const WATCHES = 5;

const plain = (text: string): string => text.replaceAll("\u202f", " ");

describe.skipIf(Bun.which("chromium") === null)("the page of a grpc-proxy", () => {
  let cluster: EtcdCluster;
  let proxy: ShownProxy;
  let clients: BusyClients;
  let browser: Browser;
  let visit: PageVisit;

  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 3 });
    proxy = await ShownProxy.start("grpc-proxy", cluster.endpoints);
    clients = new BusyClients(proxy.address, { clients: CLIENTS, watches: WATCHES });
    browser = await startBrowser();
    visit = await proxy.visit(browser);
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await clients[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await cluster.dispose();
  });

  test("shows every member and which one is in use", async () => {
    await waitFor("all members to be checked", async () => {
      const rows = await visit.rows("endpoints");
      const checked = rows.every(
        ([, state, , latency]) => state === "fit" && / [µm]?s$/.test(plain(latency!)),
      );
      return rows.length === 3 && checked && (await visit.state()) === "Serving";
    });
    const rows = await visit.rows("endpoints");
    expect(rows.map(([endpoint, state, , , share]) => [endpoint, state, share])).toEqual(
      cluster.endpoints.map((endpoint) => [endpoint, "fit", "0 / 1"]),
    );
    const inUse = rows.filter(([, , used]) => used === "in use").map(([endpoint]) => endpoint);
    expect(inUse).toEqual([proxy.process.endpointInUse!]);
    expect(await visit.page.textContent("h1")).toBe("etcdproxy grpc-proxy");
    expect(await visit.page.textContent("#process")).toContain("started 20");
  });

  test("shows how many watches of clients ride on how many of members, as the metrics tell", async () => {
    const all = CLIENTS * WATCHES;
    await waitFor("the page to show what the metrics tell", async () => {
      const families = await proxy.metrics();
      const ofMembers = sumOf(families, "etcdproxy_watch_member_watches");
      const { value, detail } = await visit.figure("watches");
      return (
        sumOf(families, "etcdproxy_watch_client_watches") === all &&
        value === `${Number((all / ofMembers).toPrecision(3))} : 1` &&
        detail === `${all} watches on ${ofMembers}`
      );
    });
    expect((await visit.figure("connections")).value).toBe(String(CLIENTS));
  });

  test("plots what happens", async () => {
    const told = await waitFor("plots of what clients do", async () => {
      const plots = await visit.plots();
      const busy = ["Watch events.", "Lease heartbeats.", "Reads."].map((title) =>
        plots.find((plot) => plot.startsWith(title)),
      );
      return busy.every((plot) => / [1-9][^;]*\/s now/.test(plain(plot ?? ""))) && plots;
    });
    expect(told.find((plot) => plot.startsWith("Watches."))).toContain(
      `of clients: ${CLIENTS * WATCHES} now`,
    );
    const drawn = await visit.page.evaluate<string>(
      'document.querySelectorAll(".plot .series-0")[1].getAttribute("d") + [...document.querySelectorAll(".canvas path")].map((path) => path.getAttribute("d")).join()',
    );
    expect(drawn).toMatch(/M[\d.]+ [\d.]+h0(L[\d.]+ [\d.]+)+/);
    expect(drawn).not.toMatch(/NaN|Infinity/);
  });

  test("tells what was at the moment that a pointer is on, in all plots", async () => {
    await visit.page.hover(".plot:nth-child(3) .canvas", { position: { x: 300, y: 50 } });
    const told = await visit.page.evaluate<string[]>(
      '[...document.querySelectorAll(".plot:not([hidden]) .at")].map((at) => at.textContent)',
    );
    expect(told.length).toBeGreaterThan(5);
    expect(new Set(told).size).toBe(1);
    expect(told[0]).toMatch(/^at \d\d:\d\d:\d\d$/);
    await visit.page.mouse.move(0, 0);
    await waitFor("the pointer to be forgotten", async () => (await visit.page.textContent(".at")) === "");
  });

  test("has each plot as a table, opened by the keyboard", async () => {
    const summary = visit.page.locator("summary", { hasText: "Table" }).nth(2);
    await summary.focus();
    await visit.page.keyboard.press("Enter");
    const table = visit.page.locator("details[open] table");
    expect(await table.locator("caption").textContent()).toContain("newest first");
    const first = await table.locator("tbody tr").first().locator("th, td").allTextContents();
    expect(first[0]).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(first.length).toBeGreaterThan(1);
    await visit.page.keyboard.press("Enter");
    expect(await visit.page.locator("details[open]").count()).toBe(0);
  });

  test("goes on with the numbers of the calls, where the proxy counts them, and else says that there are none", async () => {
    const rows = await visit.rows("methods");
    const { value, detail } = await visit.figure("calls");
    const counted = (await proxy.metrics()).has("grpc_server_started_total");
    if (counted)
      expect([rows.some(([method]) => method === "KV/Range"), value.endsWith("/s")]).toEqual([true, true]);
    else expect([rows.length, value, detail]).toEqual([0, "–", "no calls yet"]);
  });

  test("shows a member that has stopped, and an event of it; and when it is back, that too", async () => {
    const member = cluster.members.find(({ endpoint }) => endpoint !== proxy.process.endpointInUse)!;
    const row = async (): Promise<string[]> =>
      (await visit.rows("endpoints")).find(([endpoint]) => endpoint === member.endpoint)!;
    const events = async (): Promise<string[][]> =>
      (await visit.rows("events")).filter(([, endpoint]) => endpoint === member.endpoint);
    member.stop();
    try {
      await waitFor("the member to be shown as silent", async () => (await row())[1] === "silent");
      expect((await row())[5]).toContain("no answer");
      expect(await visit.state()).toBe("Serving, 2 of 3 endpoints fit");
      const [newest] = await events();
      expect(newest).toMatchObject([
        expect.stringMatching(/^\d\d:\d\d:\d\d$/),
        member.endpoint,
        "does not answer checks",
        expect.stringContaining("no answer"),
        "",
      ]);
    } finally {
      member.continue();
    }
    await waitFor("the member to be fit again", async () => (await row())[1] === "fit");
    expect((await events())[0]![2]).toBe("passes its checks");
    expect((await row())[5]).toMatch(/no answer.*, at \d\d:\d\d:\d\d$/);
    expect(await visit.state()).toBe("Serving");
  });

  test.each(["light", "dark"] as const)(
    "gives axe nothing to complain of when it is %s",
    async (colorScheme) => {
      for (const viewport of [
        { width: 1280, height: 900 },
        { width: 390, height: 844 },
      ]) {
        await using other = await proxy.visit(browser, { colorScheme, viewport });
        await other.page.locator("summary").first().click();
        expect(await other.violations()).toEqual([]);
      }
    },
  );

  test("is worked with the keyboard: what is focused is seen, and nobody is held", async () => {
    await using other = await proxy.visit(browser);
    const focused = (): Promise<string> =>
      other.page.evaluate<string>(
        "(({ id, className, tagName }) => id || className || tagName)(document.activeElement)",
      );
    await other.page.keyboard.press("Tab");
    expect(await focused()).toBe("skip");
    expect((await other.page.locator(".skip").boundingBox())!.x).toBeGreaterThan(0);
    await other.page.keyboard.press("Tab");
    expect(await focused()).toBe("theme");
    const outline = await other.page.evaluate<string>(
      "getComputedStyle(document.activeElement).outlineStyle",
    );
    expect(outline).toBe("solid");
    const stops = new Set<string>();
    for (let presses = 0; presses < 40 && !stops.has("A"); presses++) {
      await other.page.keyboard.press("Tab");
      stops.add(await focused());
    }
    expect([...stops]).toEqual(expect.arrayContaining(["scroll", "SUMMARY", "A"]));
    // The skip link, by Enter.
    await other.page.locator(".skip").focus();
    await other.page.keyboard.press("Enter");
    expect(await focused()).toBe("endpoints");
  });

  test("takes the theme that is chosen, and remembers it", async () => {
    await using other = await proxy.visit(browser, { colorScheme: "light" });
    const ground = (): Promise<string> =>
      other.page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
    const light = await ground();
    const button = other.page.locator("#theme");
    await button.press("Enter");
    expect([await button.textContent(), await ground()]).toEqual(["Theme: light", light]);
    await button.press("Enter");
    expect(await button.textContent()).toBe("Theme: dark");
    const dark = await ground();
    expect(dark).not.toBe(light);
    await other.page.reload();
    expect([await button.textContent(), await ground()]).toEqual(["Theme: dark", dark]);
    await button.press("Enter");
    expect([await button.textContent(), await ground()]).toEqual(["Theme: automatic", light]);
  });

  test("works where the browser keeps nothing for it", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.addInitScript(
      'Object.defineProperty(window, "localStorage", { get() { throw new DOMException("denied", "SecurityError"); } })',
    );
    await page.goto(`${proxy.url}/`);
    await page.waitForSelector("#figures > div");
    await page.locator("#theme").press("Enter");
    expect(await page.textContent("#theme")).toBe("Theme: light");
    expect(complaints).toEqual([]);
    await context.close();
  });

  test("moves nothing for people who want that", async () => {
    await using still = await proxy.visit(browser, { reducedMotion: "reduce" });
    const moving = await still.page.evaluate<number>(
      '[...document.querySelectorAll("*")].filter((each) => { const { transitionDuration, animationName } = getComputedStyle(each); return transitionDuration !== "0s" || animationName !== "none"; }).length',
    );
    expect(moving).toBe(0);
  });

  test("fits a phone: only tables scroll to the side", async () => {
    await using phone = await proxy.visit(browser, { viewport: { width: 360, height: 740 } });
    const [content, width] = await phone.page.evaluate<[number, number]>(
      "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
    );
    expect(content).toBe(width);
  });

  test("takes what members and names say as text, never as markup", async () => {
    const evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
    const context = await browser.newContext();
    const page = await context.newPage();
    const asked: string[] = [];
    const complaints: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    page.on("console", (message) => complaints.push(message.text()));
    page.on("dialog", () => complaints.push("a dialog"));
    await page.route("**/proxy/endpoints", (route) =>
      route.fulfill({
        json: {
          endpoints: [{ endpoint: evil, state: evil, reason: evil, priority: 0, weight: 1 }],
          events: [{ time: new Date().toISOString(), endpoint: evil, kind: evil, reason: evil }],
        },
      }),
    );
    await page.goto(`${proxy.url}/`);
    await page.waitForSelector("#endpoints-body tr");
    expect(await page.locator("#endpoints-body th").textContent()).toBe(evil);
    expect(await page.locator("#events-body td").nth(2).textContent()).toBe(evil);
    expect(await page.locator("main img, main script").count()).toBe(0);
    expect([...new Set(asked)].sort()).toEqual(["/", "/proxy/endpoints", "/proxy/metrics"]);
    expect(complaints).toEqual([]);
    await context.close();
  });

  test("cannot be made to run another script: its policy refuses it", async () => {
    await using other = await proxy.visit(browser);
    await other.page
      .evaluate(
        'document.body.append(Object.assign(document.createElement("script"), { src: "data:text/javascript,window.ran=1" }))',
      )
      .catch(() => {});
    const ran = await other.page.evaluate<boolean>('"ran" in window');
    expect([ran, other.complaints.length > 0]).toEqual([false, true]);
  });

  test("shows the share of reads that the cache answered, and of heartbeats, as the metrics tell, once all is quiet", async () => {
    await clients[Symbol.asyncDispose]();
    const families = await waitFor("the metrics to stand still", async () => {
      const [before, after] = [await proxy.metrics(), await proxy.metrics()];
      const counts = (of: typeof before): number =>
        [
          "etcd_grpc_proxy_cache_hits_total",
          "etcd_grpc_proxy_cache_misses_total",
          "etcdproxy_lease_member_heartbeats_total",
        ]
          .map((name) => sumOf(of, name))
          .reduce((sum, value) => sum + value);
      return (
        counts(before) === counts(after) && sumOf(after, "etcdproxy_watch_client_watches") === 0 && after
      );
    });
    const hits = sumOf(families, "etcd_grpc_proxy_cache_hits_total");
    const misses = sumOf(families, "etcd_grpc_proxy_cache_misses_total");
    expect(hits).toBeGreaterThan(0);
    const percent = Number(((100 * hits) / (hits + misses)).toPrecision(3));
    const ofClients = sumOf(families, "etcdproxy_lease_client_heartbeats_total");
    const ofMembers = sumOf(families, "etcdproxy_lease_member_heartbeats_total");
    const ratio = Number((ofClients / ofMembers).toPrecision(3));
    await waitFor("the page to show them", async () => {
      const [cache, heartbeats] = [await visit.figure("cache"), await visit.figure("heartbeats")];
      return (
        plain(cache.detail) === `${percent} % since the start` &&
        heartbeats.detail === `heartbeats; ${ratio} : 1 since the start`
      );
    });
  });

  test("has asked for nothing but itself and its two pages, and has complained of nothing", () => {
    expect(visit.complaints).toEqual([]);
    expect([...new Set(visit.requests)].sort()).toEqual(
      ["/", "/proxy/endpoints", "/proxy/metrics"].map((path) => `${proxy.url}${path}`),
    );
  });
});
