/** How the status page is laid out in Chromium where there is much to show: many endpoints, long names, many events. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { startBrowser } from "./browser.ts";
import { ShownProxy } from "./scene.ts";

setDefaultTimeout(120_000);

const ENDPOINTS = 40;
const EVENTS = 100;
/** A tick is two seconds from the left end of a plot of two minutes: the next label is half a minute on. */
const NOW = new Date("2026-11-26T12:00:28Z");

const nameOf = (index: number): string =>
  index % 2 === 0
    ? `192.0.2.${index}:2379`
    : `a-member-with-a-very-long-name-that-somebody-has-chosen-${index}.in-a-deep.subdomain.example:2379`;

describe.skipIf(Bun.which("chromium") === null)("a page with much to show", () => {
  let cluster: EtcdCluster;
  let proxy: ShownProxy;
  let browser: Browser;

  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 1 });
    proxy = await ShownProxy.start("grpc-proxy", cluster.endpoints);
    browser = await startBrowser();
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await proxy[Symbol.asyncDispose]();
    await cluster.dispose();
  });

  const open = async (width: number, height: number): Promise<Page> => {
    const page = await (await browser.newContext({ viewport: { width, height } })).newPage();
    await page.clock.setFixedTime(NOW);
    await page.route("**/proxy/endpoints", (route) =>
      route.fulfill({
        json: {
          endpoints: Array.from({ length: ENDPOINTS }, (_, index) => ({
            endpoint: nameOf(index),
            state: "silent",
            reason: "no answer to a check within 1000 ms",
          })),
          events: Array.from({ length: EVENTS }, (_, index) => ({
            time: NOW.toISOString(),
            endpoint: nameOf(index),
            kind: "silent",
            reason: "no answer to a check within 1000 ms",
          })),
        },
      }),
    );
    await page.goto(`${proxy.url}/`);
    await page.waitForSelector("#events-body tr:not(.none)");
    return page;
  };

  for (const [width, height] of [
    [1280, 900],
    [390, 844],
  ] as const) {
    test(`shows ${width} pixels wide the state beside each name, and the plots below without a long way`, async () => {
      const page = await open(width, height);
      const [name, state, box, plots] = await page.evaluate<[number, number, number, number]>(
        `[
          Math.max(...[...document.querySelectorAll("#endpoints-body th")].map((cell) => cell.offsetWidth)),
          document.querySelector("#endpoints-body td").getBoundingClientRect().right,
          document.querySelector("#endpoints .scroll").getBoundingClientRect().right,
          document.querySelector("#plots").getBoundingClientRect().top,
        ]`,
      );
      expect(name).toBeLessThan(width / 2);
      expect(state).toBeLessThanOrEqual(box);
      expect(plots).toBeLessThan(1.7 * height);
      // Of what does not fit the headings stay, whoever scrolls.
      const moved = await page.evaluate<[number, number]>(
        `(() => {
          const box = document.querySelector("#events-body").closest(".scroll");
          box.scrollTop = box.scrollHeight;
          return [box.scrollTop, document.querySelector("#events-head th").getBoundingClientRect().top - box.getBoundingClientRect().top];
        })()`,
      );
      expect(moved[0]).toBeGreaterThan(500);
      expect(moved[1]).toBeWithin(0, 10);
      await page.context().close();
    });

    test(`has ${width} pixels wide no times in plots that run into each other`, async () => {
      const page = await open(width, height);
      const gaps = await page.evaluate<number[]>(
        `[...document.querySelectorAll(".plot:not([hidden]) svg")].flatMap((plot) => {
          const times = [...plot.querySelectorAll("text.time")].map((text) => text.getBoundingClientRect());
          return times.slice(1).map(({ left }, index) => left - times[index].right);
        })`,
      );
      expect(gaps.length).toBeGreaterThan(3);
      expect(Math.min(...gaps)).toBeGreaterThan(4);
      await page.context().close();
    });
  }
});
