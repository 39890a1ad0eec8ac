/**
 * What calls do to the cache, before their clients hear of them: by the kind of change that a method makes.
 *
 * An acknowledged write drops what is older than itself. One that the member refused has changed nothing, and
 * still drops what it named; one that was lost may yet happen, so that answers on their way are not kept either.
 */
import { gunzipSync } from "node:zlib";
import type { KeyEffect } from "../../etcd/key-changes.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { ProtobufCursor } from "../../etcd/protobuf-cursor.ts";
import { revisionOfAnswer, UNKNOWN_REVISION } from "../../etcd/answer-revision.ts";
import { keyChangedByPut, keysChangedByDeleteRange, keysChangedByTxn } from "../../etcd/txn-request.ts";
import { MESSAGE_PREFIX_BYTES } from "../../grpc/message-scanner.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { AnswerEffects } from "../forward/answer-effects.ts";
import type { RequestMessage } from "../forward/request-message.ts";
import type { ReadCache } from "./read-cache.ts";

export interface CacheEffects {
  /** Null when calls of that kind do nothing to the cache. */
  of(effect: KeyEffect): AnswerEffects | null;
}

export function effectsOn(cache: ReadCache): CacheEffects {
  const effects: Record<KeyEffect, AnswerEffects | null> = {
    none: null,
    put: new WriteEffects(cache, (bytes, start, end) => list(keyChangedByPut(bytes, start, end))),
    "delete range": new WriteEffects(cache, (bytes, start, end) =>
      list(keysChangedByDeleteRange(bytes, start, end)),
    ),
    txn: new WriteEffects(cache, keysChangedByTxn),
    compact: new CompactionEffects(cache),
    shown: new ShownEffects(cache),
    anything: new AnyEffects(cache),
  };
  return { of: (effect) => effects[effect] };
}

/** Codes by which etcd says that it has not run a write, and will not. */
const REFUSALS: ReadonlySet<number> = new Set([
  Code.INVALID_ARGUMENT,
  Code.NOT_FOUND,
  Code.PERMISSION_DENIED,
  Code.FAILED_PRECONDITION,
  Code.OUT_OF_RANGE,
  Code.UNAUTHENTICATED,
]);

/** The keys that the request message `bytes[start, end)` may change; null when nobody can tell. */
type ChangedKeys = (bytes: Uint8Array, start: number, end: number) => readonly KeyRange[] | null;

class WriteEffects implements AnswerEffects {
  readonly #cache: ReadCache;
  readonly #changedKeys: ChangedKeys;

  constructor(cache: ReadCache, changedKeys: ChangedKeys) {
    this.#cache = cache;
    this.#changedKeys = changedKeys;
  }

  beforePiece(
    request: RequestMessage | null,
    bytes: Uint8Array,
    start: number,
    end: number,
    first: boolean,
  ): void {
    if (!first) return;
    const ranges = this.#rangesOf(request);
    const revision = revisionOf(bytes, start, end);
    this.#cache.onShown(revision);
    if (ranges === null) this.#cache.clear();
    else if (revision === UNKNOWN_REVISION) for (const range of ranges) this.#cache.onUncertain(range);
    else for (const range of ranges) this.#cache.onAcknowledged(range, revision);
  }

  beforeEnd(request: RequestMessage | null, status: Status | null): void {
    const ranges = this.#rangesOf(request);
    if (ranges === null) this.#cache.clear();
    else if (status !== null && REFUSALS.has(status.code))
      for (const range of ranges) this.#cache.onRefused(range);
    else for (const range of ranges) this.#cache.onUncertain(range);
  }

  #rangesOf(request: RequestMessage | null): readonly KeyRange[] | null {
    if (request === null) return null;
    // Nothing was sent.
    if (!request.whole) return NO_RANGES;
    const { bytes, start, end } = request;
    // Compressed: nobody here reads it.
    if (bytes[start] !== 0) return null;
    try {
      return this.#changedKeys(bytes, start + MESSAGE_PREFIX_BYTES, end);
    } catch {
      return null;
    }
  }
}

const COMPACTION_REVISION = 0x08;

class CompactionEffects implements AnswerEffects {
  readonly #cache: ReadCache;
  readonly #cursor = new ProtobufCursor();

  constructor(cache: ReadCache) {
    this.#cache = cache;
  }

  beforePiece(request: RequestMessage | null): void {
    const revision = this.#revisionOf(request);
    if (revision === UNKNOWN_REVISION) this.#cache.clear();
    else this.#cache.compacted(revision);
  }

  beforeEnd(_request: RequestMessage | null, status: Status | null): void {
    if (status === null || !REFUSALS.has(status.code)) this.#cache.clear();
  }

  #revisionOf(request: RequestMessage | null): number {
    if (request === null || request.bytes[request.start] !== 0) return UNKNOWN_REVISION;
    const cursor = this.#cursor;
    let revision = 0;
    cursor.at = request.start + MESSAGE_PREFIX_BYTES;
    try {
      while (cursor.at < request.end) {
        const tag = cursor.tag(request.bytes, request.end);
        if (tag === COMPACTION_REVISION) revision = cursor.int64(request.bytes, request.end);
        else cursor.skip(request.bytes, tag, request.end);
      }
      return revision;
    } catch {
      return UNKNOWN_REVISION;
    }
  }
}

/** A stream that shows its client what others have changed: nothing older may be read afterwards. */
class ShownEffects implements AnswerEffects {
  readonly #cache: ReadCache;

  constructor(cache: ReadCache) {
    this.#cache = cache;
  }

  beforePiece(): void {
    // Nobody reads what the pieces of a stream say.
    this.#cache.onShown(UNKNOWN_REVISION);
    this.#cache.clear();
  }

  beforeEnd(): void {}
}

class AnyEffects implements AnswerEffects {
  readonly #cache: ReadCache;

  constructor(cache: ReadCache) {
    this.#cache = cache;
  }

  beforePiece(
    _request: RequestMessage | null,
    bytes: Uint8Array,
    start: number,
    end: number,
    first: boolean,
  ): void {
    this.#cache.onShown(first ? revisionOf(bytes, start, end) : UNKNOWN_REVISION);
    this.#cache.clear();
  }

  beforeEnd(): void {
    this.#cache.clear();
  }
}

/** The revision that a framed answer, which begins with `bytes[start, end)`, is of. */
function revisionOf(bytes: Uint8Array, start: number, end: number): number {
  const messageStart = start + MESSAGE_PREFIX_BYTES;
  return bytes[start] === 0
    ? revisionOfAnswer(bytes, messageStart, end)
    : revisionOfCompressed(bytes.subarray(messageStart, end));
}

/** An answer to a write is short, unless it tells what was there before. */
const INFLATED_BYTES_MAX = 64 * 1024;

/** Members answer in gzip who is heard in gzip: newer etcds do. */
function revisionOfCompressed(message: Uint8Array): number {
  try {
    const inflated = gunzipSync(message, { maxOutputLength: INFLATED_BYTES_MAX });
    return revisionOfAnswer(inflated, 0, inflated.length);
  } catch {
    return UNKNOWN_REVISION;
  }
}

const NO_RANGES: readonly KeyRange[] = [];

function list(range: KeyRange | null): readonly KeyRange[] {
  return range === null ? NO_RANGES : [range];
}
