/**
 * The proxy's own user at etcd: its token, for what the proxy does by itself (health, watches that many clients share).
 *
 * Stands between those who make such calls and etcd, which gives the token. Nobody waits for it to serve clients:
 * without a token everything goes on, in clients' names or in nobody's. etcd hashes a password slowly on purpose, so
 * at most one request for a token is under way, and one that failed, or a token that lasted no time, makes a pause.
 */
import { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { saysTokenEnded, saysUserEmpty } from "../../etcd/auth-refusal.ts";

export interface SignInHandler {
  onToken(token: string): void;
  /** Authentication is off: there are no tokens, and none is needed. */
  onAuthOff(): void;
  /** It does not do as things are: etcd refuses the user, or the password cannot be read. */
  onRefused(reason: string): void;
  /** No member could say. */
  onFailed(reason: string): void;
}

/** Asks etcd for a token. The handler hears of it once, and not before this returns. */
export type SignIn = (handler: SignInHandler) => void;

/** Is told what became of requests for a token, for the log. */
export interface OwnIdentityReports {
  onSignedIn(): void;
  onAuthOff(): void;
  onTrouble(reason: string): void;
}

export interface OwnIdentityOptions {
  readonly signIn: SignIn;
  readonly clock: Clock;
  readonly reports: OwnIdentityReports;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

type State =
  | "asking"
  | "signed in"
  /** Authentication is off. */
  | "off"
  /** It was refused; it is tried again now and then. */
  | "refused"
  /** Not asked at the moment, but soon. */
  | "pausing";

/** Pauses when etcd refuses the user, or its tokens as soon as it has given them. */
const REFUSED_MS = { firstMs: 1000, limitMs: 30_000 };
/** Pauses when no member could say: nothing was hashed. */
const FAILED_MS = { firstMs: 500, limitMs: 5000 };
/** How often it is looked whether authentication is on, unless something tells that it is. */
const OFF_MS = 30_000;
/** A token, or authentication being off, that has lasted for so long was no mistake. */
const LASTED_MS = 1000;

export class OwnIdentity {
  readonly #signIn: SignIn;
  readonly #clock: Clock;
  readonly #reports: OwnIdentityReports;
  readonly #refusals: Backoff;
  readonly #failures: Backoff;
  readonly #listeners: (() => void)[] = [];
  #token = "";
  #state: State = "pausing";
  #settledAtMs = Number.NEGATIVE_INFINITY;
  #closed = false;
  #cancelTimer: (() => void) | null = null;
  #waiting: (() => void)[] = [];

  constructor({ signIn, clock, reports, random = Math.random }: OwnIdentityOptions) {
    this.#signIn = signIn;
    this.#clock = clock;
    this.#reports = reports;
    this.#refusals = new Backoff({ ...REFUSED_MS, random });
    this.#failures = new Backoff({ ...FAILED_MS, random });
  }

  /** The token now; "" while there is none. */
  get token(): string {
    return this.#token;
  }

  /** There is no token, but nothing says that there will not be one in a moment. */
  get expected(): boolean {
    return !this.#closed && (this.#state === "asking" || this.#state === "pausing");
  }

  /** Begins to see to a token; waits for nothing. */
  start(): void {
    if (this.#state === "pausing" && this.#cancelTimer === null) this.#ask();
  }

  /** Calls `onChange` whenever a request for a token has come to its end, however it ended. */
  listen(onChange: () => void): void {
    this.#listeners.push(onChange);
  }

  /** A member has refused, for `reason`, what was asked in the name of `token` ("": nobody). */
  onRefused(token: string, reason: string): void {
    if (token !== this.#token) return;
    const ended = token === "" ? this.#state === "off" && saysUserEmpty(reason) : saysTokenEnded(reason);
    if (!ended) return;
    this.#token = "";
    if (this.#clock.nowMs() - this.#settledAtMs < LASTED_MS) {
      this.#pause("pausing", this.#refusals.next());
    } else {
      this.#refusals.reset();
      this.#ask();
    }
  }

  /** The token, once nobody is asked for it any more; after `patienceMs` milliseconds what there is then. */
  async settledToken(patienceMs: number): Promise<string> {
    if (this.#state === "asking") {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(patienceMs, resolve);
        this.#waiting.push(() => {
          cancel();
          resolve();
        });
      });
    }
    return this.#token;
  }

  /** Asks no more. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #ask(): void {
    if (this.#closed) return;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#state = "asking";
    this.#signIn({
      onToken: (token) => {
        this.#token = token;
        this.#failures.reset();
        this.#state = "signed in";
        this.#settle(() => this.#reports.onSignedIn());
      },
      onAuthOff: () => {
        this.#failures.reset();
        this.#pause("off", OFF_MS);
        this.#settle(() => this.#reports.onAuthOff());
      },
      onRefused: (reason) => {
        this.#failures.reset();
        this.#pause("refused", this.#refusals.next());
        this.#settle(() => this.#reports.onTrouble(reason));
      },
      onFailed: (reason) => {
        this.#pause("pausing", this.#failures.next());
        this.#settle(() => this.#reports.onTrouble(reason));
      },
    });
  }

  #pause(state: State, ms: number): void {
    this.#state = state;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#closed ? null : this.#clock.after(ms, () => this.#ask());
  }

  #settle(report: () => void): void {
    if (this.#closed) return;
    this.#settledAtMs = this.#clock.nowMs();
    report();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) run();
    for (const onChange of this.#listeners) onChange();
  }
}
