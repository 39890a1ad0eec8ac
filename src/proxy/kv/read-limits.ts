/**
 * What shared and cached reads may spend: each bound with the load or the client it is for.
 */
import type { RateLimit } from "../../base/token-bucket.ts";

export interface ReadLimits {
  /** Answers of linearizable reads that are kept though nobody reads serializably: a load that never profits. */
  readonly unaskedFills: RateLimit;
  /** Answers above this size, in bytes, are not gathered: they are streamed to one caller at a time. */
  readonly sharedAnswerBytesMax: number;
  /** All answers that are being gathered, in bytes: many large reads at once. Beyond it they are streamed, too. */
  readonly gatheredBytesMax: number;
  /**
   * Turns that a read of several callers waits for more of them, at most; it goes as soon as nobody joins in one. A crowd
   * asks within microseconds, and costs less the fewer reads it takes.
   */
  readonly gatherTurnsMax: number;
  /** How long a read may keep the next one of its kind waiting, in milliseconds: a member that hangs. */
  readonly hangMs: number;
  /** How much of an answer waits for one caller who does not read, in bytes; more is sent as he takes it. */
  readonly pieceBytes: number;
  /** Up to this size, in bytes, the first piece of an answer waits for the trailers. */
  readonly heldBytesMax: number;
  /** Keys and ranges that a deletion of a range is held against one by one; beyond it all of the cache goes. */
  readonly scannedMax: number;
}

export const READ_LIMITS: ReadLimits = {
  unaskedFills: { burst: 1000, perSecond: 1000 },
  sharedAnswerBytesMax: 4 * 1024 * 1024,
  gatheredBytesMax: 64 * 1024 * 1024,
  gatherTurnsMax: 8,
  hangMs: 2000,
  pieceBytes: 64 * 1024,
  heldBytesMax: 16 * 1024,
  scannedMax: 8192,
};
