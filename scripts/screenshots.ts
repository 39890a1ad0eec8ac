/**
 * What `scripts/screenshots` runs once the machine is set up and dist/etcdproxy is built: the status pages of both
 * products, of a real cluster with real clients and a member that has stopped and come back, as pictures.
 *
 * Invariant: a picture is written only if the page has nothing to complain of.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BrowserContextOptions } from "playwright-core";
import { startEtcdCluster } from "../tests/harness/etcd-cluster.ts";
import { waitFor } from "../tests/harness/wait-for.ts";
import { type PageVisit, startBrowser } from "../tests/status-page/browser.ts";
import { BusyClients } from "../tests/status-page/busy-clients.ts";
import { ShownProxy } from "../tests/status-page/scene.ts";

const folder = join(import.meta.dir, "..", "docs", "images");
/** What the plots span at least: so they are full. */
const WATCHED_MS = 125_000;
/** The docs are read over slow lines too. */
const PICTURE_BYTES_MAX = 150_000;
const DESKTOP = { width: 1280, height: 1000 };
const PHONE = { width: 390, height: 844 };

await using running = new AsyncDisposableStack();
const cluster = running.use(await startEtcdCluster({ members: 3 }));
const grpcProxy = running.use(await ShownProxy.start("grpc-proxy", cluster.endpoints));
const gateway = running.use(await ShownProxy.start("gateway", cluster.endpoints, ["--balancer=round-robin"]));
running.use(new BusyClients(grpcProxy.address, { clients: 12, watches: 5 }));
running.use(new BusyClients(gateway.address, { clients: 9, watches: 2 }));
const browser = await startBrowser();
running.defer(() => browser.close());

interface Picture {
  readonly name: string;
  readonly proxy: ShownProxy;
  readonly options: BrowserContextOptions;
  /** All of the page, not only what the window shows. */
  readonly whole: boolean;
}

const pictures: readonly Picture[] = [
  {
    name: "status-page-light",
    proxy: grpcProxy,
    options: { colorScheme: "light", viewport: DESKTOP },
    whole: true,
  },
  {
    name: "status-page-dark",
    proxy: grpcProxy,
    options: { colorScheme: "dark", viewport: DESKTOP },
    whole: false,
  },
  {
    name: "status-page-phone",
    proxy: grpcProxy,
    options: { colorScheme: "light", viewport: PHONE },
    whole: false,
  },
  {
    name: "status-page-gateway",
    proxy: gateway,
    options: { colorScheme: "light", viewport: DESKTOP },
    whole: true,
  },
];
const visits: (Picture & { readonly visit: PageVisit })[] = [];
for (const picture of pictures) {
  visits.push({ ...picture, visit: await picture.proxy.visit(browser, picture.options) });
}
const startedMs = performance.now();

// A member stops when the plots are half full, and comes back.
const member = cluster.members.find(({ endpoint }) => endpoint !== grpcProxy.process.endpointInUse)!;
const { visit: first } = visits[0]!;
const state = async (): Promise<string | undefined> =>
  (await first.rows("endpoints")).find(([endpoint]) => endpoint === member.endpoint)?.[1];
await Bun.sleep(WATCHED_MS / 2);
member.stop();
await waitFor("the page to show that a member has stopped", async () => (await state()) === "silent");
member.continue();
await waitFor("the page to show that it is back", async () => (await state()) === "fit");
await Bun.sleep(Math.max(0, WATCHED_MS - (performance.now() - startedMs)));

mkdirSync(folder, { recursive: true });
for (const { name, visit, whole } of visits) {
  if (visit.complaints.length > 0) throw new Error(`${name}: ${visit.complaints.join("\n")}`);
  const path = join(folder, `${name}.png`);
  // Of few colours, as the page is: a third of the bytes.
  const full = await visit.page.screenshot({ fullPage: whole });
  const picture = await new Bun.Image(full).png({ palette: true, colors: 256, compressionLevel: 9 }).bytes();
  if (picture.length > PICTURE_BYTES_MAX) throw new Error(`${name}: ${picture.length} bytes are too many`);
  await Bun.write(path, picture);
  console.log(`${name}.png, ${Math.ceil(picture.length / 1000)} KB`);
}
