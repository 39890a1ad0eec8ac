/**
 * Reads at members by what is asked: a hash table whose entries are the reads themselves.
 *
 * An entry comes and goes with each read. In a Map that leaves tables behind which hold each other, and what was in them,
 * until a full collection: 1.3 us for each read of a load of distinct keys. Here nothing is allocated.
 */

/** Reads that may be shared with each other if they ask the same: of one scope, and one kind. */
export class ReadGroup {
  /** How many of them are in the table. */
  size = 0;
  /** Differs from group to group and process to process: nobody can choose texts that meet in one bucket. */
  readonly seed = Math.floor(Math.random() * 0xffff_ffff);
}

/** What the table needs of a read. */
export interface TableEntry {
  readonly question: { readonly group: ReadGroup; readonly text: string };
  /** Owned by the table. */
  tableHash: number;
  tableNext: TableEntry | null;
}

const BUCKETS = 4096;
/** Of a longer text only the two ends are hashed. */
const HASHED_MAX = 64;

export class SharedReadTable<Read extends TableEntry> {
  readonly #buckets: (Read | null)[] = Array.from({ length: BUCKETS }, () => null);

  get(group: ReadGroup, text: string): Read | null {
    if (group.size === 0) return null;
    const hash = hashOf(text, group.seed);
    let entry: Read | null = this.#buckets[hash & (BUCKETS - 1)]!;
    while (entry !== null) {
      const { question } = entry;
      if (entry.tableHash === hash && question.group === group && question.text === text) return entry;
      entry = entry.tableNext as Read | null;
    }
    return null;
  }

  /** Adds a read whose question none of the others asks. */
  add(read: Read): void {
    const { group, text } = read.question;
    const hash = hashOf(text, group.seed);
    const bucket = hash & (BUCKETS - 1);
    read.tableHash = hash;
    read.tableNext = this.#buckets[bucket]!;
    this.#buckets[bucket] = read;
    group.size++;
  }

  /** Takes a read out. Returns whether it was in. */
  remove(read: Read): boolean {
    const { group } = read.question;
    const bucket = read.tableHash & (BUCKETS - 1);
    let previous: Read | null = null;
    let entry: Read | null = this.#buckets[bucket]!;
    while (entry !== null && entry !== read) {
      previous = entry;
      entry = entry.tableNext as Read | null;
    }
    if (entry === null) return false;
    if (previous === null) this.#buckets[bucket] = read.tableNext as Read | null;
    else previous.tableNext = read.tableNext;
    read.tableNext = null;
    group.size--;
    return true;
  }
}

/** FNV-1a of the text's characters. */
function hashOf(text: string, seed: number): number {
  const { length } = text;
  let hash = seed ^ length;
  const headEnd = Math.min(length, HASHED_MAX);
  for (let i = 0; i < headEnd; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  for (let i = Math.max(headEnd, length - HASHED_MAX); i < length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash ^ (hash >>> 15);
}
