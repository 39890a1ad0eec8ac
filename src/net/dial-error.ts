/**
 * Why a dial failed, in words that name the endpoint.
 *
 * Stands between the system's error codes and those who choose endpoints. `reason` decides what happens next,
 * the text never does: only `exhausted` lies with this machine, every other reason speaks against the endpoint.
 */

/**
 * - `refused`: nobody listens there
 * - `timeout`: no answer in time
 * - `unresolved`: the host name has no address
 * - `unreachable`: there is no way to it
 * - `tls`: there is no secure connection: the certificate of one side does not satisfy the other, or it speaks no TLS
 * - `exhausted`: this machine ran out of files, ports or memory
 * - `failed`: anything else
 */
export type DialFailure =
  "refused" | "timeout" | "unresolved" | "unreachable" | "tls" | "exhausted" | "failed";

export class DialError extends Error {
  override readonly name = "DialError";
  readonly reason: DialFailure;
  /** The endpoint's `host:port`. */
  readonly endpoint: string;
  /** The part of the message behind the endpoint's name, for lists of endpoints with their reasons. */
  readonly detail: string;

  constructor(reason: DialFailure, endpoint: string, detail: string, cause?: unknown) {
    super(`${endpoint}: ${detail}`, { cause });
    this.reason = reason;
    this.endpoint = endpoint;
    this.detail = detail;
  }
}

/** The failure that an error of connect(2) or of the name lookup stands for. */
export function dialErrorFrom(error: unknown, endpoint: string): DialError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const reason = failureOf(code);
  return new DialError(reason, endpoint, describe(reason, code, error), error);
}

function failureOf(code: string): Exclude<DialFailure, "tls"> {
  switch (code) {
    case "ECONNREFUSED":
      return "refused";
    case "ETIMEDOUT":
      return "timeout";
    case "ENOTFOUND":
    case "ENODATA":
    case "EAI_AGAIN":
    case "ESERVFAIL":
    case "ETIMEOUT":
      return "unresolved";
    case "ENETUNREACH":
    case "EHOSTUNREACH":
    case "ENETDOWN":
    case "EHOSTDOWN":
    case "EAFNOSUPPORT":
    case "EINVAL":
      return "unreachable";
    case "EMFILE":
    case "ENFILE":
    case "ENOBUFS":
    case "ENOMEM":
    case "EADDRNOTAVAIL":
      return "exhausted";
    default:
      return "failed";
  }
}

function describe(reason: Exclude<DialFailure, "tls">, code: string, error: unknown): string {
  switch (reason) {
    case "refused":
      return "connection refused";
    case "timeout":
      return "no answer in time";
    case "unresolved":
      return `the host name does not resolve (${code})`;
    case "unreachable":
      return `cannot be reached (${code})`;
    case "exhausted":
      return `this machine cannot open another connection (${code})`;
    case "failed":
      return code === "" ? String(error) : `connecting failed (${code})`;
  }
}
