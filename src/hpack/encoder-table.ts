/**
 * The encoder's dynamic table (RFC 7541 §2.3.2, §4): what the peer's decoder holds, made searchable.
 *
 * Entries are linked twice: by age, for eviction, and among entries of one name, newest first, for the
 * search. Invariants: the size as §4.1 counts it never exceeds `limitBytes`; an evicted entry is
 * reachable from no other.
 */

/** How many values of one name a search looks at: a limit for tables filled with one name. */
const VALUES_SEARCHED_MAX = 32;

/** One entry. `number` counts insertions, modulo 2^32. */
export class EncoderTableEntry {
  readonly name: string;
  readonly value: string;
  readonly number: number;
  /** The entry inserted after this one. */
  next: EncoderTableEntry | undefined = undefined;
  /** The next older and newer entries of the same name. */
  olderOfName: EncoderTableEntry | undefined;
  newerOfName: EncoderTableEntry | undefined = undefined;

  constructor(name: string, value: string, number: number, olderOfName: EncoderTableEntry | undefined) {
    this.name = name;
    this.value = value;
    this.number = number;
    this.olderOfName = olderOfName;
  }
}

function entryBytes(name: string, value: string): number {
  return name.length + value.length + 32;
}

export class EncoderTable {
  /** The newest entry of each name. */
  readonly #newestOfName = new Map<string, EncoderTableEntry>();
  #oldest: EncoderTableEntry | undefined = undefined;
  #newest: EncoderTableEntry | undefined = undefined;
  #newestNumber = 0;
  #sizeBytes = 0;
  #limitBytes: number;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** The size it may have. */
  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** The newest entry with this name. */
  newestOfName(name: string): EncoderTableEntry | undefined {
    return this.#newestOfName.get(name);
  }

  /** Searches the entries of one name, from `newest` on, for a value. */
  findValue(newest: EncoderTableEntry, value: string): EncoderTableEntry | undefined {
    let entry: EncoderTableEntry | undefined = newest;
    for (let searched = 0; entry !== undefined && searched < VALUES_SEARCHED_MAX; searched++) {
      if (entry.value === value) return entry;
      entry = entry.olderOfName;
    }
    return undefined;
  }

  /** The entry's position: 0 is the newest. */
  positionOf(entry: EncoderTableEntry): number {
    return (this.#newestNumber - entry.number) | 0;
  }

  /** Adds an entry, evicting old ones for it. The caller has checked that it is smaller than the table. */
  insert(name: string, value: string): void {
    const sizeBytes = entryBytes(name, value);
    this.#evictDownTo(this.#limitBytes - sizeBytes);
    this.#newestNumber = (this.#newestNumber + 1) | 0;
    const older = this.#newestOfName.get(name);
    const entry = new EncoderTableEntry(name, value, this.#newestNumber, older);
    if (older !== undefined) older.newerOfName = entry;
    this.#newestOfName.set(name, entry);
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.next = entry;
    this.#newest = entry;
    this.#sizeBytes += sizeBytes;
  }

  /** Sets the size it may have, evicting what is too much (§4.3). */
  resize(limitBytes: number): void {
    this.#limitBytes = limitBytes;
    this.#evictDownTo(limitBytes);
  }

  #evictDownTo(sizeBytes: number): void {
    while (this.#sizeBytes > sizeBytes && this.#oldest !== undefined) {
      const entry = this.#oldest;
      this.#oldest = entry.next;
      if (this.#oldest === undefined) this.#newest = undefined;
      if (entry.newerOfName === undefined) this.#newestOfName.delete(entry.name);
      else entry.newerOfName.olderOfName = undefined;
      this.#sizeBytes -= entryBytes(entry.name, entry.value);
    }
  }
}
