/**
 * HPACK's decoder as RFC 7541 tells it, and nothing else: an array for the table, Huffman codes walked bit by bit.
 *
 * What the engine's decoder is held against. They share the two tables that the RFC prints (static fields, code
 * lengths) and the engine's own bound on integers, which the RFC leaves open; no line of code.
 */
import { CODE_BITS, CODES, END_OF_STRING } from "../../src/hpack/huffman-code.ts";
import type { HeaderField } from "../../src/hpack/header-field.ts";
import { STATIC_TABLE } from "../../src/hpack/static-table.ts";

/** A block is malformed: the decoder is of no use any more. */
export class PlainHpackError extends Error {}

const INTEGER_MAX = 2 ** 31 - 1;
const CONTINUATION_OCTETS_MAX = 5;

/** Each code, as its bits written out, and its symbol. */
const SYMBOL_OF_CODE = new Map<string, number>();
for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
  SYMBOL_OF_CODE.set(CODES[symbol]!.toString(2).padStart(CODE_BITS[symbol]!, "0"), symbol);
}

export class PlainHpackDecoder {
  /** Dynamic entries, the newest first. */
  readonly table: HeaderField[] = [];
  readonly #tableBytesMax: number;
  #limitBytes: number;
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(tableBytesMax = 4096) {
    this.#tableBytesMax = tableBytesMax;
    this.#limitBytes = Math.min(tableBytesMax, 4096);
  }

  get tableBytes(): number {
    return this.table.reduce((sum, field) => sum + sizeOf(field), 0);
  }

  /** All fields of a block. @throws PlainHpackError */
  decode(block: Uint8Array): HeaderField[] {
    this.#block = block;
    this.#at = 0;
    const fields: HeaderField[] = [];
    let sizeUpdateAllowed = true;
    while (this.#at < block.length) {
      const first = block[this.#at]!;
      if (first >> 5 === 0b001) {
        if (!sizeUpdateAllowed) throw new PlainHpackError("size update behind a field");
        const limit = this.#integer(5);
        if (limit > this.#tableBytesMax) throw new PlainHpackError("size update above the maximum");
        this.#limitBytes = limit;
        this.#evict(limit);
        continue;
      }
      sizeUpdateAllowed = false;
      if (first >> 7 === 1) fields.push(this.#field(this.#integer(7)));
      else if (first >> 6 === 0b01) {
        const field = this.#literal(6, false);
        fields.push(field);
        this.#evict(this.#limitBytes - sizeOf(field));
        if (sizeOf(field) <= this.#limitBytes) this.table.unshift(field);
      } else fields.push(this.#literal(4, first >> 4 === 1));
    }
    return fields;
  }

  #literal(prefixBits: number, neverIndexed: boolean): HeaderField {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#field(index).name;
    return { name, value: this.#string(), neverIndexed };
  }

  #field(index: number): HeaderField {
    if (index === 0) throw new PlainHpackError("index 0");
    const field = index < STATIC_TABLE.length ? STATIC_TABLE[index] : this.table[index - STATIC_TABLE.length];
    if (field === undefined) throw new PlainHpackError(`index ${index} is beyond the table`);
    return field;
  }

  #evict(bytes: number): void {
    while (this.table.length > 0 && this.tableBytes > bytes) this.table.pop();
  }

  #octet(): number {
    const octet = this.#block[this.#at++];
    if (octet === undefined) throw new PlainHpackError("the block is cut short");
    return octet;
  }

  #integer(prefixBits: number): number {
    const prefixMax = 2 ** prefixBits - 1;
    let value = this.#octet() & prefixMax;
    if (value < prefixMax) return value;
    for (let octets = 0; octets < CONTINUATION_OCTETS_MAX; octets++) {
      const octet = this.#octet();
      value += (octet % 128) * 128 ** octets;
      if (value > INTEGER_MAX) break;
      if (octet < 128) return value;
    }
    throw new PlainHpackError("integer is too large");
  }

  #string(): string {
    const coded = (this.#block[this.#at] ?? 0) >= 128;
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw new PlainHpackError("a string is cut short");
    const octets = [...this.#block.subarray(this.#at, end)];
    this.#at = end;
    return String.fromCharCode(...(coded ? huffmanSymbols(octets) : octets));
  }
}

function huffmanSymbols(octets: readonly number[]): number[] {
  const symbols: number[] = [];
  let code = "";
  for (const octet of octets) {
    for (const bit of octet.toString(2).padStart(8, "0")) {
      code += bit;
      const symbol = SYMBOL_OF_CODE.get(code);
      if (symbol === undefined) continue;
      if (symbol === END_OF_STRING) throw new PlainHpackError("end of string as a symbol");
      symbols.push(symbol);
      code = "";
    }
  }
  if (code.length > 7 || code.includes("0")) throw new PlainHpackError("wrong padding");
  return symbols;
}

function sizeOf({ name, value }: HeaderField): number {
  return name.length + value.length + 32;
}
