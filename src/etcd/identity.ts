/**
 * Who a caller is, as far as etcd can tell: the credential as it came, never a claim read out of it
 * (architecture §4, "Identity").
 *
 * A scheme ("Bearer ") is part of it: etcd takes one off since 3.7, and before that refuses a token that has one.
 * Sent upstream as `token`, whichever field it came in, it means the same to a member.
 */
import type { CallHead } from "../grpc/call-head.ts";

/** All metadata by which a member may answer two callers differently, and so what a call for several carries. */
export const SHARED_METADATA: ReadonlySet<string> = new Set(["token", "authorization", "hasleader"]);

/**
 * Stands for a field that is there and empty, which to etcd is a token that it does not know: a caller without a
 * credential is told something else.
 */
const EMPTY_CREDENTIAL = "Bearer";

/** `token`, else `authorization`; "" for a caller without a credential. */
export function credentialOf(head: CallHead): string {
  const credential = head.value("token") ?? head.value("authorization");
  return credential === "" ? EMPTY_CREDENTIAL : (credential ?? "");
}

/** True when the member that the call reaches has to know a leader. */
export function requiresLeader(head: CallHead): boolean {
  return head.value("hasleader") === "true";
}
