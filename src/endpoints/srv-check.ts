/**
 * Whether what a discovered endpoint shows over TLS is good for the domain that it was discovered by.
 *
 * Stands between discovery and the dials that it makes for this alone: a connection that has proven what it is closes at
 * once. DNS answers can be forged, so a name out of them proves nothing: only the domain does, which the operator wrote.
 */
import { Dialer } from "../net/dial.ts";
import { DialError } from "../net/dial-error.ts";
import type { DnsResolver } from "../net/resolver.ts";
import { type DialTls, leftInHandshake } from "../net/tls.ts";
import type { Endpoint } from "./endpoint.ts";

/** `passed`; `failed`: it is not what it should be; `unreachable`: that cannot be told now. */
export type CheckResult =
  | { readonly kind: "passed" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "unreachable"; readonly reason: string };

/** Checks an endpoint against a domain; never rejects. */
export type EndpointCheck = (endpoint: Endpoint, domain: string) => Promise<CheckResult>;

export interface TlsCheckOptions {
  /** What a dial shows, and demands of who has this name. */
  readonly tls: (serverName: string) => DialTls;
  /** Looks the endpoints' host names up; without it the system does. */
  readonly resolver?: DnsResolver | undefined;
  /** How long one check may take, name lookup and handshake included. */
  readonly timeoutMs: number;
}

/** Checks that dial. */
export function createTlsCheck({ tls, resolver, timeoutMs }: TlsCheckOptions): EndpointCheck {
  const dialer = new Dialer<null>({
    handlers: { data() {} },
    timeoutMs,
    retryDelayMs: timeoutMs,
    resolver,
  });
  return async ({ hostname, port, name }, domain) => {
    try {
      const socket = await dialer.dial({ hostname, port, name, tls: tls(domain) }, null);
      socket.end();
      return { kind: "passed" };
    } catch (error) {
      if (!(error instanceof DialError)) throw error;
      const told = error.reason === "tls" && !leftEarly(error);
      return { kind: told ? "failed" : "unreachable", reason: error.detail };
    }
  };
}

/** The peer has gone before it showed anything: a member that restarts does. */
function leftEarly({ cause }: DialError): boolean {
  return !(cause instanceof Error) || leftInHandshake(cause);
}
