/**
 * What each of several workers may use of what the flags allow the process: an equal share of it.
 *
 * The kernel gives connections to workers by chance, so that one may be full a little before all are. The limit of open files
 * is divided in the same way, less what the workers need to run.
 */
import { connectionsWithinFileLimit, openFilesMax } from "../net/file-limit.ts";
import { PAGES_CONNECTIONS_MAX } from "../observe/pages-server.ts";
import { usageError } from "./command-line-error.ts";
import type { ProductFlags } from "./worker-messages.ts";

/** Sockets of a client: its own, and the gateway's one to a member. */
const FILES_PER_CONNECTION = { gateway: 2, "grpc-proxy": 1 };

/** Files of a worker besides those of its clients: its event loop's, its listener, its connections to members. */
const FILES_PER_WORKER = 8;
/** What the main thread cannot do without. */
const FILES_OF_MAIN = 32;

/** Throws `CommandLineError` when the limit of open files is too low for so many workers to begin at all. */
export function refuseTooManyWorkers(workers: number): void {
  const needed = FILES_OF_MAIN + workers * FILES_PER_WORKER;
  const filesMax = openFilesMax();
  if (filesMax >= needed) return;
  throw usageError(
    `--workers=${workers} needs ${needed} open files at the least, and the limit is ${filesMax}; ` +
      "raise it (ulimit -n) or start fewer workers",
  );
}

/** The flags of one of `workers` workers, which listen on `listenAddr` and have no further listener. */
export function shareOf(serve: ProductFlags, workers: number, listenAddr: string): ProductFlags {
  const asked = serve.flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : serve.flags.maxConnections;
  const filesForPages = serve.flags.metricsAddr === "" ? 0 : PAGES_CONNECTIONS_MAX;
  const connectionsMax = Math.min(
    asked,
    connectionsWithinFileLimit(
      FILES_PER_CONNECTION[serve.product],
      filesForPages + workers * FILES_PER_WORKER,
    ),
  );
  const shared = {
    listenAddr,
    metricsAddr: "",
    // 0 would stand for no limit.
    maxConnections: Number.isFinite(connectionsMax) ? Math.ceil(connectionsMax / workers) : 0,
  };
  if (serve.product === "gateway") return { product: "gateway", flags: { ...serve.flags, ...shared } };
  const { flags } = serve;
  return {
    product: "grpc-proxy",
    flags: {
      ...flags,
      ...shared,
      maxBufferBytes: Math.ceil(flags.maxBufferBytes / workers),
      // 0 is none, and none of it is none for anybody.
      cacheMaxBytes: Math.ceil(flags.cacheMaxBytes / workers),
      cacheMaxEntries: Math.ceil(flags.cacheMaxEntries / workers),
    },
  };
}
