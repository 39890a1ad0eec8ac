/**
 * Whether a call that got no answer is sent again (architecture §4, "Endpoints and retries").
 *
 * A call that provably never ran is sent again, whatever it is; a read also when it is unknown whether it ran, but
 * only once on each endpoint. One object for each call that has failed, made when it does.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import type { CallFailure } from "../../grpc/client-call.ts";
import { Code, type Status } from "../../grpc/status.ts";
import { NEVER_PROCESSED_REPEATS_MAX } from "./forward-limits.ts";

export class Repeats {
  /** Endpoints on which the call was repeated. */
  readonly #repeatedOn: string[] = [];
  #neverProcessed = 0;
  /** Why the last attempt failed, if the next one is one of those that are counted by endpoint. */
  #lastFailure: Status | null = null;
  #avoided: string | null = null;

  /** Whether the call is to be sent again after `failure`; `isRead` is asked only when it matters. */
  after(failure: CallFailure, isRead: () => boolean): boolean {
    if (failure.neverProcessed && this.#neverProcessed < NEVER_PROCESSED_REPEATS_MAX) {
      this.#neverProcessed++;
      this.#lastFailure = null;
      return true;
    }
    this.#lastFailure = failure.status;
    return failure.connectionLost && isRead();
  }

  /** A read was refused by a member that cannot serve: it is to be sent again, elsewhere if that can be. */
  afterRefusal(refusal: string, endpoint: Endpoint): void {
    this.#lastFailure = { code: Code.UNAVAILABLE, message: refusal };
    this.#avoided = endpoint.name;
  }

  /** True for the endpoint that has refused the call. */
  avoids(endpoint: Endpoint): boolean {
    return endpoint.name === this.#avoided;
  }

  /** Notes an attempt on `endpoint`. Returns what to tell the client instead when there was one already. */
  instead(endpoint: Endpoint): Status | null {
    const failure = this.#lastFailure;
    if (failure === null) return null;
    if (this.#repeatedOn.includes(endpoint.name)) return failure;
    this.#repeatedOn.push(endpoint.name);
    return null;
  }
}
