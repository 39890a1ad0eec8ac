/**
 * The decoder's dynamic table (RFC 7541 §2.3.2, §4): the most recent fields, oldest leave first.
 *
 * A ring that starts without storage and doubles, so an idle connection holds none. Invariant: the
 * table's size as §4.1 counts it never exceeds `limitBytes`.
 */

import { type HeaderField, headerFieldBytes } from "./header-field.ts";

const RING_FIELDS_MIN = 16;

export class DynamicTable {
  /** Capacity is a power of two; the newest field is at #newest, older ones below it, wrapping. */
  #ring: (HeaderField | undefined)[] = [];
  #newest = -1;
  #length = 0;
  #sizeBytes = 0;
  #limitBytes: number;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** How many fields it holds. */
  get length(): number {
    return this.#length;
  }

  /** The field at `position`, 0 being the newest, or undefined beyond the oldest. */
  get(position: number): HeaderField | undefined {
    if (position >= this.#length) return undefined;
    return this.#ring[(this.#newest - position) & (this.#ring.length - 1)];
  }

  /** Adds a field, evicting old ones for it; one larger than the whole table leaves it empty (§4.4). */
  insert(field: HeaderField): void {
    const fieldBytes = headerFieldBytes(field);
    this.#evictDownTo(this.#limitBytes - fieldBytes);
    if (fieldBytes > this.#limitBytes) return;
    if (this.#length === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = field;
    this.#length++;
    this.#sizeBytes += fieldBytes;
  }

  /** Sets the size it may have, evicting what is too much (§4.3). */
  resize(limitBytes: number): void {
    this.#limitBytes = limitBytes;
    this.#evictDownTo(limitBytes);
  }

  #evictDownTo(sizeBytes: number): void {
    while (this.#sizeBytes > sizeBytes && this.#length > 0) {
      const oldest = (this.#newest - this.#length + 1) & (this.#ring.length - 1);
      this.#sizeBytes -= headerFieldBytes(this.#ring[oldest]!);
      this.#ring[oldest] = undefined;
      this.#length--;
    }
  }

  #grow(): void {
    const capacity = Math.max(RING_FIELDS_MIN, this.#ring.length * 2);
    const grown = Array.from<HeaderField | undefined>({ length: capacity });
    for (let position = 0; position < this.#length; position++) {
      grown[this.#length - 1 - position] = this.get(position);
    }
    this.#ring = grown;
    this.#newest = this.#length - 1;
  }
}
