/**
 * The pages under `/debug/pprof/` of a process of several workers, as the main thread serves them.
 *
 * Each worker is a thread with time and memory of its own: `?worker=` says which one is asked, the first without it. One
 * profile or snapshot of all workers is under way at a time, and a worker ends it when its reader goes.
 */
import type { MakePage, Page, Pages } from "../observe/page.ts";
import { textPage } from "../observe/page.ts";
import { indexPage, OneAtATime, profilePaths, profileSeconds } from "../observe/profile-pages.ts";
import { type AskedPool, pageAt } from "./worker-messages.ts";

/** For a snapshot of much memory; the time of a profile comes on top. */
const PATIENCE_MS = 20_000;

export function profilesOfWorkers(pool: AskedPool): Pages {
  const busy = new OneAtATime();
  const last = pool.count - 1;
  let readers = 0;
  const ofOne: MakePage = async ({ path, query, signal }) => {
    const text = query.get("worker") ?? "0";
    const worker = Number(text);
    if (!/^\d+$/.test(text) || worker > last) return textPage(400, `?worker= takes a number up to ${last}\n`);
    const asked = new URLSearchParams(query);
    asked.set("worker", text);
    const patienceMs = PATIENCE_MS + 1000 * (profileSeconds(query) ?? 0);
    const reader = ++readers;
    const onOver = (): void =>
      void pool.ask(worker, { ask: "page over", reader }, PATIENCE_MS).catch(() => {});
    signal.addEventListener("abort", onOver, { once: true });
    const asking = pool.ask<Page | null>(worker, pageAt(`${path}?${asked.toString()}`, reader), patienceMs);
    const page = await asking.catch(() => null);
    // From here on it is the main thread's.
    signal.removeEventListener("abort", onOver);
    return page ?? textPage(503, `worker ${worker} does not answer\n`);
  };
  const note = `<p>Each of ${pool.count} workers is a thread of its own: <code>?worker=</code>, from 0 to ${last}, says of which.</p>`;
  return profilePaths({
    index: () => Promise.resolve(indexPage(note)),
    cmdline: ofOne,
    profile: busy.only(ofOne),
    heap: busy.only(ofOne),
  });
}
