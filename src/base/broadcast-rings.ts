/**
 * What each of several threads tells all the others, in memory that they share: a ring of records for each member, written by
 * that member alone and read by the rest. Nobody waits for anybody, and there is no lock that a dying thread could keep.
 *
 * The promise: a record is published before `publish` and `announce` return; whoever asks for `news` later, in the order
 * of real events, and receives, has it before he goes on, or is told that he was overtaken. Why it holds:
 *
 * - All that tells where records are is read and written by Atomics, which are sequentially consistent (ECMA-262,
 *   "Memory Model"). The writer stores the record's bytes, then `head`, then adds to `version`. A reader that sees the
 *   new `version` sees `head` too, and whoever sees `head` sees the bytes before it: they happen before.
 * - A reader that does not see the new `version` looked before the writer had added to it, so before the
 *   writer's `announce` returned: what the writer does then has not begun for anybody.
 * - The bytes of a record may be written over while a reader copies them. So the writer first adds to `reserved` and
 *   then writes; the reader first copies and then adds 0 to `reserved`. One of the two additions comes first. If it is the
 *   reader's, the copy was made before the writing. Else the reader sees that the place was reserved anew, throws its copy
 *   away unread, and tells that it was overtaken. (A mere load would not do: bytes may be read behind it.)
 * - Positions are counted in units of eight bytes, modulo 2^32. They are told apart as long as a reader receives now and
 *   then: before 32 GiB of records have passed.
 * - A member that dies in the middle leaves a record that nobody has seen, for `head` comes after it. `skip` then takes the
 *   ring beyond all it held, so that everybody is overtaken once.
 */

/** Numbers of a member that stay when records are written over; what they mean is the user's matter. */
const MARKS = 4;
/** Words of a member's own, a cache line of them, so that members do not slow each other. */
const WORDS = 16;
const HEAD = 0;
const RESERVED = 1;
const UNIT_SHIFT = 3;
const UNIT_BYTES = 1 << UNIT_SHIFT;
/** In place of a record's length: the rest of the ring is empty. */
const WRAPPED = -1;
const PREFIX_BYTES = 4;

export interface RecordReceiver {
  /** A record is `bytes[start, end)`; they are the receiver's until he returns. */
  onRecord(bytes: Uint8Array, start: number, end: number): void;
  /** Records of `member` were written over before they were received: only its marks tell of them. */
  onOvertaken(member: number): void;
}

export class BroadcastRings {
  /** The member that this end belongs to. */
  readonly member: number;
  readonly members: number;
  /** The longest record. */
  readonly recordBytesMax: number;
  readonly #version: Int32Array;
  readonly #words: Int32Array;
  readonly #marks: BigInt64Array;
  readonly #rings: readonly Uint8Array[];
  readonly #lengths: readonly Int32Array[];
  readonly #ringUnits: number;
  /** Up to where the records of each member have been received. */
  readonly #tails: Int32Array;
  readonly #copy: Uint8Array;
  readonly #copyLengths: Int32Array;
  #seen: number;
  /** It has received before. */
  #begun = false;

  /** Memory for `members` ends. `ringBytes`: a power of two; what a member may be ahead of the slowest reader. */
  static memory(members: number, ringBytes: number): SharedArrayBuffer {
    return new SharedArrayBuffer(headBytes(members) + members * ringBytes);
  }

  /**
   * The end of one member, or of nobody (`member` -1), who can neither publish nor receive. What was published before is
   * not received: at first everybody counts as having overtaken it, and so does whoever was this member before.
   */
  constructor(memory: SharedArrayBuffer, members: number, member: number) {
    const ringsAt = headBytes(members);
    const ringBytes = (memory.byteLength - ringsAt) / members;
    this.member = member;
    this.members = members;
    this.#ringUnits = ringBytes >> UNIT_SHIFT;
    this.recordBytesMax = (ringBytes >> 3) - PREFIX_BYTES;
    this.#version = new Int32Array(memory, 0, 1);
    this.#words = new Int32Array(memory, WORDS * 4, members * WORDS);
    this.#marks = new BigInt64Array(memory, (members + 1) * WORDS * 4, members * MARKS);
    const each = Array.from({ length: members }, (_, index) => ringsAt + index * ringBytes);
    this.#rings = each.map((at) => new Uint8Array(memory, at, ringBytes));
    this.#lengths = each.map((at) => new Int32Array(memory, at, ringBytes >> 2));
    this.#copy = new Uint8Array(member < 0 ? 0 : ringBytes);
    this.#copyLengths = new Int32Array(this.#copy.buffer);
    this.#tails = new Int32Array(members);
    for (let index = 0; index < members; index++) {
      this.#tails[index] = Atomics.load(this.#words, index * WORDS + HEAD) - this.#ringUnits - 1;
    }
    this.#seen = Atomics.load(this.#version, 0) - 1;
  }

  /** Tells the others of a record, `record[0, length)`, once it is announced. It is not longer than `recordBytesMax`. */
  publish(record: Uint8Array, length: number): void {
    const ring = this.#rings[this.member]!;
    const lengths = this.#lengths[this.member]!;
    const words = this.member * WORDS;
    const units = unitsOf(length);
    const head = Atomics.load(this.#words, words + HEAD);
    const at = head & (this.#ringUnits - 1);
    const left = this.#ringUnits - at;
    const skipped = left < units ? left : 0;
    Atomics.add(this.#words, words + RESERVED, skipped + units);
    if (skipped > 0) lengths[at << 1] = WRAPPED;
    const start = skipped > 0 ? 0 : at;
    lengths[start << 1] = length;
    const bytesAt = (start << UNIT_SHIFT) + PREFIX_BYTES;
    for (let index = 0; index < length; index++) ring[bytesAt + index] = record[index]!;
    Atomics.store(this.#words, words + HEAD, head + skipped + units);
  }

  /** What was published until now is known to whoever looks from here on. */
  announce(): void {
    Atomics.add(this.#version, 0, 1);
  }

  /** Something was announced, by whomever, since the last `receive`. */
  get news(): boolean {
    return Atomics.load(this.#version, 0) !== this.#seen;
  }

  /** Takes what the others have told. */
  receive(receiver: RecordReceiver): void {
    // Before all else: what is announced from here on is news again.
    this.#seen = Atomics.load(this.#version, 0);
    for (let index = 0; index < this.members; index++) {
      if (index !== this.member) this.#receiveFrom(index, receiver);
      else if (!this.#begun) receiver.onOvertaken(index);
    }
    this.#begun = true;
  }

  /** Sets a mark of this member. It counts for records that are published later. */
  setMark(mark: number, value: number): void {
    Atomics.store(this.#marks, this.member * MARKS + mark, BigInt(value));
  }

  mark(member: number, mark: number): number {
    return Number(Atomics.load(this.#marks, member * MARKS + mark));
  }

  /** `member` has died: whatever it was about to tell, everybody is overtaken once. Not to be called while it lives. */
  skip(member: number): void {
    const words = member * WORDS;
    const jump = Atomics.load(this.#words, words + RESERVED) + this.#ringUnits + 1;
    Atomics.store(this.#words, words + RESERVED, jump);
    Atomics.store(this.#words, words + HEAD, jump);
    this.announce();
  }

  #receiveFrom(member: number, receiver: RecordReceiver): void {
    const words = member * WORDS;
    const tail = this.#tails[member]!;
    const head = Atomics.load(this.#words, words + HEAD);
    if (head === tail) return;
    this.#tails[member] = head;
    const units = (head - tail) >>> 0;
    if (units > this.#ringUnits || this.#writtenOver(member, tail, units)) receiver.onOvertaken(member);
    else this.#hand(tail, units, receiver);
  }

  /** Copies `units` of a ring from `tail` on to the same places; true when they may have changed meanwhile. */
  #writtenOver(member: number, tail: number, units: number): boolean {
    const ring = this.#rings[member]!;
    const from = (tail & (this.#ringUnits - 1)) << UNIT_SHIFT;
    const bytes = units << UNIT_SHIFT;
    const straight = Math.min(bytes, ring.length - from);
    this.#copy.set(ring.subarray(from, from + straight), from);
    if (straight < bytes) this.#copy.set(ring.subarray(0, bytes - straight), 0);
    const reserved = Atomics.add(this.#words, member * WORDS + RESERVED, 0);
    return (reserved - tail) >>> 0 > this.#ringUnits;
  }

  #hand(tail: number, units: number, receiver: RecordReceiver): void {
    for (let done = 0; done < units;) {
      const at = (tail + done) & (this.#ringUnits - 1);
      const length = this.#copyLengths[at << 1]!;
      if (length === WRAPPED) {
        done += this.#ringUnits - at;
        continue;
      }
      const start = (at << UNIT_SHIFT) + PREFIX_BYTES;
      receiver.onRecord(this.#copy, start, start + length);
      done += unitsOf(length);
    }
  }
}

function headBytes(members: number): number {
  return (members + 1) * WORDS * 4 + members * MARKS * 8;
}

function unitsOf(length: number): number {
  return (PREFIX_BYTES + length + UNIT_BYTES - 1) >> UNIT_SHIFT;
}
