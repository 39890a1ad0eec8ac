/**
 * Header blocks of gRPC calls that take a byte for each field (RFC 7541 §6.1).
 *
 * The first call of each path carries its fields in full and enters them into the table of headers; all later ones
 * refer to them. Invariant: the openings are sent first, in order and on one connection each, and nothing else
 * enters the table.
 */
import { literalField } from "../floors/frames.ts";

/** A literal that enters the table of headers (RFC 7541 §6.2.1). */
const WITH_INDEXING = 0x40;
const INDEXED = 0x80;
/** The newest entry of the table of headers; older ones count upwards. */
const NEWEST_ENTRY = 62;
const METHOD_POST = 0x83;
const SCHEME_HTTP = 0x86;

export interface IndexedHeaders {
  /** The block of the first call of each path. */
  readonly openings: readonly Uint8Array[];
  /** The block of every further call of each path. */
  readonly repeats: readonly Uint8Array[];
}

/** @param paths of the methods. @param authority `host:port` of the server. */
export function indexedHeaders(paths: readonly string[], authority: string): IndexedHeaders {
  // The first opening enters path, authority, content-type and te; each further one its path only.
  const [path, ...rest] = [
    literalField(":path", paths[0]!),
    literalField(":authority", authority),
    literalField("content-type", "application/grpc"),
    literalField("te", "trailers"),
  ].map(entering);
  return {
    openings: paths.map((other, index) =>
      index === 0
        ? block([path!, ...rest])
        : block([entering(literalField(":path", other)), ...sharedFields(index)]),
    ),
    repeats: paths.map((_, index) => {
      const newer = paths.length - 1;
      const ownPath = index === 0 ? newer + 3 : newer - index;
      return block([entry(ownPath), ...sharedFields(newer)]);
    }),
  };
}

/** Authority, content-type and te, once `newer` paths have entered the table behind them. */
function sharedFields(newer: number): Uint8Array[] {
  return [newer + 2, newer + 1, newer].map(entry);
}

function entry(age: number): Uint8Array {
  return Uint8Array.of(INDEXED | (NEWEST_ENTRY + age));
}

function entering(field: Buffer): Buffer {
  field[0] = WITH_INDEXING;
  return field;
}

function block(fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(METHOD_POST, SCHEME_HTTP), ...fields]);
}
