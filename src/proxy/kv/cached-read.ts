/** One answer in the cache: what was asked, what it depends on, and how old it is. */
import type { KeyRange } from "../../etcd/key-range.ts";
import type { Answer } from "./answer.ts";

/** Cached answers of one scope by the text of the request. */
export type CachedReadTable = Map<string, CachedRead>;

/** What an entry costs besides its answer and its texts, about. */
const ENTRY_BYTES = 512;

export class CachedRead {
  readonly table: CachedReadTable;
  readonly text: string;
  /** The keys that the answer depends on. */
  readonly range: KeyRange;
  /** The revision that was asked for; 0 for the latest. */
  readonly askedRevision: number;
  /** It owns its bytes. */
  answer: Answer;
  /** `header.revision` of the answer. */
  revision: number;
  /** When it was last sent to a member, in milliseconds of the cache's clock. */
  readAtMs: number;
  /** Links of the index, among the entries of one key. */
  nextOfKey: CachedRead | null = null;
  previousOfKey: CachedRead | null = null;

  constructor(
    table: CachedReadTable,
    text: string,
    range: KeyRange,
    askedRevision: number,
    answer: Answer,
    revision: number,
    readAtMs: number,
  ) {
    this.table = table;
    this.text = text;
    this.range = range;
    this.askedRevision = askedRevision;
    this.answer = answer;
    this.revision = revision;
    this.readAtMs = readAtMs;
  }

  /** What it takes of memory, about. */
  get bytes(): number {
    const { start, end } = this.range;
    const keyBytes = start.length + (end?.length ?? 0);
    return this.answer.bytes.length + this.text.length + keyBytes + ENTRY_BYTES;
  }
}
