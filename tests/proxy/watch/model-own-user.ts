/**
 * The proxy's own user at the model etcd: what it may watch, the tokens it was given, and when they end.
 *
 * The identity under test is the real one; only what etcd answers it is made up here.
 */
import type { SignIn, SignInHandler } from "../../../src/proxy/auth/own-identity.ts";
import { covers, type KeyRange } from "./key-range.ts";
import { INVALID_AUTH_TOKEN, PERMISSION_DENIED } from "./model-refusals.ts";

const EVERYTHING: KeyRange = { key: "\0", end: undefined };

export class ModelOwnUser {
  /** False: etcd refuses the password. */
  welcome = true;
  /** What it may watch. */
  ranges: readonly KeyRange[] = [EVERYTHING];
  /** It has always been welcome, and could watch everything. */
  steady = true;
  /** Requests for a token so far. */
  requests = 0;
  readonly #valid = new Set<string>();
  readonly #violations: string[];
  #given = 0;
  #pending: SignInHandler[] = [];

  /** `violations` is told what an identity must not do. */
  constructor(violations: string[]) {
    this.#violations = violations;
  }

  readonly signIn: SignIn = (handler) => {
    this.requests++;
    if (this.#pending.push(handler) > 1) this.#violations.push("two requests for a token at once");
  };

  /** A request for a token waits for its answer. */
  get pending(): boolean {
    return this.#pending.length > 0;
  }

  /** Answers a request for a token. */
  answer(reachable: boolean): void {
    const handler = this.#pending.shift();
    if (handler === undefined) return;
    if (!reachable) {
      handler.onFailed("no member can be reached");
    } else if (this.welcome) {
      const token = `own-${++this.#given}`;
      this.#valid.add(token);
      handler.onToken(token);
    } else {
      handler.onRefused("etcdserver: authentication failed, invalid user ID or password");
    }
  }

  /** All its tokens end. */
  expire(): void {
    this.#valid.clear();
  }

  turnAway(): void {
    this.welcome = !this.welcome;
    this.steady = false;
  }

  /** From now on it may watch `ranges`, and what it watches already. */
  restrict(ranges: readonly KeyRange[]): void {
    this.ranges = ranges;
    this.steady = false;
  }

  owns(token: string): boolean {
    return token.startsWith("own-");
  }

  /** Why `token`, one of its own, may not watch `range`, or undefined. */
  refusal(token: string, range: KeyRange): string | undefined {
    if (!this.#valid.has(token)) return INVALID_AUTH_TOKEN;
    return this.ranges.some((outer) => covers(outer, range)) ? undefined : PERMISSION_DENIED;
  }
}
