/**
 * gRPC status: codes, the trailer fields that carry them, and what HTTP/2 failures mean as a status
 * (gRPC over HTTP2, "Responses" and "Errors"; RFC 3986 percent-encoding of messages).
 */
import { type HeaderField, headerField } from "../hpack/header-field.ts";
import { ErrorCode } from "../http2/error-code.ts";

export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** A code as gRPC's Go library writes it, and etcd with it: `InvalidArgument`. */
export function codeName(code: number): string {
  const name = Object.entries(Code).find(([, value]) => value === code)?.[0] ?? "UNKNOWN";
  if (name === "OK") return name;
  if (name === "CANCELLED") return "Canceled";
  return name.replace(/([A-Z])([A-Z]*)_?/g, (_, first: string, rest: string) => first + rest.toLowerCase());
}

export interface Status {
  readonly code: number;
  /** For people; any text. */
  readonly message: string;
}

const STATUS_200 = headerField(":status", "200");
const CONTENT_TYPE_GRPC = headerField("content-type", "application/grpc");

/** The header section of an answer whose messages and trailers follow. */
export const RESPONSE_HEAD: readonly HeaderField[] = [STATUS_200, CONTENT_TYPE_GRPC];

/** A trailer section with this status. */
export function statusTrailers(status: Status): HeaderField[] {
  const fields = [headerField("grpc-status", String(status.code))];
  if (status.message !== "") fields.push(headerField("grpc-message", encodeMessage(status.message)));
  return fields;
}

/** The single header section of an answer that is nothing but a status ("Trailers-Only"). */
export function trailersOnly(status: Status): HeaderField[] {
  return [STATUS_200, CONTENT_TYPE_GRPC, ...statusTrailers(status)];
}

/** The status in a trailer section, or undefined when it has none. */
export function readStatus(fields: readonly HeaderField[]): Status | undefined {
  let code = -1;
  let message = "";
  for (const { name, value } of fields) {
    if (name === "grpc-status") code = /^[0-9]{1,3}$/.test(value) ? Number(value) : Code.UNKNOWN;
    else if (name === "grpc-message") message = decodeMessage(value);
  }
  return code === -1 ? undefined : { code, message };
}

let lastRead: readonly HeaderField[] | null = null;
let lastCode = 0;

/**
 * The code in a trailer section; UNKNOWN when it has none, or none that can be read. Sections are never changed, and a
 * member's come as the same array as long as they say the same.
 */
export function statusCodeOf(fields: readonly HeaderField[]): number {
  if (fields !== lastRead) {
    lastRead = fields;
    lastCode = readCode(fields);
  }
  return lastCode;
}

function readCode(fields: readonly HeaderField[]): number {
  const value = fields.find(({ name }) => name === "grpc-status")?.value ?? "";
  return /^[0-9]{1,3}$/.test(value) ? Number(value) : Code.UNKNOWN;
}

/** Percent-encodes what is not printable ASCII, and the percent sign, as UTF-8. */
export function encodeMessage(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message;
  let encoded = "";
  for (const byte of new TextEncoder().encode(message)) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Undoes `encodeMessage`; what is not valid encoding stays as it is. */
export function decodeMessage(encoded: string): string {
  if (!encoded.includes("%")) return encoded;
  const bytes: number[] = [];
  for (let i = 0; i < encoded.length; i++) {
    const hex = encoded.slice(i + 1, i + 3);
    if (encoded[i] === "%" && /^[0-9A-Fa-f]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else {
      bytes.push(encoded.charCodeAt(i) & 0xff);
    }
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

/** The status of an answer that is no gRPC answer, by its HTTP status; the content type is for people. */
export function statusOfHttp(httpStatus: number, contentType: string | undefined): Status {
  const message = `no gRPC answer but HTTP status ${httpStatus} with content-type ${contentType ?? "none"}`;
  switch (httpStatus) {
    case 400:
    case 431:
      return { code: Code.INTERNAL, message };
    case 401:
      return { code: Code.UNAUTHENTICATED, message };
    case 403:
      return { code: Code.PERMISSION_DENIED, message };
    case 404:
      return { code: Code.UNIMPLEMENTED, message };
    case 429:
    case 502:
    case 503:
    case 504:
      return { code: Code.UNAVAILABLE, message };
    default:
      return { code: Code.UNKNOWN, message };
  }
}

/** The status of a call that was ended by RST_STREAM. */
export function statusOfReset(errorCode: number, message: string): Status {
  switch (errorCode) {
    case ErrorCode.REFUSED_STREAM:
      return { code: Code.UNAVAILABLE, message };
    case ErrorCode.CANCEL:
      return { code: Code.CANCELLED, message };
    case ErrorCode.ENHANCE_YOUR_CALM:
      return { code: Code.RESOURCE_EXHAUSTED, message };
    case ErrorCode.INADEQUATE_SECURITY:
      return { code: Code.PERMISSION_DENIED, message };
    default:
      return { code: Code.INTERNAL, message };
  }
}
