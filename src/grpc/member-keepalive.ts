/**
 * How connections to members are kept alive, and what is known of members that find that too much.
 *
 * Shared by all connections to members. A member that answers `too_many_pings` has a larger `--grpc-keepalive-min-time`
 * than etcd's default: later connections to it ping half as often, as those of gRPC's own clients do (gRFC A8).
 */
import type { DeadlineTimer } from "../base/deadline-wheel.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Connection } from "../http2/connection.ts";
import { ErrorCode } from "../http2/error-code.ts";
import { IDLE_PINGS_MAX, type KeepalivePolicy } from "../http2/keepalive.ts";
import { TOO_MANY_PINGS } from "../http2/ping-strikes.ts";
import { KeepaliveRun } from "./keepalive-run.ts";

export interface MemberKeepaliveOptions {
  /** After so many milliseconds in which nothing came from a member it is asked. */
  readonly timeMs: number;
  /** How many milliseconds it then has to send something. */
  readonly timeoutMs: number;
  /** Asks also while no call is under way: as often as etcd's server lets pass. */
  readonly withoutStreams: boolean;
}

/** A member found the PINGs too many; `timeMs` is how long later connections to it wait before they ask. */
export type OnBackedOff = (endpoint: Endpoint, timeMs: number) => void;

/** No gRPC server counts PINGs that are two hours apart. */
const TIME_MS_MAX = 2 * 3_600_000;

/** Members whose own interval is remembered; names may come and go for ever. */
const MEMBERS_MAX = 256;

export class MemberKeepalive {
  readonly #options: MemberKeepaliveOptions;
  readonly #timer: DeadlineTimer;
  readonly #onBackedOff: OnBackedOff;
  /** Intervals of members that found the one of the options too short, by the endpoint's name. */
  readonly #timesMs = new Map<string, number>();

  constructor(options: MemberKeepaliveOptions, timer: DeadlineTimer, onBackedOff: OnBackedOff) {
    this.#options = options;
    this.#timer = timer;
    this.#onBackedOff = onBackedOff;
  }

  /** Keeps a connection alive that is ready. */
  start(endpoint: Endpoint, connection: Connection): MemberKeepaliveRun {
    const { timeoutMs, withoutStreams } = this.#options;
    const policy = {
      timeMs: this.#timeMs(endpoint),
      timeoutMs,
      idlePingsMax: withoutStreams ? IDLE_PINGS_MAX : 0,
    };
    const tooMany = (): void => this.#tooManyPings(endpoint, policy.timeMs);
    return new MemberKeepaliveRun(connection, policy, this.#timer, tooMany);
  }

  /** A connection with PINGs `timeMs` apart was ended for them; others of the same time tell nothing new. */
  #tooManyPings(endpoint: Endpoint, timeMs: number): void {
    const longerMs = Math.min(TIME_MS_MAX, 2 * timeMs);
    if (longerMs <= this.#timeMs(endpoint)) return;
    this.#timesMs.delete(endpoint.name);
    if (this.#timesMs.size >= MEMBERS_MAX) {
      const oldest = this.#timesMs.keys().next().value;
      if (oldest !== undefined) this.#timesMs.delete(oldest);
    }
    this.#timesMs.set(endpoint.name, longerMs);
    this.#onBackedOff(endpoint, longerMs);
  }

  #timeMs(endpoint: Endpoint): number {
    return this.#timesMs.get(endpoint.name) ?? this.#options.timeMs;
  }
}

/** The keepalive of one connection to a member. */
export class MemberKeepaliveRun extends KeepaliveRun {
  readonly #tooManyPings: () => void;

  constructor(
    connection: Connection,
    policy: KeepalivePolicy,
    timer: DeadlineTimer,
    tooManyPings: () => void,
  ) {
    super(connection, policy, timer);
    this.#tooManyPings = tooManyPings;
  }

  /** The member goes away: because of our PINGs? */
  onGoaway(code: number, debugText: string): void {
    if (code === ErrorCode.ENHANCE_YOUR_CALM && debugText === TOO_MANY_PINGS) this.#tooManyPings();
  }
}
