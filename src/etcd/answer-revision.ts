/** Reads the revision out of any answer of etcd, which begins with its ResponseHeader (etcd API). */
import { ProtobufCursor } from "./protobuf-cursor.ts";

const HEADER_TAG = 0x0a;
const REVISION_TAG = 0x18;

export const UNKNOWN_REVISION = -1;

const cursor = new ProtobufCursor();

/**
 * `header.revision` of the answer whose message begins at `bytes[start]` and of which there is everything up to
 * `end`; `UNKNOWN_REVISION` when the header is not all there, or says none that there can be.
 */
export function revisionOfAnswer(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end || bytes[start] !== HEADER_TAG) return UNKNOWN_REVISION;
  try {
    cursor.at = start + 1;
    const headerEnd = cursor.payloadEnd(bytes, end);
    let revision = UNKNOWN_REVISION;
    while (cursor.at < headerEnd) {
      const tag = cursor.tag(bytes, headerEnd);
      if (tag === REVISION_TAG) revision = cursor.int64(bytes, headerEnd);
      else cursor.skip(bytes, tag, headerEnd);
    }
    return Number.isSafeInteger(revision) && revision >= 0 ? revision : UNKNOWN_REVISION;
  } catch {
    return UNKNOWN_REVISION;
  }
}
