/**
 * Starts the grpc-proxy as its flags say.
 * Stands between the typed flags and the product, which knows addresses and endpoints but no flags.
 *
 * Invariant: what an operator got wrong ends as a CommandLineError that names the flag.
 */
import { EndpointError, parseEndpoints } from "../endpoints/endpoint.ts";
import { ListenError } from "../net/listen.ts";
import type { CacheBounds } from "../proxy/kv/kv-hub.ts";
import type { Logger } from "../observe/log.ts";
import { listenAddressFlag } from "./address-flags.ts";
import { usageError } from "./command-line-error.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";
import type { RunningProduct } from "./lifecycle.ts";

const streamsMaxOfProtocol = 4_294_967_295; // SETTINGS_MAX_CONCURRENT_STREAMS is 32 bits wide (RFC 9113 §6.5.2)

const operatorErrors = [EndpointError, ListenError];

/** Resolves once clients can connect. Throws `CommandLineError` for what the operator has to change. */
export async function startGrpcProxyProduct(flags: GrpcProxyFlags, log: Logger): Promise<RunningProduct> {
  try {
    const listenAddress = listenAddressFlag(flags.listenAddr);
    const endpoints = parseEndpoints(flags.endpoints);
    const { startGrpcProxy } = await import("../proxy/grpc-proxy.ts");
    const proxy = await startGrpcProxy({
      listenAddress,
      endpoints,
      advertiseClientUrl: flags.advertiseClientUrl,
      sendBytesMax: flags.maxSendBytes,
      receiveBytesMax: flags.maxRecvBytes,
      concurrentStreamsMax:
        flags.maxConcurrentStreams === 0 ? streamsMaxOfProtocol : flags.maxConcurrentStreams,
      bufferBytesMax: flags.maxBufferBytes,
      connectionsMax: flags.maxConnections === 0 ? Number.POSITIVE_INFINITY : flags.maxConnections,
      dialTimeoutMs: flags.dialTimeoutMs,
      watchCoalescing: flags.watchCoalescing,
      readCoalescing: flags.readCoalescing,
      cache: cacheBounds(flags),
      leaseCoalescing: flags.leaseCoalescing,
      log: log.child("grpc-proxy"),
    });
    log.child("grpc-proxy").info("started gRPC proxy", { address: proxy.address });
    return proxy;
  } catch (error) {
    if (operatorErrors.some((kind) => error instanceof kind)) throw usageError((error as Error).message);
    throw error;
  }
}

/** Null when any of the flags turns the cache off. */
function cacheBounds({
  cache,
  cacheMaxBytes,
  cacheMaxEntries,
  cacheMaxAgeMs,
}: GrpcProxyFlags): CacheBounds | null {
  if (!cache || cacheMaxBytes === 0 || cacheMaxEntries === 0 || cacheMaxAgeMs === 0) return null;
  return { bytesMax: cacheMaxBytes, entriesMax: cacheMaxEntries, maxAgeMs: cacheMaxAgeMs };
}
