/**
 * What has to happen before a client hears of its call, so that nobody is shown older things afterwards.
 *
 * Told by whoever forwards the call, in the same turn and before the client is told.
 */
import type { Status } from "../../grpc/status.ts";
import type { RequestMessage } from "./request-message.ts";

export interface AnswerEffects {
  /**
   * `bytes[start, end)` of the answer's messages are about to be sent; `first`: they are the first ones, so the first
   * message begins there. `request` is null when the request is a stream.
   */
  beforePiece(
    request: RequestMessage | null,
    bytes: Uint8Array,
    start: number,
    end: number,
    first: boolean,
  ): void;
  /**
   * The call ends without a message. `status` is the member's; null when it is not known what the member has
   * made of the call.
   */
  beforeEnd(request: RequestMessage | null, status: Status | null): void;
}
