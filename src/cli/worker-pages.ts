/** The pages of a process of several workers, as the main thread serves them: each is made by workers. */
import { eventsOfAll } from "../endpoints/endpoint-events.ts";
import { endpointsOfAll, type EndpointsOnPage } from "../endpoints/endpoint-json.ts";
import { checksOfAll } from "../observe/check-pages.ts";
import {
  madeOnce,
  type MakePage,
  type Page,
  type PageRequest,
  type Pages,
  textPage,
} from "../observe/page.ts";
import { type AskedPool, pageAt, type ProductFlags } from "./worker-messages.ts";
import { profilesOfWorkers } from "./worker-profiles.ts";

/** More than a page that reads from a member may take, which is 3 s. */
const PAGE_PATIENCE_MS = 4_000;
/** More than one that asks several members may take, which is 5 s. */
const MEMBER_PAGE_PATIENCE_MS = 6_000;
/** The same at each worker; where a product has none of that name, its workers say so. */
const OF_ANY = ["/metrics", "/version"];
/** As in observe/metrics.ts, which is loaded by the first who asks. */
const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** @param wholeMetrics the metrics of all workers, as text */
export function pagesOfAll(serve: ProductFlags, pool: AskedPool, wholeMetrics: () => Promise<string>): Pages {
  const metrics = madeOnce(async () => textPage(200, await wholeMetrics(), METRICS_CONTENT_TYPE));
  const pages = new Map<string, MakePage>([
    ["/health", madeOnce(() => healthOfAll(pool, "/health"))],
    ...(serve.product === "gateway"
      ? []
      : [["/proxy/health", madeOnce(() => healthOfAll(pool, "/proxy/health"))] as const]),
    ...OF_ANY.map((path) => [path, madeOnce(() => anyPage(pool, path))] as const),
    ["/proxy/endpoints", madeOnce(() => endpointsPageOfAll(pool))],
    ["/proxy/metrics", metrics],
    // What the grpc-proxy has there is the members'.
    ...(serve.product === "gateway" ? [["/metrics", metrics] as const] : []),
  ]);
  const profiled = serve.product === "grpc-proxy" && serve.flags.enablePprof;
  const profiles: Pages = profiled ? profilesOfWorkers(pool) : () => undefined;
  return (path) => {
    if (CHECKS.test(path)) return (request) => checksPageOfAll(pool, request);
    return pages.get(path) ?? profiles(path);
  };
}

const CHECKS = /^\/(livez|readyz)(\/|$)/;

/** Each worker has checks of its own. */
async function checksPageOfAll(pool: AskedPool, { path, query }: PageRequest): Promise<Page> {
  const asked = new URLSearchParams(query);
  asked.set("verbose", "");
  const told = await pool.askAll<Page | null>(pageAt(`${path}?${asked.toString()}`), PAGE_PATIENCE_MS);
  return checksOfAll(told, query.has("verbose"));
}

/** Healthy is who is at every worker: a client comes to any of them. */
async function healthOfAll(pool: AskedPool, path: string): Promise<Page> {
  const told = await pool.askAll<Page | null>(pageAt(path), PAGE_PATIENCE_MS);
  const bad = told.find((page) => page !== null && page.status !== 200);
  const silent = told.indexOf(null);
  if (bad !== undefined || silent < 0) return bad ?? told[0]!;
  const body = JSON.stringify({ health: "false", reason: `worker ${silent} does not answer` });
  return textPage(503, body, "application/json");
}

/** What all that answer know: each has connections and checks of its own. */
async function endpointsPageOfAll(pool: AskedPool): Promise<Page> {
  const told = await pool.askAll<Page | null>(pageAt("/proxy/endpoints"), PAGE_PATIENCE_MS);
  const known = told.map(
    (page) => page && (JSON.parse(new TextDecoder().decode(page.body)) as EndpointsOnPage),
  );
  const answered = known.filter((page) => page !== null);
  if (answered.length === 0) return textPage(503, "no worker answers\n");
  const body: EndpointsOnPage = {
    endpoints: endpointsOfAll(answered.map(({ endpoints }) => endpoints)),
    events: eventsOfAll(known.map((page) => page && page.events)),
    draining: answered.some(({ draining }) => draining),
  };
  return textPage(200, `${JSON.stringify(body)}\n`, "application/json");
}

/** What is the same at each, of the first that answers. */
async function anyPage(pool: AskedPool, path: string): Promise<Page> {
  for (let worker = 0; worker < pool.count; worker++) {
    const page = await pool.ask<Page | null>(worker, pageAt(path), MEMBER_PAGE_PATIENCE_MS).catch(() => null);
    if (page !== null) return page;
  }
  return textPage(503, "no worker answers\n");
}
