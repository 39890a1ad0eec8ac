/**
 * Who a caller is, as far as etcd can tell: the value of its credential, never a claim read out of it
 * (architecture §4, "Identity").
 */
import type { CallHead } from "../grpc/call-head.ts";

const BEARER = "Bearer ";

/** All metadata by which a member may answer two callers differently, and so what a call for several carries. */
export const SHARED_METADATA: ReadonlySet<string> = new Set(["token", "authorization", "hasleader"]);

/** `token`, else `authorization` without its scheme; "" for a caller without a credential. */
export function identityOf(head: CallHead): string {
  const token = head.value("token");
  if (token !== undefined) return token;
  const authorization = head.value("authorization") ?? "";
  return authorization.startsWith(BEARER) ? authorization.slice(BEARER.length) : authorization;
}

/**
 * The credential as it came. Callers of one identity whose credentials differ are one to newer etcds only: before 3.7
 * a member knows no scheme, and refuses a token that has one.
 */
export function credentialOf(head: CallHead): string {
  return head.value("token") ?? head.value("authorization") ?? "";
}

/** True when the member that the call reaches has to know a leader. */
export function requiresLeader(head: CallHead): boolean {
  return head.value("hasleader") === "true";
}
