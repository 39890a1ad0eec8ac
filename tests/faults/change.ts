/**
 * One change of one key, as a watch event tells it, in a form that can be kept by the hundred thousand and compared.
 *
 * Revisions are numbers here: no test makes 2^53 of them.
 */
import { Event_EventType, type Event, type KeyValue } from "../../src/gen/mvccpb/kv_pb.ts";

const VALUE_SHOWN_MAX = 40;

export interface Change {
  readonly revision: number;
  readonly type: "put" | "delete";
  /** As Latin-1, which orders like bytes. */
  readonly key: string;
  /** The pair after the change: revisions, version, lease and value; long values as their hash. */
  readonly pair: string;
  /** The pair before the change, when the event carries one. */
  readonly previous: string | undefined;
}

export function changeOf(event: Event): Change {
  const { kv, prevKv } = event;
  if (kv === undefined) throw new Error("an event without a pair");
  return {
    revision: Number(kv.modRevision),
    type: event.type === Event_EventType.DELETE ? "delete" : "put",
    key: latin1(kv.key),
    pair: pairOf(kv),
    previous: prevKv === undefined ? undefined : pairOf(prevKv),
  };
}

/** What there is to a pair besides its key. */
export function pairOf(pair: KeyValue): string {
  const { createRevision, modRevision, version, lease, value } = pair;
  return `${createRevision}/${modRevision}/${version}/${lease} ${shortened(value)}`;
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** Names a change in a failure. */
export function describeChange({ revision, type, key }: Change): string {
  return `${type} of ${JSON.stringify(key)} at ${revision}`;
}

function shortened(value: Uint8Array): string {
  if (value.length <= VALUE_SHOWN_MAX) return latin1(value);
  return `${value.length} bytes, hash ${Bun.hash(value)}`;
}
