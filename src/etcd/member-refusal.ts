/**
 * Answers by which a member says that it cannot serve at all, so that calls should go to another one.
 *
 * etcd gives its errors as texts under a gRPC code; these are those that speak of the member and not of the
 * request. One that was removed from its cluster says so in the words of raft, under no code in particular. Other UNAVAILABLE answers (`leader changed`, `request timed out`) pass and mean nothing for the choice
 * of the member.
 */
import type { HeaderField } from "../hpack/header-field.ts";
import { Code, readStatus, type Status } from "../grpc/status.ts";

/** Each text under its code. */
const REFUSALS: ReadonlyMap<string, number> = new Map([
  ["etcdserver: no leader", Code.UNAVAILABLE],
  ["etcdserver: server stopped", Code.UNAVAILABLE],
  ["raft: stopped", Code.UNKNOWN],
]);

/** Repeated trailer sections are one array, so the check of the last one nearly always holds for this one. */
let lastWithoutRefusal: readonly HeaderField[] | null = null;

/** The refusal's text in a trailer section, or undefined when the member did not refuse. */
export function memberRefusal(trailers: readonly HeaderField[]): string | undefined {
  if (trailers === lastWithoutRefusal) return undefined;
  const status = readStatus(trailers);
  const refusal = status === undefined ? undefined : memberRefusalOf(status);
  if (refusal === undefined) lastWithoutRefusal = trailers;
  return refusal;
}

/** The refusal's text in a status, or undefined when it is none. */
export function memberRefusalOf({ code, message }: Status): string | undefined {
  return REFUSALS.get(message) === code ? message : undefined;
}
