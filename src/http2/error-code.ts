/** Error codes of RST_STREAM and GOAWAY (RFC 9113 §7), and the error that ends a connection. */
import type { Http2LimitName } from "./limits.ts";

/** The codes by the RFC's names. */
export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

const NAMES = Object.keys(ErrorCode);

/** The RFC's name of a code, or `error code N` for one the RFC does not know. */
export function errorCodeName(code: number): string {
  return NAMES[code] ?? `error code ${code}`;
}

/**
 * The peer broke the protocol, or a limit, in a way that leaves the connection unusable (RFC 9113 §5.4.1).
 * Thrown while bytes are taken in and caught in one place, which sends GOAWAY with the code.
 */
export class ConnectionError extends Error {
  readonly code: number;
  /** The limit the peer has reached; null when it broke the protocol. */
  readonly limit: Http2LimitName | null;

  constructor(code: number, message: string, limit: Http2LimitName | null = null) {
    super(message);
    this.name = "ConnectionError";
    this.code = code;
    this.limit = limit;
  }
}
