/**
 * Header blocks written by hand, of literals without indexing only (RFC 7541 §6.2.2): one block can be sent any number of
 * times, on any connection, and nothing about it is checked.
 */
import { concat, text } from "./frames.ts";

/** An integer with a 7-bit prefix whose upper bit is 0 (RFC 7541 §5.1). */
export function prefixedInteger(value: number): Uint8Array {
  if (value < 127) return Uint8Array.of(value);
  const octets = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
  octets.push(rest);
  return Uint8Array.from(octets);
}

function string(content: string | Uint8Array): Uint8Array {
  const octets = typeof content === "string" ? text(content) : content;
  return concat([prefixedInteger(octets.length), octets]);
}

/** One field, whatever its name and value are. */
export function literalField(name: string | Uint8Array, value: string | Uint8Array): Uint8Array {
  return concat([Uint8Array.of(0), string(name), string(value)]);
}

export type LiteralFields = readonly (readonly [name: string, value: string | Uint8Array])[];

export function literalBlock(fields: LiteralFields): Uint8Array {
  return concat(fields.map(([name, value]) => literalField(name, value)));
}

/** The header section of a gRPC call of the method at `path`. */
export function requestBlock(path: string, more: LiteralFields = []): Uint8Array {
  return literalBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "etcd"],
    [":path", path],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ]);
}
