/**
 * What a peer may make this process spend: every bound of the engine with the attack or load it is for.
 */
import type { RateLimit } from "../base/token-bucket.ts";

export interface Http2Limits {
  /** Octets of one header section, counted as RFC 9113 §6.5.2 does; more answers 431 or ends the stream. */
  readonly headerListBytesMax: number;
  /** Compressed octets of one header block; more ends the connection (CONTINUATION flood). */
  readonly headerBlockBytesMax: number;
  /** CONTINUATION frames behind one HEADERS (the flood of tiny ones, CVE-2024-27316 and its kin). */
  readonly continuationFramesMax: number;
  /** Streams the peer ends by RST_STREAM, or makes us end by an error (rapid reset, CVE-2023-44487).
   * A client whose deadline passes cancels all its calls at once, so the burst is large. */
  readonly resets: RateLimit;
  /** PINGs, each of which costs an answer (CVE-2019-9512). One for each time that we have sent something is
   * free: a gRPC peer probes the bandwidth with a PING each round trip while DATA comes. */
  readonly pings: RateLimit;
  /** The least time between two PINGs of a client that does not get anything, in milliseconds (`PingStrikes`);
   * 0: none is too soon. Clients that ask all the time whether we live keep us, and the network, awake for nothing. */
  readonly pingIntervalMinMs: number;
  /** SETTINGS, each of which costs an acknowledgement (CVE-2019-9515). */
  readonly settings: RateLimit;
  /** DATA frames that carry nothing and end nothing (CVE-2019-9518). */
  readonly emptyData: RateLimit;
  /** PRIORITY and unknown frames (CVE-2019-9513). */
  readonly idleFrames: RateLimit;
  /** HEADERS and RST_STREAM of a member for calls that are over. Each costs a look, and some are normal: at a
   * deadline both sides end a call at once. */
  readonly lateFrames: RateLimit;
  /** WINDOW_UPDATEs, each of which may set sending going. Two for each HEADERS or DATA frame that we have sent are free:
   * a reader gives credit for what it has read, on its stream and on the connection. */
  readonly windowUpdates: RateLimit;
  /** Bytes one connection may make us hold; beyond it the stream that holds most is reset. */
  readonly connectionBufferBytesMax: number;
  /** Output the peer does not read before we stop moving DATA into it: enough to keep a socket busy. */
  readonly outputHighWaterBytes: number;
  /** Output a connection may hold at most: header sections and control frames nobody reads (CVE-2019-9512). */
  readonly outputBytesMax: number;
  /** How long the peer may take for its first bytes, up to and with its SETTINGS. */
  readonly prefaceTimeoutMs: number;
}

/**
 * The name of each limit that a peer can reach, as the owner of a connection hears of it, for logs and counters.
 * `processBuffers` is the bound on all connections together.
 */
export type Http2LimitName =
  | "headerList"
  | "headerBlock"
  | "continuationFrames"
  | "resets"
  | "pings"
  | "pingStrikes"
  | "settings"
  | "emptyData"
  | "idleFrames"
  | "lateFrames"
  | "windowUpdates"
  | "connectionBuffers"
  | "processBuffers"
  | "unreadOutput"
  | "concurrentStreams"
  | "frameSize"
  | "streamWindow";

export const HTTP2_LIMITS: Http2Limits = {
  headerListBytesMax: 16 * 1024,
  headerBlockBytesMax: 32 * 1024,
  continuationFramesMax: 16,
  resets: { burst: 20_000, perSecond: 2_000 },
  pings: { burst: 1_000, perSecond: 200 },
  pingIntervalMinMs: 0,
  settings: { burst: 100, perSecond: 10 },
  emptyData: { burst: 1_000, perSecond: 200 },
  idleFrames: { burst: 2_000, perSecond: 500 },
  lateFrames: { burst: 100_000, perSecond: 20_000 },
  windowUpdates: { burst: 10_000, perSecond: 1_000 },
  connectionBufferBytesMax: 16 * 1024 * 1024,
  outputHighWaterBytes: 64 * 1024,
  outputBytesMax: 4 * 1024 * 1024,
  prefaceTimeoutMs: 10_000,
};

/** Receive window of each stream, in bytes: the most that one stalled stream can make us hold. */
export const STREAM_WINDOW_BYTES = 256 * 1024;

/** Receive window of a connection. Its credit returns on receipt, so it only has to cover the round trip. */
export const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;

/** DATA that a member may have sent on calls before it knew that we had ended them: what fits into two windows. */
export const LATE_DATA_BYTES_MAX = 2 * CONNECTION_WINDOW_BYTES;

/** Streams we reset lately whose late frames are still ignored (RFC 9113 §5.1, "closed"). */
export const RESET_STREAMS_REMEMBERED_MAX = 4096;

/** A connection with fewer client stream ids left than this is replaced (ids end at 2^31 - 1). */
export const STREAM_IDS_RESERVE = 100_000;
