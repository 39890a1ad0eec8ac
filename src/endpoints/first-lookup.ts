/**
 * The first lookup of endpoints, before which there is nothing to serve with.
 *
 * Stands between the start of a product and discovery. What is wrong, and stays wrong, ends the start at once; what may
 * only not be up yet is waited for, since after a power cut name servers and members come up together with the proxies: name
 * servers for a while, members of which DNS has told for as long as it takes.
 */
import { Backoff } from "../base/backoff.ts";
import type { EndpointLog } from "./endpoint-list.ts";
import { NewsOnly } from "./news-only.ts";
import { type DiscoveredEndpoints, type SrvDiscovery, SrvDiscoveryError } from "./srv-discovery.ts";

export interface FirstLookupOptions {
  readonly discovery: Pick<SrvDiscovery, "discover">;
  /** Milliseconds since some fixed moment; never goes back. */
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly log: EndpointLog;
  /** How long name servers may take to come up; `NAME_SERVER_PATIENCE_MS` unless told otherwise. */
  readonly patienceMs?: number;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

export const NAME_SERVER_PATIENCE_MS = 30_000;
const PAUSES_MS = { firstMs: 500, limitMs: 5000 };

/** What discovery finds first. Throws `SrvDiscoveryError`. */
export async function firstLookup(options: FirstLookupOptions): Promise<DiscoveredEndpoints> {
  const {
    discovery,
    nowMs,
    sleep,
    log,
    patienceMs = NAME_SERVER_PATIENCE_MS,
    random = Math.random,
  } = options;
  const news = new NewsOnly(log);
  const pauses = new Backoff({ ...PAUSES_MS, random });
  const giveUpAtMs = nowMs() + patienceMs;
  for (;;) {
    try {
      return await discovery.discover();
    } catch (error) {
      if (!(error instanceof SrvDiscoveryError) || error.reason === "none") throw error;
      if (error.reason === "no-answer" && nowMs() >= giveUpAtMs) throw error;
      news.tell([`not ready yet: ${error.message}`]);
    }
    await sleep(pauses.next());
  }
}
