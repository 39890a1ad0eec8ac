/**
 * A whole answer of a unary call, as the member sent it: what callers share, and what the cache keeps.
 *
 * Never changed. Its bytes may be part of a larger chunk while it is handed out; what is kept for longer owns them.
 */
import { copyBytes } from "../../base/copy-bytes.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { ServerCall } from "../../grpc/server-call.ts";

export interface Answer {
  /** The header section. */
  readonly head: readonly HeaderField[];
  /** The message with its length prefix: `bytes[start, end)`. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** The trailer section, with the status. */
  readonly trailers: readonly HeaderField[];
}

/** Ends `call` with all of the answer at once. What its client does not take waits in the call's stream. */
export function finishWith(call: ServerCall, { head, bytes, start, end, trailers }: Answer): void {
  call.sendHead(head);
  call.sendMessageBytes(bytes, start, end);
  call.finishWithTrailers(trailers);
}

/** The answer with bytes of its own. */
export function ownedAnswer(answer: Answer): Answer {
  const { head, bytes, start, end, trailers } = answer;
  // A Buffer may be part of something larger. Asking for its `buffer` would tell, and cost more than the copy.
  if (start === 0 && end === bytes.length && !Buffer.isBuffer(bytes)) return answer;
  return { head, bytes: copyBytes(bytes, start, end), start: 0, end: end - start, trailers };
}
