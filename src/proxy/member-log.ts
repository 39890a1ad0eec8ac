/**
 * What the log says of the members: which one is in use, and what is wrong with the others.
 *
 * Stands between the channel's events and the log. A member that is down shows in several ways within a moment (its connection
 * ends, the next dial is refused, a check fails): that is one line. Another one follows only for what it does not tell yet, such as
 * a certificate that is refused. A member that goes up and down as it likes has its lines limited.
 */
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Verdict } from "../endpoints/endpoint-report.ts";
import type { Logger } from "../observe/log.ts";
import type { RateLimitedLog } from "../observe/rate-limited-log.ts";

/** What has been told of a member that does not serve. */
interface Trouble {
  /** Nobody answers: further signs of the same are no news. */
  down: boolean;
  readonly reasons: Set<string>;
  /** Of the line that waits for the interval's end: another one may take its place, and it was not told then. */
  held: string | null;
}

/** Members that are remembered: lists of endpoints come and go. */
const MEMBERS_MAX = 256;
/** Reasons that are remembered of one member: some carry words of its own. */
const REASONS_MAX = 16;

export class MemberLog {
  readonly #log: Logger;
  readonly #limited: RateLimitedLog;
  readonly #troubles = new Map<string, Trouble>();

  /** `limited`: over `log`. */
  constructor(log: Logger, limited: RateLimitedLog) {
    this.#log = log;
    this.#limited = limited;
  }

  /** Calls go to it from now on. */
  onConnected({ name }: Endpoint): void {
    this.#troubles.delete(name);
    this.#log.info("connected to a member", { endpoint: name });
  }

  /** A dial, or the connection, has failed. */
  onFailed({ name }: Endpoint, reason: string): void {
    const trouble = this.#troubleOf(name);
    const sameOutage = trouble.down && NOBODY_ANSWERS.test(reason);
    trouble.down = true;
    if (!sameOutage) this.#tell("a member cannot be used", name, reason, trouble);
  }

  /** A check has found something else than the last one. */
  onJudged({ name }: Endpoint, verdict: Verdict): void {
    if (verdict.kind === "fit") {
      if (!this.#troubles.delete(name)) return;
      this.#limited.write("info", `fit ${name}`, "a member passes its checks again", { endpoint: name });
      return;
    }
    const trouble = this.#troubleOf(name);
    const sameOutage = trouble.down && verdict.kind === "silent";
    trouble.down ||= verdict.kind === "silent";
    if (!sameOutage) this.#tell("a member fails its checks", name, verdict.reason, trouble);
  }

  #troubleOf(name: string): Trouble {
    let trouble = this.#troubles.get(name);
    if (trouble === undefined) {
      const oldest = this.#troubles.keys().next();
      if (this.#troubles.size >= MEMBERS_MAX && oldest.done !== true) this.#troubles.delete(oldest.value);
      trouble = { down: false, reasons: new Set(), held: null };
      this.#troubles.set(name, trouble);
    }
    return trouble;
  }

  #tell(message: string, endpoint: string, reason: string, trouble: Trouble): void {
    const { reasons, held } = trouble;
    if (reasons.has(reason)) return;
    if (reasons.size < REASONS_MAX) reasons.add(reason);
    const written = this.#limited.write("warn", `${message} ${endpoint}`, message, { endpoint, reason });
    if (!written && held !== null) reasons.delete(held);
    trouble.held = written ? null : reason;
  }
}

/** What follows from a member's being down, whatever was seen of it first. One that has something against our TLS is up. */
const NOBODY_ANSWERS = /^(?!.*TLS:)(connection (refused|closed|reset|lost)|no answer|it did not answer)/;
