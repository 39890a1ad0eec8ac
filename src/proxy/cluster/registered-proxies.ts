/**
 * All proxies that are registered under the resolver prefix, as far as is known: read once, then kept by a watch.
 *
 *      list ──> what is there ──> watch from the next revision on ──> lost, moved, compacted ──> list …
 *
 * Stands between the members and who asks for the list, which costs a member nothing. Whatever ends the watch, all is read
 * again: so nothing is missed, not even where a cluster was restored to what it was before. It is read linearizably, so that
 * the list never goes back; only while nothing is known at all a member without a leader may tell what it has. When
 * there is no quorum nothing changes, and the list stays as it is.
 *
 * Invariant: at most `PROXIES_MAX` are kept, each of at most `REGISTRATION_BYTES_MAX`; what is no registration is left out.
 */
import { ConnectError } from "@connectrpc/connect";
import { Backoff } from "../../base/backoff.ts";
import type { Timers } from "../../base/clock.ts";
import { KeyRange } from "../../etcd/key-range.ts";
import type { WatchResponse } from "../../gen/etcdserverpb/watch_pb.ts";
import { Event_EventType, type KeyValue } from "../../gen/mvccpb/kv_pb.ts";
import { latin1Text } from "../../hpack/latin1.ts";
import type { Logger } from "../../observe/log.ts";
import { LineRateLimiter, RateLimitedLog } from "../../observe/rate-limited-log.ts";
import type { DirectoryCalls, WatchEnd } from "./registration-calls.ts";
import { type RegisteredProxy, readRegistration } from "./registration-value.ts";

/** What became of this proxy's own key: written at `revision`, or not there (any more) at it. */
export type OwnKeyState =
  | { readonly kind: "written"; readonly revision: bigint; readonly keyValue: KeyValue }
  | { readonly kind: "absent"; readonly revision: bigint };

export interface RegisteredProxiesOptions {
  readonly calls: DirectoryCalls;
  /** `--resolver-prefix`. */
  readonly prefix: string;
  readonly ownKey: string;
  readonly onOwnKey: (state: OwnKeyState) => void;
  /** The cluster is as it was at an earlier revision: what was written since then is undone. */
  readonly onWentBack: () => void;
  readonly clock: Timers;
  readonly log: Logger;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
}

/** Proxies beyond it, in the order of their keys, are left out: clients that synchronize dial all of them. */
const PROXIES_MAX = 1_000;
/** The largest key with its value that counts as a registration. */
const REGISTRATION_BYTES_MAX = 4_096;
/** Pauses before all is read again. */
const PAUSES_MS = { firstMs: 500, limitMs: 10_000 };
/** A watch that has lasted for so long did not fail at its beginning. */
const LASTED_MS = 10_000;
/** How often a trouble that lasts is told of. */
const TROUBLE_INTERVAL_MS = 60_000;
/** How often the same wrong key is told of. */
const WRONG_INTERVAL_MS = 3_600_000;
const WRONG_KEYS_MAX = 16;

export class RegisteredProxies {
  readonly #options: RegisteredProxiesOptions;
  readonly #range: KeyRange;
  readonly #ownKey: string;
  readonly #backoff: Backoff;
  readonly #troubles: RateLimitedLog;
  readonly #wrong: RateLimitedLog;
  /** By key, one character for each byte. */
  #proxies = new Map<string, RegisteredProxy>();
  /** Null: to be made anew. */
  #sorted: readonly RegisteredProxy[] | null = null;
  /** There are more than are kept: what goes makes room for one that is not known. */
  #more = false;
  #known = false;
  /** The latest revision that a member has told of; 0 before. */
  #revision = 0n;
  #troubled = false;
  #closed = false;
  #cancelTimer: (() => void) | null = null;
  #endWatch: (() => void) | null = null;

  constructor(options: RegisteredProxiesOptions) {
    this.#options = options;
    const { prefix, ownKey, clock, log, random = Math.random } = options;
    this.#range = prefixRange(`${prefix}/`);
    this.#ownKey = latin1Key(ownKey);
    this.#backoff = new Backoff({ ...PAUSES_MS, random });
    const limitedTo = (intervalMs: number, keysMax: number): RateLimitedLog =>
      new RateLimitedLog(log, () => clock.nowMs(), new LineRateLimiter({ intervalMs, keysMax }));
    this.#troubles = limitedTo(TROUBLE_INTERVAL_MS, WRONG_KEYS_MAX);
    this.#wrong = limitedTo(WRONG_INTERVAL_MS, WRONG_KEYS_MAX);
  }

  /** In the order of their keys; empty while none is known. */
  get list(): readonly RegisteredProxy[] {
    this.#sorted ??= [...this.#proxies]
      .toSorted(([some], [other]) => (some < other ? -1 : 1))
      .map(([, proxy]) => proxy);
    return this.#sorted;
  }

  /** Begins to find out; waits for nothing. */
  start(): void {
    void this.#read();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#endWatch?.();
  }

  async #read(): Promise<void> {
    try {
      const revision = await this.#list(true);
      if (!this.#closed) await this.#watch(revision + 1n);
    } catch (error) {
      if (!this.#closed && !this.#known) await this.#list(false).catch(() => 0n);
      this.#again({ kind: "failed", reason: reasonOf(error) });
    }
  }

  /** Takes what is there. Resolves to the revision that it is of. */
  async #list(linearizable: boolean): Promise<bigint> {
    const { calls } = this.#options;
    const { header, kvs, more } = await calls.list(this.#range, PROXIES_MAX, linearizable);
    const revision = header?.revision ?? 0n;
    if (this.#closed) return revision;
    this.#known = true;
    // Linearizable reads go back for no other reason.
    if (linearizable && revision < this.#revision) this.#options.onWentBack();
    if (linearizable) this.#revision = revision;
    this.#proxies = new Map();
    this.#sorted = null;
    this.#more = false;
    for (const keyValue of kvs) this.#put(keyValue);
    if (more) this.#tooMany();
    const own = kvs.find(({ key }) => latin1Text(key, 0, key.length) === this.#ownKey);
    if (own !== undefined) this.#tellOwn(own);
    else if (!more) this.#options.onOwnKey({ kind: "absent", revision });
    return revision;
  }

  async #watch(startRevision: bigint): Promise<void> {
    const begunMs = this.#options.clock.nowMs();
    let over = false;
    const end = await this.#options.calls.watch(this.#range, startRevision, {
      onResponse: (response) => {
        if (response.created) this.#onWatching();
        this.#apply(response);
      },
      onEnd: (why) => {
        over = true;
        this.#endWatch = null;
        if (this.#options.clock.nowMs() - begunMs > LASTED_MS) this.#backoff.reset();
        this.#again(why);
      },
    });
    if (this.#closed) end();
    else if (!over) this.#endWatch = end;
  }

  #onWatching(): void {
    if (!this.#troubled) return;
    this.#troubled = false;
    const { log, prefix } = this.#options;
    log.info("the registered proxies are watched again", { prefix, proxies: this.list.length });
  }

  #apply({ header, events }: WatchResponse): void {
    const revision = header?.revision ?? 0n;
    if (revision > this.#revision) this.#revision = revision;
    let own: OwnKeyState | null = null;
    let gone = false;
    for (const { type, kv } of events) {
      if (kv === undefined) continue;
      const key = latin1Text(kv.key, 0, kv.key.length);
      if (type === Event_EventType.DELETE) {
        gone = this.#delete(key) || gone;
        if (key === this.#ownKey) own = { kind: "absent", revision: kv.modRevision };
      } else {
        this.#put(kv);
        if (key === this.#ownKey) own = { kind: "written", revision: kv.modRevision, keyValue: kv };
      }
    }
    if (own !== null) this.#options.onOwnKey(own);
    if (gone && this.#more) this.#startOver();
  }

  #tellOwn(keyValue: KeyValue): void {
    this.#options.onOwnKey({ kind: "written", revision: keyValue.modRevision, keyValue });
  }

  #put(keyValue: KeyValue): void {
    const { key, value } = keyValue;
    const name = latin1Text(key, 0, key.length);
    const small = key.length + value.length <= REGISTRATION_BYTES_MAX;
    const proxy = small ? readRegistration(value) : null;
    if (proxy === null) {
      this.#delete(name);
      this.#tellWrong(key, small ? "its value is none" : `it is larger than ${REGISTRATION_BYTES_MAX} bytes`);
    } else if (this.#proxies.size >= PROXIES_MAX && !this.#proxies.has(name)) {
      this.#tooMany();
    } else {
      this.#proxies.set(name, proxy);
      this.#sorted = null;
    }
  }

  #delete(key: string): boolean {
    if (!this.#proxies.delete(key)) return false;
    this.#sorted = null;
    return true;
  }

  #tooMany(): void {
    this.#more = true;
    const { prefix } = this.#options;
    this.#wrong.write("warn", "too many", "more proxies are registered than are listed", {
      prefix,
      listed: PROXIES_MAX,
    });
  }

  #tellWrong(keyBytes: Uint8Array, reason: string): void {
    const key = new TextDecoder().decode(keyBytes.subarray(0, REGISTRATION_BYTES_MAX));
    this.#wrong.write("warn", key, "a key under --resolver-prefix is no registration, left out", {
      key,
      reason,
    });
  }

  #startOver(): void {
    this.#endWatch?.();
    this.#endWatch = null;
    this.#again({ kind: "failed", reason: "" });
  }

  #again(end: WatchEnd): void {
    if (this.#closed) return;
    const moved = end.kind === "moved";
    if (!moved && end.reason !== "") {
      this.#troubled = true;
      const { prefix } = this.#options;
      const { reason } = end;
      this.#troubles.write("warn", reason, "the registered proxies cannot be watched", { prefix, reason });
    }
    this.#cancelTimer?.();
    this.#cancelTimer = this.#options.clock.after(moved ? 0 : this.#backoff.next(), () => void this.#read());
  }
}

/** All keys that begin with `prefix`, which ends with a slash: there is always a key behind them. */
function prefixRange(prefix: string): KeyRange {
  const key = Buffer.from(prefix);
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return KeyRange.of(key, end)!;
}

function latin1Key(key: string): string {
  const bytes = Buffer.from(key);
  return latin1Text(bytes, 0, bytes.length);
}

function reasonOf(error: unknown): string {
  return ConnectError.from(error).rawMessage || String(error);
}
