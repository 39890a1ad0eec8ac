/**
 * The one error that a header block can cause (RFC 7541 §3, RFC 9113 §4.3).
 *
 * The peer is to blame and the connection dies with COMPRESSION_ERROR: after a block that could not be
 * decoded the two ends no longer agree on the dynamic table, so no later block can be trusted either.
 */

/** Thrown by the decoder: ends the connection with COMPRESSION_ERROR. The message says what was wrong. */
export class HpackError extends Error {
  override readonly name = "HpackError";
}
