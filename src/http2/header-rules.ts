/**
 * What a header section may contain (RFC 9113 §8.2, §8.3), and the control data read out of it.
 *
 * Each reader checks a whole section in one pass and returns either its control data or, as text, why the
 * message is malformed; malformed messages end their stream, never the connection (§8.1.1).
 */
import type { HeaderField } from "../hpack/header-field.ts";

/** Control data of a request. */
export interface RequestHead {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  /** Declared `content-length` in octets, -1 when absent. */
  readonly contentLengthBytes: number;
  /** The whole section as it came, pseudo-header fields included. */
  readonly fields: readonly HeaderField[];
}

/** Control data of a response. */
export interface ResponseHead {
  readonly status: number;
  readonly contentLengthBytes: number;
  readonly fields: readonly HeaderField[];
}

/** Checks a request's section. Returns its control data, or the reason why it is malformed. */
export function readRequestHead(fields: readonly HeaderField[]): RequestHead | string {
  let method: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  let path: string | undefined;
  let host: string | undefined;
  let contentLengthBytes = -1;
  let regular = false;
  for (const { name, value } of fields) {
    if (name.charCodeAt(0) === COLON) {
      if (regular) return `pseudo-header field ${name} behind a regular one`;
      switch (name) {
        case ":method":
          if (method !== undefined) return "more than one :method";
          method = value;
          break;
        case ":scheme":
          if (scheme !== undefined) return "more than one :scheme";
          scheme = value;
          break;
        case ":authority":
          if (authority !== undefined) return "more than one :authority";
          authority = value;
          break;
        case ":path":
          if (path !== undefined) return "more than one :path";
          path = value;
          break;
        default:
          return `pseudo-header field ${JSON.stringify(name)} in a request`;
      }
      if (!isFieldValue(value)) return `value of ${name} has a forbidden character`;
      continue;
    }
    regular = true;
    const problem = regularFieldProblem(name, value);
    if (problem !== "") return problem;
    if (name === "content-length") {
      const length = readContentLength(value, contentLengthBytes);
      if (length < 0) return `content-length ${JSON.stringify(value.slice(0, 40))}`;
      contentLengthBytes = length;
    } else if (name === "host") host = value;
  }
  if (method === undefined) return ":method is missing";
  if (method === "CONNECT") return "CONNECT is not served";
  if (scheme === undefined) return ":scheme is missing";
  if (path === undefined || path === "") return ":path is missing or empty";
  return { method, scheme, authority: authority ?? host ?? "", path, contentLengthBytes, fields };
}

/** Checks a response's section. Returns its control data, or the reason why it is malformed. */
export function readResponseHead(fields: readonly HeaderField[]): ResponseHead | string {
  let status = -1;
  let contentLengthBytes = -1;
  let regular = false;
  for (const { name, value } of fields) {
    if (name.charCodeAt(0) === COLON) {
      if (regular) return `pseudo-header field ${name} behind a regular one`;
      if (name !== ":status") return `pseudo-header field ${JSON.stringify(name)} in a response`;
      if (status !== -1) return "more than one :status";
      if (!/^[1-9][0-9][0-9]$/.test(value)) return `:status ${JSON.stringify(value.slice(0, 40))}`;
      status = Number(value);
      continue;
    }
    regular = true;
    const problem = regularFieldProblem(name, value);
    if (problem !== "") return problem;
    if (name === "content-length") {
      const length = readContentLength(value, contentLengthBytes);
      if (length < 0) return `content-length ${JSON.stringify(value.slice(0, 40))}`;
      contentLengthBytes = length;
    }
  }
  if (status === -1) return ":status is missing";
  return { status, contentLengthBytes, fields };
}

/** Checks a trailer section: regular fields only (RFC 9113 §8.1). Returns "" or what is wrong. */
export function trailerProblem(
  fields: readonly HeaderField[],
  tooLarge: boolean,
  endStream: boolean,
  contentBytesLeft: number,
): string {
  if (contentBytesLeft > 0) return "DATA does not add up to content-length";
  if (tooLarge) return "trailers are too large";
  if (!endStream) return "second HEADERS without END_STREAM";
  for (const { name, value } of fields) {
    if (name.charCodeAt(0) === COLON) return `pseudo-header field ${JSON.stringify(name)} in trailers`;
    const problem = regularFieldProblem(name, value);
    if (problem !== "") return problem;
  }
  return "";
}

const COLON = 0x3a;

/** Fields that speak about one HTTP/1.1 connection and so cannot cross HTTP/2 (RFC 9113 §8.2.2). */
const CONNECTION_SPECIFIC = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

/** Octets of a field name: RFC 9110's token characters without upper case. */
const NAME_OCTET = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") NAME_OCTET[c.charCodeAt(0)] = 1;

/** Names seen to be valid: nearly every field carries one of a few names. Bounded, never emptied. */
const knownNames = new Set<string>();
const KNOWN_NAMES_MAX = 256;
const KNOWN_NAME_OCTETS_MAX = 64;

function regularFieldProblem(name: string, value: string): string {
  if (!knownNames.has(name)) {
    if (!isFieldName(name)) return `field name ${JSON.stringify(name.slice(0, 40))} is not allowed`;
    if (CONNECTION_SPECIFIC.has(name)) return `${name} is connection-specific`;
    if (name === "te") return value === "trailers" ? "" : "te other than trailers";
    if (knownNames.size < KNOWN_NAMES_MAX && name.length <= KNOWN_NAME_OCTETS_MAX) knownNames.add(name);
  }
  if (!isFieldValue(value)) return `value of ${name} has a forbidden character`;
  return "";
}

function isFieldName(name: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) if (NAME_OCTET[name.charCodeAt(i)] !== 1) return false;
  return true;
}

/** RFC 9113 §8.2.1: no NUL, CR or LF anywhere, no space or tab at either end. */
function isFieldValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  for (let i = 0; i < length; i++) {
    const c = value.charCodeAt(i);
    if (c < 0x0e && (c === 0x00 || c === 0x0a || c === 0x0d)) return false;
  }
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(length - 1));
}

function isBlank(c: number): boolean {
  return c === 0x20 || c === 0x09;
}

/** Returns the length, or -1 when it is no number or contradicts an earlier one. */
function readContentLength(value: string, earlier: number): number {
  if (!/^[0-9]{1,15}$/.test(value)) return -1;
  const length = Number(value);
  return earlier === -1 || earlier === length ? length : -1;
}
