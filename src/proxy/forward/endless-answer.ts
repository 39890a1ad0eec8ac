/**
 * The answer of a call that is forwarded and goes on for as long as its client likes, followed so that it can be ended between
 * two messages: one that is cut in the middle looks broken to its client, not like a call to begin anew.
 */
import { MessageScanner } from "../../grpc/message-scanner.ts";
import type { Status } from "../../grpc/status.ts";

export class EndlessAnswer {
  readonly #scanner = new MessageScanner(Number.POSITIVE_INFINITY);
  #dismissal: Status | null = null;

  /** The call is to end with `status` as soon as it may. */
  dismiss(status: Status): void {
    this.#dismissal = status;
  }

  /** Follows `bytes[start, end)` of the answer. Returns up to where they are to be sent. */
  follow(bytes: Uint8Array, start: number, end: number): number {
    if (this.#dismissal !== null) return this.#scanner.scanToBoundary(bytes, start, end);
    this.#scanner.scan(bytes, start, end);
    return end;
  }

  /** How the call is to end now; null: it goes on. */
  get due(): Status | null {
    return this.#scanner.atBoundary ? this.#dismissal : null;
  }
}
