/** What a client of HTTP/1.1 may make this process spend: every bound with the attack it is for. */
export const HTTP1_LIMITS = {
  /** Octets of a request's header section, or of a chunked body's trailers; more answers 431. */
  headerBytesMax: 16 * 1024,
  /** From a header section's first byte to its last, in milliseconds: one that drips (slowloris). */
  headerMs: 10_000,
  /** What a body may take besides the time for its bytes, in milliseconds. */
  bodyMs: 20_000,
  /** The least a body must come at, in bytes a second: one that drips. */
  bodyBytesPerSecondMin: 1024,
  /** What is taken in of a body beyond the largest message, so that its sender reads the refusal, in bytes. */
  bodyBytesBeyondMax: 1024 * 1024,
  /** How long a client may stay away between two requests, or leave its answer unread, in milliseconds. */
  silenceMs: 60_000,
  /** How long a closed connection may wait for its client to read the last answer, in milliseconds. */
  lingerMs: 1_000,
};
