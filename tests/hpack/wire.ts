/** Header blocks for tests: hexadecimal to bytes, and encoder or decoder calls on whole blocks. */

import { ByteWriter } from "../../src/base/byte-writer.ts";
import type { HpackDecoder } from "../../src/hpack/decoder.ts";
import type { HpackEncoder } from "../../src/hpack/encoder.ts";
import type { HeaderField } from "../../src/hpack/header-field.ts";

/** Bytes from hexadecimal digits; spaces and line ends do not count. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(/\s/g, "").match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Decodes a block given in hexadecimal digits or as bytes. */
export function decodeBlock(
  decoder: HpackDecoder,
  block: string | Uint8Array,
  listBytesMax = 65_536,
): readonly HeaderField[] {
  const bytes = typeof block === "string" ? fromHex(block) : block;
  return decoder.decode(bytes, 0, bytes.length, listBytesMax);
}

export function encodeBlock(encoder: HpackEncoder, fields: readonly HeaderField[]): Uint8Array {
  const out = new ByteWriter();
  encoder.encode(fields, out);
  return out.toBytes();
}

/** The fields as `name: value` lines. */
export function lines(fields: readonly HeaderField[]): string[] {
  return fields.map((field) => `${field.name}: ${field.value}`);
}
