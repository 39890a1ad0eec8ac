/**
 * The encoder of one connection's header blocks (RFC 7541 §3, §6).
 *
 * It stands between lists of fields and the frames' bytes, and owns the table that the peer's decoder
 * follows. What enters the table is decided by known-name.ts and by size: a value that would fill half
 * of the table is not worth the entries it evicts. A field that came never-indexed leaves so (§7.1.3).
 * Encoding cannot fail, so the two ends never disagree about the table.
 */

import type { ByteWriter } from "../base/byte-writer.ts";
import { EncodedListCache } from "./encoded-list-cache.ts";
import { EncoderTable } from "./encoder-table.ts";
import { type HeaderField, headerFieldBytes } from "./header-field.ts";
import { encodeInteger, INTEGER_BYTES_MAX } from "./integer.ts";
import { KNOWN_NAMES } from "./known-name.ts";
import { STATIC_FIELDS } from "./static-table.ts";
import { encodeString } from "./string-literal.ts";

/** SETTINGS_HEADER_TABLE_SIZE before any SETTINGS (RFC 9113 §6.5.2). */
const TABLE_BYTES_INITIAL = 4096;

/** First octets of the representations and the largest values of their prefixes (§6). */
const INDEXED = 0x80;
const INDEXED_PREFIX_MAX = 0x7f;
const LITERAL_WITH_INDEXING = 0x40;
const LITERAL_WITH_INDEXING_PREFIX_MAX = 0x3f;
const LITERAL_WITHOUT_INDEXING = 0x00;
const LITERAL_NEVER_INDEXED = 0x10;
const LITERAL_PREFIX_MAX = 0x0f;
const SIZE_UPDATE = 0x20;
const SIZE_UPDATE_PREFIX_MAX = 0x1f;

/** Index, name and value of a literal: an integer and two length prefixes beside the text. */
const LITERAL_OVERHEAD_BYTES = 3 * INTEGER_BYTES_MAX;

export class HpackEncoder {
  readonly #tableBytesMax: number;
  readonly #table = new EncoderTable(TABLE_BYTES_INITIAL);
  readonly #cache = new EncodedListCache();
  /** Table sizes to announce in the next block: the smallest since the last one, and the final one. */
  #smallestTableBytes = TABLE_BYTES_INITIAL;
  #finalTableBytes = TABLE_BYTES_INITIAL;
  /** Whether the block under way has changed the table. */
  #tableChanged = false;

  /** @param options.tableBytesMax the largest table to keep, whatever the peer allows; 4096 by default. */
  constructor(options: { tableBytesMax?: number } = {}) {
    this.#tableBytesMax = options.tableBytesMax ?? TABLE_BYTES_INITIAL;
    this.setPeerTableBytesMax(TABLE_BYTES_INITIAL);
  }

  /**
   * Takes the peer's SETTINGS_HEADER_TABLE_SIZE. It takes effect at the next block, which announces it
   * as §4.2 demands: the smallest size since the last block, then the final one.
   */
  setPeerTableBytesMax(bytes: number): void {
    this.#finalTableBytes = Math.min(bytes, this.#tableBytesMax);
    this.#smallestTableBytes = Math.min(this.#smallestTableBytes, this.#finalTableBytes);
  }

  /**
   * Appends the header block of `fields` to `out`. The array must not be changed afterwards: when the
   * same object comes again its encoding is copied.
   */
  encode(fields: readonly HeaderField[], out: ByteWriter): void {
    if (
      this.#smallestTableBytes !== this.#table.limitBytes ||
      this.#finalTableBytes !== this.#table.limitBytes
    ) {
      this.#announceTableSize(out);
    }
    const known = this.#cache.find(fields);
    if (known !== undefined) {
      out.write(known.bytes);
      return;
    }
    this.#tableChanged = false;
    const start = out.length;
    for (let i = 0; i < fields.length; i++) this.#writeField(fields[i]!, out);
    if (this.#tableChanged) this.#cache.clear();
    if (this.#cache.cameBefore(fields) && !this.#tableChanged) {
      this.#cache.store(fields, out.bytes, start, out.length);
    }
  }

  #announceTableSize(out: ByteWriter): void {
    if (this.#smallestTableBytes < this.#table.limitBytes)
      this.#writeSizeUpdate(this.#smallestTableBytes, out);
    if (this.#finalTableBytes !== this.#table.limitBytes) this.#writeSizeUpdate(this.#finalTableBytes, out);
    this.#smallestTableBytes = this.#finalTableBytes;
    this.#cache.clear();
  }

  #writeSizeUpdate(sizeBytes: number, out: ByteWriter): void {
    this.#table.resize(sizeBytes);
    out.reserve(INTEGER_BYTES_MAX);
    out.length = encodeInteger(out.bytes, out.length, SIZE_UPDATE, SIZE_UPDATE_PREFIX_MAX, sizeBytes);
  }

  #writeField(field: HeaderField, out: ByteWriter): void {
    const { name, value } = field;
    const known = KNOWN_NAMES.get(name);
    const rule = field.neverIndexed ? "never" : known === undefined ? "field" : known.rule;
    let nameIndex = known === undefined ? 0 : known.staticIndex;
    if (nameIndex !== 0 && rule !== "never") {
      const { staticValues } = known!;
      for (let i = 0; i < staticValues.length; i++) {
        if (staticValues[i] === value) return writeIndexed(nameIndex + i, out);
      }
    }
    const newest = this.#table.newestOfName(name);
    if (newest !== undefined) {
      if (rule !== "never") {
        const entry = this.#table.findValue(newest, value);
        if (entry !== undefined) return writeIndexed(STATIC_FIELDS + 1 + this.#table.positionOf(entry), out);
      }
      if (nameIndex === 0) nameIndex = STATIC_FIELDS + 1 + this.#table.positionOf(newest);
    }
    if (rule === "never") {
      writeLiteral(LITERAL_NEVER_INDEXED, LITERAL_PREFIX_MAX, nameIndex, field, out);
    } else if ((rule === "name" && nameIndex !== 0) || headerFieldBytes(field) * 2 > this.#table.limitBytes) {
      writeLiteral(LITERAL_WITHOUT_INDEXING, LITERAL_PREFIX_MAX, nameIndex, field, out);
    } else {
      // A `name` field comes here once, and leaves its name in the table for the calls after it.
      writeLiteral(LITERAL_WITH_INDEXING, LITERAL_WITH_INDEXING_PREFIX_MAX, nameIndex, field, out);
      this.#table.insert(name, value);
      this.#tableChanged = true;
    }
  }
}

/** §6.1: a field that is in a table. */
function writeIndexed(index: number, out: ByteWriter): void {
  out.reserve(INTEGER_BYTES_MAX);
  out.length = encodeInteger(out.bytes, out.length, INDEXED, INDEXED_PREFIX_MAX, index);
}

/** §6.2: a literal field; index 0 means that the name is written out. */
function writeLiteral(
  kind: number,
  prefixMax: number,
  nameIndex: number,
  field: HeaderField,
  out: ByteWriter,
): void {
  out.reserve(LITERAL_OVERHEAD_BYTES + field.name.length + field.value.length);
  const { bytes } = out;
  let at = encodeInteger(bytes, out.length, kind, prefixMax, nameIndex);
  if (nameIndex === 0) at = encodeString(field.name, bytes, at);
  out.length = encodeString(field.value, bytes, at);
}
