/**
 * Whether those who watch may still do so, asked anew whenever a call to a member was lost or left.
 *
 * etcd asks for a permission when a watch begins, and never again while it lives. A private watch ends with its
 * connection, and begins anew with what its client may do then. One that shares lives on, carried by whose token may read the
 * range: so everybody else proves his range again before he is shown anything that came over a newer call. Who
 * cannot is told what a private watch's client is told, that the stream is broken: he comes back with a new token, or is refused.
 * A user of the proxy's own changes nothing about that: he carries watches, and stands in for no client.
 */
import type { Clock } from "../../base/clock.ts";
import type { KeyRange } from "../../etcd/key-range.ts";
import { Code } from "../../grpc/status.ts";
import type { ProbeAnswer } from "./revision-probes.ts";
import type { Subscriber } from "./subscriber.ts";

export interface WatchProofsOwner {
  /** Grows whenever a call that carries watches was lost or left. */
  readonly callsLeft: number;
  probe(
    token: string,
    range: KeyRange | null,
    startRevision: number,
    onAnswer: (answer: ProbeAnswer) => void,
  ): void;
  /** The subscriber may go on from its `nextRevision`. */
  onProven(subscriber: Subscriber): void;
}

/** How long to wait before members that could not say are asked again, in milliseconds. */
const RETRY_MS = 500;

export class WatchProofs {
  readonly #clock: Clock;
  readonly #owner: WatchProofsOwner;

  constructor(clock: Clock, owner: WatchProofsOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** Asks whether `subscriber`, which sits nowhere, may go on. Until then it lags. */
  renew(subscriber: Subscriber): void {
    subscriber.state = "lagging";
    const { callsLeft } = this.#owner;
    this.#owner.probe(subscriber.stream.token, subscriber.range, 0, (answer) => {
      if (subscriber.ended) return;
      if (answer.kind === "failed") {
        this.#clock.after(RETRY_MS, () => {
          if (!subscriber.ended) this.renew(subscriber);
        });
      } else if (answer.kind === "allowed") {
        subscriber.provenAt = callsLeft;
        this.#owner.onProven(subscriber);
      } else {
        endBroken(subscriber, answer.reason);
      }
    });
  }
}

/** Ends the stream of a watch that was begun, and that may not be begun anew. */
export function endBroken({ stream }: Subscriber, reason: string): void {
  stream.end(Code.UNAVAILABLE, `etcdproxy: the watch's call to a member is over: ${reason}`);
}
