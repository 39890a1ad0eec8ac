/**
 * What the log says of the proxy's own user: when it has a token for the first time or again, and why it has none.
 *
 * Invariant: neither the password nor a token is in it; a trouble that lasts is told once a minute.
 */
import type { Logger } from "../../observe/log.ts";
import { LineRateLimiter, RateLimitedLog } from "../../observe/rate-limited-log.ts";
import type { OwnIdentityReports } from "./own-identity.ts";

const INTERVAL_MS = 60_000;

export class SignInLog implements OwnIdentityReports {
  readonly #log: Logger;
  readonly #limited: RateLimitedLog;
  readonly #user: string;
  readonly #endpoint: () => string;
  /** What was told last of a request that did not fail. */
  #told: "signed in" | "off" | null = null;

  /**
   * @param user `--user`
   * @param endpoint the member in use, as it is written in `--endpoints`
   * @param nowMs a monotonic clock, in milliseconds
   */
  constructor(log: Logger, user: string, endpoint: () => string, nowMs: () => number) {
    this.#log = log;
    this.#limited = new RateLimitedLog(log, nowMs, new LineRateLimiter({ intervalMs: INTERVAL_MS }));
    this.#user = user;
    this.#endpoint = endpoint;
  }

  onSignedIn(): void {
    this.#tell("signed in", "authenticated as --user");
  }

  onAuthOff(): void {
    this.#tell("off", "authentication is off in etcd: --user is not needed");
  }

  onTrouble(reason: string): void {
    this.#told = null;
    this.#limited.write("warn", reason, "cannot authenticate as --user", this.#fields({ reason }));
  }

  #tell(told: "signed in" | "off", message: string): void {
    if (this.#told === told) return;
    this.#told = told;
    this.#log.info(message, this.#fields({}));
  }

  #fields(more: Record<string, unknown>): Record<string, unknown> {
    return { user: this.#user, endpoint: this.#endpoint(), ...more };
  }
}
