/**
 * This proxy's own registration: a key that lives as long as a lease, which lives as long as the proxy.
 *
 *      grant ──> put ──> heartbeat every third of the time to live ──> …        leave: revoke
 *        ^        ^                       │
 *        │        └── deleted, overwritten┤
 *        └──────────────── expired, revoked
 *
 * Stands between the members and what the watch on the prefix tells of the key. Nobody waits for it: whatever fails is
 * tried again with growing pauses, for ever. Another proxy that has registered the same address under a lease of its own
 * is left alone, since clients are served either way, and followed when it goes.
 *
 * Invariant: at most one lease is this process's, its id is in the slot before it is made, and it is revoked at the end.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { Backoff } from "../../base/backoff.ts";
import type { Timers } from "../../base/clock.ts";
import { saysLeaseExists, saysLeaseGone } from "../../etcd/lease-refusal.ts";
import type { Logger } from "../../observe/log.ts";
import { LineRateLimiter, RateLimitedLog } from "../../observe/rate-limited-log.ts";
import { type LeaseSlot, newLeaseId } from "./lease-slot.ts";
import type { OwnKeyState } from "./registered-proxies.ts";
import type { LeasedKeyCalls } from "./registration-calls.ts";
import {
  type RegisteredProxy,
  readRegistration,
  registrationKey,
  registrationValue,
} from "./registration-value.ts";

export interface RegistrationOptions {
  readonly calls: LeasedKeyCalls;
  /** `--resolver-prefix`. */
  readonly prefix: string;
  /** `--resolver-ttl`. */
  readonly ttlSeconds: number;
  readonly proxy: RegisteredProxy;
  readonly lease: LeaseSlot;
  readonly clock: Timers;
  readonly log: Logger;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

/** What is in the key, as far as is known. */
type KeyState =
  | "absent"
  | "ours"
  /** The same address, under a lease of another process. */
  | "another's";

/** Pauses when a member could not be reached, or could not say. */
const FAILED_MS = { firstMs: 250, limitMs: 5_000 };
/** Pauses when etcd says no; and when the key is lost again and again. */
const REFUSED_MS = { firstMs: 500, limitMs: 30_000 };
/** Heartbeats are sent at three times the pace that is needed. */
const HEARTBEATS_PER_TTL = 3;
/** The longest pause between heartbeats: timers cannot be set for years. */
const HEARTBEAT_MS_MAX = 600_000;
/** How long a member may take to answer a heartbeat: as long as the next one is not due, within these. */
const HEARTBEAT_TIMEOUT_MS = { min: 1_000, max: 5_000 };
/** How long a stop may wait for etcd. */
const LEAVE_MS = 1_000;
/** How often a trouble that lasts is told of. */
const TROUBLE_INTERVAL_MS = 60_000;
/** A reason is a line of a log. */
const REASON_LENGTH_MAX = 300;

const REFUSALS: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.FailedPrecondition,
]);

export class Registration {
  /** The key that is kept. */
  readonly key: string;
  /** Times that the key had to be written again, or a lease be made anew. */
  renewals = 0;
  readonly #options: RegistrationOptions;
  readonly #value: string;
  readonly #failures: Backoff;
  readonly #refusals: Backoff;
  readonly #troubles: RateLimitedLog;
  #leaseStands = false;
  #keyState: KeyState = "absent";
  /** Revision at which the key was written; what is older says nothing of it. */
  #writtenAt = 0n;
  /** What was told of the key last. */
  #seen: OwnKeyState | null = null;
  #ttlMs: number;
  #heartbeatDueMs = 0;
  /** When the lease ends if no heartbeat comes through. */
  #endsAtMs = 0;
  #begun = false;
  #cancelTimer: (() => void) | null = null;
  #working: Promise<void> | null = null;
  #leaving: Promise<void> | null = null;

  constructor(options: RegistrationOptions) {
    this.#options = options;
    const { prefix, proxy, ttlSeconds, clock, log, random = Math.random } = options;
    this.key = registrationKey(prefix, proxy.clientUrl);
    this.#value = registrationValue(proxy);
    this.#ttlMs = ttlSeconds * 1000;
    this.#failures = new Backoff({ ...FAILED_MS, random });
    this.#refusals = new Backoff({ ...REFUSED_MS, random });
    const limiter = new LineRateLimiter({ intervalMs: TROUBLE_INTERVAL_MS, keysMax: 16 });
    this.#troubles = new RateLimitedLog(log, () => clock.nowMs(), limiter);
  }

  /** Clients that look for proxies find this one, as far as is known: its lease has had a heartbeat in its time to live. */
  get registered(): boolean {
    if (this.#keyState === "ours") return this.#options.clock.nowMs() < this.#endsAtMs;
    return this.#keyIsThere;
  }

  get #keyIsThere(): boolean {
    return this.#keyState !== "absent";
  }

  /** Begins to register; waits for nothing. */
  start(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#schedule(0);
  }

  /** Told by who watches the prefix. */
  onOwnKey(state: OwnKeyState): void {
    this.#seen = state;
    this.#judge();
  }

  /** The cluster was restored to what it was before: the revision that the key was written at says nothing any more. */
  onWentBack(): void {
    this.#writtenAt = 0n;
    this.#seen = null;
  }

  /**
   * Takes the registration back, and keeps none from here on. Resolves when etcd has done so, or after a second at the most.
   * In a process where another worker registers, that one's is taken back.
   */
  leave(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #leave(): Promise<void> {
    const { calls, lease, log } = this.#options;
    this.#cancelTimer?.();
    const { key } = this;
    const gaveUp = Promise.withResolvers<string>();
    const cancelTimer = this.#options.clock.after(LEAVE_MS, () => gaveUp.resolve("etcd does not answer"));
    // What is under way might make the lease after it was revoked.
    const revoked = Promise.resolve(this.#working).then(async () => {
      if (lease.id === 0n) return null;
      try {
        await calls.revoke(lease.id, LEAVE_MS);
      } catch (error) {
        const { rawMessage } = ConnectError.from(error);
        if (!saysLeaseGone(rawMessage)) return reasonOf(error);
      }
      lease.id = 0n;
      return "";
    });
    const problem = await Promise.race([revoked, gaveUp.promise]);
    cancelTimer();
    this.#keyState = "absent";
    if (problem === null) return;
    if (problem === "") log.info("no longer registered", { key });
    else log.warn("the registration stays until its lease ends", { key, reason: problem });
  }

  #schedule(delayMs: number): void {
    if (this.#leaving !== null || !this.#begun) return;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = null;
      // One that is under way looks itself at what comes next.
      if (this.#working !== null) return;
      this.#working = this.#turn();
    });
  }

  async #turn(): Promise<void> {
    const pauseMs = await this.#work();
    this.#working = null;
    this.#judge();
    if (this.#cancelTimer === null) this.#schedule(pauseMs);
  }

  /** Does what is due. Resolves to how long there is nothing to do, in milliseconds. */
  async #work(): Promise<number> {
    const wasRegistered = this.#keyIsThere;
    try {
      if (!this.#leaseStands) await this.#grant();
      // First of all: a key that is bound to a lease at its end would be gone in a moment.
      if (this.#options.clock.nowMs() >= this.#heartbeatDueMs) await this.#heartbeat();
      if (!this.#leaseStands && wasRegistered) return this.#refusals.next();
      if (!this.#leaseStands) await this.#grant();
      if (this.#keyState === "absent") await this.#putAnyhow();
      this.#failures.reset();
      return Math.max(0, this.#heartbeatDueMs - this.#options.clock.nowMs());
    } catch (error) {
      return this.#failed(error);
    }
  }

  async #grant(): Promise<void> {
    const { calls, lease, ttlSeconds } = this.#options;
    // One of a worker that has died, or one that was asked for without an answer, may be there.
    if (lease.id === 0n) lease.id = newLeaseId();
    try {
      this.#granted(await calls.grant(lease.id, ttlSeconds));
    } catch (error) {
      if (!saysLeaseExists(ConnectError.from(error).rawMessage)) throw error;
      this.#granted(ttlSeconds);
      this.#heartbeatDueMs = 0; // It may be about to end.
    }
  }

  #granted(ttlSeconds: number): void {
    this.#leaseStands = true;
    this.#lasts(ttlSeconds);
  }

  /** The lease has just been prolonged by so long. */
  #lasts(ttlSeconds: number): void {
    this.#ttlMs = ttlSeconds * 1000;
    const nowMs = this.#options.clock.nowMs();
    this.#heartbeatDueMs = nowMs + this.#heartbeatMs;
    this.#endsAtMs = nowMs + this.#ttlMs;
  }

  get #heartbeatMs(): number {
    return Math.min(HEARTBEAT_MS_MAX, this.#ttlMs / HEARTBEATS_PER_TTL);
  }

  /** A key is deleted with its lease more often than by itself: then there is to be another lease, at once. */
  async #putAnyhow(): Promise<void> {
    try {
      await this.#put();
    } catch (error) {
      if (!saysLeaseGone(ConnectError.from(error).rawMessage)) throw error;
      this.#leaseLost();
      await this.#grant();
      await this.#put();
    }
  }

  async #put(): Promise<void> {
    const { calls, lease, log } = this.#options;
    this.#writtenAt = await calls.put(this.key, this.#value, lease.id);
    this.#keyState = "ours";
    log.info("registered", {
      key: this.key,
      lease: lease.id.toString(16),
      ttl: `${this.#ttlMs / 1000}s`,
    });
  }

  async #heartbeat(): Promise<void> {
    const { min, max } = HEARTBEAT_TIMEOUT_MS;
    const timeoutMs = Math.min(max, Math.max(min, this.#heartbeatMs));
    const ttlSeconds = await this.#options.calls.keepAlive(this.#options.lease.id, timeoutMs);
    if (ttlSeconds > 0) {
      this.#lasts(ttlSeconds);
      // It has stood for a while.
      if (this.#keyIsThere) this.#refusals.reset();
    } else {
      this.#leaseLost();
    }
  }

  #leaseLost(): void {
    this.#options.lease.id = 0n;
    this.#leaseStands = false;
    if (this.#keyIsThere) this.#lost("its lease has ended");
    this.#keyState = "absent";
  }

  #lost(reason: string): void {
    this.renewals++;
    this.#tell("the registration is lost, and is made again", reason);
  }

  /** What to do next follows from what the watch has told of the key. */
  #judge(): void {
    const seen = this.#seen;
    // What was told while the key is being written is judged by the revision that that will have had.
    if (seen === null || this.#working !== null || this.#leaving !== null) return;
    if (this.#keyState === "absent" || seen.revision <= this.#writtenAt) return;
    const now = this.#read(seen);
    if (now === this.#keyState) return;
    this.#keyState = now === "another's" ? now : "absent";
    if (now === "another's") {
      this.#tell(
        "another proxy has registered this address, and is left alone",
        "--advertise-client-url of both is the same",
      );
    } else {
      this.#lost(seen.kind === "absent" ? "its key was deleted" : "its key was overwritten");
      this.#schedule(this.#refusals.next());
    }
  }

  #read(seen: OwnKeyState): KeyState | "overwritten" {
    if (seen.kind === "absent") return "absent";
    const { value, lease } = seen.keyValue;
    if (lease === this.#options.lease.id) {
      return Buffer.from(value).toString() === this.#value ? "ours" : "overwritten";
    }
    const same = readRegistration(value)?.clientUrl === this.#options.proxy.clientUrl;
    return same && lease !== 0n ? "another's" : "overwritten";
  }

  #failed(error: unknown): number {
    const { code, rawMessage } = ConnectError.from(error);
    if (saysLeaseGone(rawMessage)) {
      this.#leaseLost();
      return this.#refusals.next();
    }
    this.#tell(
      this.#keyIsThere ? "the registration's lease cannot be kept" : "this proxy cannot be registered",
      reasonOf(error),
    );
    return REFUSALS.has(code) ? this.#refusals.next() : this.#failures.next();
  }

  #tell(message: string, reason: string): void {
    const { key } = this;
    this.#troubles.write("warn", `${message}: ${reason}`, message, { key, reason });
  }
}

function reasonOf(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  return (rawMessage || Code[code]).slice(0, REASON_LENGTH_MAX);
}
