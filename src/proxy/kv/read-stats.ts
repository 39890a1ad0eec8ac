/**
 * What reads count, for the metrics page.
 *
 * The names of etcd's own proxy are in brackets where it counts the same.
 */
export class ReadStats {
  /** Reads answered out of the cache (`etcd_grpc_proxy_cache_hits_total`). */
  cacheHits = 0;
  /** Serializable reads that the cache had nothing for (`etcd_grpc_proxy_cache_misses_total`). */
  cacheMisses = 0;
  /** Keys and ranges that the cache has answers about (`etcd_grpc_proxy_cache_keys_total`). */
  cacheKeys = 0;
  cacheEntries = 0;
  cacheBytes = 0;
  /** Answers that were dropped though they held, to make room for others. */
  cacheEvictions = 0;
  /** Reads that went through sharing, and what was sent to members for them. */
  sharedReads = 0;
  upstreamReads = 0;
}
