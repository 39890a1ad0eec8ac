/**
 * What each of several workers may use of what the flags allow the process: an equal share of it.
 *
 * The kernel gives connections to workers by chance, so that one may be full a little before all are. The limit of open files
 * is divided in the same way.
 */
import { connectionsWithinFileLimit } from "../net/file-limit.ts";
import { PAGES_CONNECTIONS_MAX } from "../observe/pages-server.ts";
import type { ProductFlags } from "./worker-messages.ts";

/** Sockets of a client: its own, and the gateway's one to a member. */
const FILES_PER_CONNECTION = { gateway: 2, "grpc-proxy": 1 };

/** The flags of one of `workers` workers, which listen on `listenAddr` and have no further listener. */
export function shareOf(serve: ProductFlags, workers: number, listenAddr: string): ProductFlags {
  const asked = serve.flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : serve.flags.maxConnections;
  const connectionsMax = Math.min(
    asked,
    connectionsWithinFileLimit(FILES_PER_CONNECTION[serve.product], PAGES_CONNECTIONS_MAX),
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
