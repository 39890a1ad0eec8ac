/**
 * The decoder of one connection's header blocks (RFC 7541 §3, §6).
 *
 * It stands between the frames' bytes and lists of fields, and owns the dynamic table that the peer's
 * encoder drives. Invariant: every block is decoded, in order and to its end, even when its fields are
 * not wanted, because each one may change the table. Cost is bounded by the block's own length plus the
 * list it may make: a reference to a table entry shares the entry's object, and fields beyond the limit
 * are counted but not collected, so an HPACK bomb (thousands of references to one large entry)
 * allocates nothing.
 */

import { BlockCursor } from "./block-cursor.ts";
import { DecodedBlockCache } from "./decoded-block-cache.ts";
import { DynamicTable } from "./dynamic-table.ts";
import { type HeaderField, headerFieldBytes } from "./header-field.ts";
import { HpackError } from "./hpack-error.ts";
import { decodeInteger } from "./integer.ts";
import { KNOWN_NAMES } from "./known-name.ts";
import { STATIC_FIELDS, STATIC_TABLE } from "./static-table.ts";
import { decodeString } from "./string-literal.ts";

export { HpackError } from "./hpack-error.ts";

/** SETTINGS_HEADER_TABLE_SIZE before any SETTINGS (RFC 9113 §6.5.2). */
const TABLE_BYTES_INITIAL = 4096;

/** First octets of the representations (§6): each is the lowest of its kind. */
const INDEXED = 0x80;
const LITERAL_WITH_INDEXING = 0x40;
const SIZE_UPDATE = 0x20;
const LITERAL_NEVER_INDEXED = 0x10;

/**
 * Decoding is synchronous, so one cursor serves all connections. A malformed block stays in it until
 * the next one comes: one receive buffer in the process at most.
 */
const cursor = new BlockCursor();

export class HpackDecoder {
  /**
   * Size of the last decoded block's fields as RFC 9113 §6.5.2 counts it, complete even when fields
   * were dropped.
   */
  lastListBytes = 0;
  readonly #tableBytesMax: number;
  readonly #table: DynamicTable;
  readonly #cache = new DecodedBlockCache();

  /**
   * @param options.tableBytesMax the SETTINGS_HEADER_TABLE_SIZE that is advertised, 4096 by default. A
   * smaller one counts at once, so it must not be used before the peer acknowledged it; a larger one
   * is in force when the peer says so with a size update.
   */
  constructor(options: { tableBytesMax?: number } = {}) {
    this.#tableBytesMax = options.tableBytesMax ?? TABLE_BYTES_INITIAL;
    this.#table = new DynamicTable(Math.min(this.#tableBytesMax, TABLE_BYTES_INITIAL));
  }

  /**
   * Decodes one complete header block `bytes[start, end)`. Fields beyond `listBytesMax` (as RFC 9113
   * §6.5.2 counts) are not collected; `lastListBytes` then exceeds it. The array may be the same object
   * for a repeated block: it must not be changed.
   * @throws HpackError when the block is malformed; the decoder cannot be used after it.
   */
  decode(bytes: Uint8Array, start: number, end: number, listBytesMax: number): readonly HeaderField[] {
    const known = this.#cache.find(bytes, start, end);
    if (known !== undefined && known.listBytes <= listBytesMax) {
      this.lastListBytes = known.listBytes;
      return known.fields;
    }
    return this.#decodeBlock(bytes, start, end, listBytesMax);
  }

  #decodeBlock(bytes: Uint8Array, start: number, end: number, listBytesMax: number): readonly HeaderField[] {
    cursor.open(bytes, start, end);
    let tableChanged = this.#readSizeUpdates();
    const fields: HeaderField[] = [];
    let listBytes = 0;
    while (cursor.at < end) {
      const first = bytes[cursor.at]!;
      let field: HeaderField;
      if (first >= INDEXED) {
        field = this.#fieldAt(decodeInteger(cursor, 0x7f));
      } else if (first >= LITERAL_WITH_INDEXING) {
        field = this.#readLiteral(0x3f, false);
        this.#table.insert(field);
        tableChanged = true;
      } else if (first >= SIZE_UPDATE) {
        throw new HpackError(
          "dynamic table size update behind a field: allowed only where a header block starts",
        );
      } else {
        field = this.#readLiteral(0x0f, first >= LITERAL_NEVER_INDEXED);
      }
      listBytes += headerFieldBytes(field);
      if (listBytes <= listBytesMax) fields.push(field);
    }
    cursor.close();
    this.lastListBytes = listBytes;
    if (tableChanged) this.#cache.clear();
    else if (listBytes <= listBytesMax) this.#cache.store(bytes, start, end, fields, listBytes);
    return fields;
  }

  /** §6.3: reads the size updates that a block may start with; says whether there were any. */
  #readSizeUpdates(): boolean {
    let found = false;
    while (cursor.at < cursor.end) {
      const first = cursor.bytes[cursor.at]!;
      if (first < SIZE_UPDATE || first >= LITERAL_WITH_INDEXING) break;
      const sizeBytes = decodeInteger(cursor, 0x1f);
      if (sizeBytes > this.#tableBytesMax) {
        throw new HpackError(
          `dynamic table size update to ${sizeBytes} is above the advertised ${this.#tableBytesMax}`,
        );
      }
      this.#table.resize(sizeBytes);
      found = true;
    }
    return found;
  }

  /** §6.2: reads a literal field; its name is a string of its own or that of an entry. */
  #readLiteral(prefixMax: number, neverIndexed: boolean): HeaderField {
    const index = decodeInteger(cursor, prefixMax);
    const name = index === 0 ? readName() : this.#fieldAt(index).name;
    return { name, value: decodeString(cursor), neverIndexed };
  }

  /** §2.3.3: the field that `index` means, static ones first. */
  #fieldAt(index: number): HeaderField {
    if (index > STATIC_FIELDS) {
      const field = this.#table.get(index - STATIC_FIELDS - 1);
      if (field !== undefined) return field;
    } else if (index > 0) {
      return STATIC_TABLE[index]!;
    }
    throw new HpackError(
      index === 0
        ? "index 0 stands for no field"
        : `index ${index} is beyond the last entry ${STATIC_FIELDS + this.#table.length}`,
    );
  }
}

/** Reads a name; well-known ones become one string for all connections. */
function readName(): string {
  const name = decodeString(cursor);
  return KNOWN_NAMES.get(name)?.name ?? name;
}
