/**
 * Events of a member's message that are not a batch yet: what has come twice, and a revision that goes on in the next
 * message, have to be taken out first.
 */
import type { WatchEvent } from "../../etcd/watch-response.ts";

export interface LooseEvents {
  readonly bytes: Uint8Array;
  readonly events: readonly WatchEvent[];
}

/** Whether events are of `count` revisions or more. */
export function hasRevisions(events: readonly WatchEvent[], count: number): boolean {
  if (events.length < count) return false;
  let revisions = 0;
  let last = 0;
  for (const { revision } of events) {
    if (revision !== last) revisions++;
    last = revision;
  }
  return revisions >= count;
}

/** Those of some events whose revision is right. */
export function within(loose: LooseEvents, right: (revision: number) => boolean): LooseEvents {
  if (loose.events.every(({ revision }) => right(revision))) return loose;
  return { bytes: loose.bytes, events: loose.events.filter(({ revision }) => right(revision)) };
}

/** Events of several messages over one array of bytes. */
export function joined(parts: readonly LooseEvents[]): LooseEvents {
  const filled = parts.filter(({ events }) => events.length > 0);
  if (filled.length === 1) return filled[0]!;
  const bytes = new Uint8Array(filled.reduce((sum, part) => sum + part.bytes.length, 0));
  const events: WatchEvent[] = [];
  let at = 0;
  for (const part of filled) {
    bytes.set(part.bytes, at);
    for (const event of part.events) events.push(moved(event, at));
    at += part.bytes.length;
  }
  return { bytes, events };
}

function moved(event: WatchEvent, by: number): WatchEvent {
  return {
    ...event,
    start: event.start + by,
    end: event.end + by,
    keyStart: event.keyStart + by,
    keyEnd: event.keyEnd + by,
    prevKvStart: event.prevKvStart + by,
    prevKvEnd: event.prevKvEnd + by,
  };
}
