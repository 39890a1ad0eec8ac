/**
 * Whether the member knows a leader, for clients that asked to be told (`hasleader: true`).
 *
 * The shared watches ride on calls that do not ask. One further call without watches does, as long as a client
 * stream wants it; when the member ends it with `no leader`, exactly those client streams end so.
 */
import type { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { memberRefusalOf } from "../../etcd/member-refusal.ts";
import type { Status } from "../../grpc/status.ts";
import type { ClientStream } from "./client-stream.ts";
import type { WatchCall, WatchCalls } from "./watch-calls.ts";

export class LeaderMonitor {
  readonly #calls: WatchCalls;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #streams = new Set<ClientStream>();
  #call: WatchCall | null = null;
  #cancelRetry: (() => void) | null = null;

  constructor(calls: WatchCalls, clock: Clock, backoff: Backoff) {
    this.#calls = calls;
    this.#clock = clock;
    this.#backoff = backoff;
  }

  /** Calls that are open. */
  get size(): number {
    return this.#call === null ? 0 : 1;
  }

  add(stream: ClientStream): void {
    this.#streams.add(stream);
    if (this.#call === null && this.#cancelRetry === null) this.#open();
  }

  remove(stream: ClientStream): void {
    if (!this.#streams.delete(stream) || this.#streams.size > 0) return;
    this.close();
  }

  close(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#call?.cancel();
    this.#call = null;
  }

  #open(): void {
    // In the name of whoever came last: the token that is most likely to live.
    const token = [...this.#streams].at(-1)?.token ?? "";
    this.#call = this.#calls.open(token, true, {
      onResponse: (_bytes, start, end) => this.#call?.consume(end - start),
      onEnd: (status) => this.#onEnd(status),
      onSuperseded: () => {
        this.#call?.cancel();
        this.#open();
      },
    });
  }

  #onEnd(status: Status): void {
    this.#call = null;
    if (memberRefusalOf(status) === NO_LEADER) {
      const streams = [...this.#streams];
      this.#streams.clear();
      for (const stream of streams) stream.end(status.code, status.message);
      return;
    }
    if (this.#streams.size === 0) return;
    this.#cancelRetry = this.#clock.after(this.#backoff.next(), () => {
      this.#cancelRetry = null;
      if (this.#streams.size > 0) this.#open();
    });
  }
}

const NO_LEADER = "etcdserver: no leader";
