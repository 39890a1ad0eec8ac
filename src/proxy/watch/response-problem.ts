/**
 * What is wrong with a WatchResponse that is valid protobuf, and that no etcd would send.
 *
 * Stands between the reader, which takes any message, and the watches, which trust that revisions are numbers that can
 * be counted on and come in order: one absurd revision would make a watch pass over all that follows.
 */
import type { WatchResponseReader } from "../../etcd/watch-response.ts";

/** What is wrong with the response, "" when nothing is. */
export function responseProblem({ header, events, compactRevision }: WatchResponseReader): string {
  if (!isRevision(header.revision)) return `a WatchResponse at revision ${header.revision}`;
  if (!isRevision(compactRevision)) return `a compaction at revision ${compactRevision}`;
  let last = 1;
  for (const { revision, keyStart, keyEnd } of events) {
    if (revision < last || !isRevision(revision)) return `an event at revision ${revision} behind ${last}`;
    if (keyStart === keyEnd) return "an event without a key";
    last = revision;
  }
  return "";
}

function isRevision(revision: number): boolean {
  return revision >= 0 && Number.isSafeInteger(revision);
}
