/**
 * Calls that go on for as long as their client likes, and what becomes of them when the proxy stops.
 *
 * Watches, heartbeats and observed elections live on the connection they began on, GOAWAY or not, and would hold up a
 * stop for ever. So they are ended with UNAVAILABLE, which etcd's clients take as a reason to begin again elsewhere where
 * they stood. Here are those that are forwarded as they are; hubs know their own.
 */
import { Code, type Status } from "../grpc/status.ts";

export interface EndlessCall {
  /** Ends the call with `status` as soon as nothing of it is half said. */
  dismiss(status: Status): void;
}

/** One that is forwarded. */
export interface EndlessForward extends EndlessCall {
  /** It is over. */
  readonly finished: boolean;
}

/** Why endless calls are dismissed. */
export const STOPPING: Status = {
  code: Code.UNAVAILABLE,
  message: "etcdproxy: the proxy is stopping: go on at another one",
};

/** Calls that are over are forgotten when there are twice as many as were open at the last look, and this many more. */
const FORGET_BEYOND = 64;

export class EndlessForwards {
  #calls: EndlessForward[] = [];
  #forgetAt = FORGET_BEYOND;
  #dismissal: Status | null = null;

  add(call: EndlessForward): void {
    if (this.#dismissal !== null) {
      call.dismiss(this.#dismissal);
      return;
    }
    this.#calls.push(call);
    if (this.#calls.length < this.#forgetAt) return;
    this.#calls = this.#calls.filter(({ finished }) => !finished);
    this.#forgetAt = this.#calls.length * 2 + FORGET_BEYOND;
  }

  /** From now on further ones are dismissed as they come; returns those that are open. */
  dismissNew(status: Status): EndlessCall[] {
    this.#dismissal = status;
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }
}
