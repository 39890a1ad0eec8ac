/**
 * Clients that watch ranges through one address, and the puts whose events they get.
 *
 * Watches are spread over connections so that each connection has its share of every range. Invariant: a load
 * is over when every event has arrived, or when nothing at all has come for `STALL_MS`; what is missing then is
 * told, never waited for again.
 */
import { Arrivals } from "./arrivals.ts";
import { PutStream } from "./put-stream.ts";
import { type WatchPlan, WatchStream } from "./watch-stream.ts";

const STALL_MS = 2_000;
const STALL_PROBE_MS = 50;
const PACE_MS = 1;

export interface SessionPlan {
  /** `host:port` that the clients connect to. */
  readonly address: string;
  /** `host:port` of etcd, where the puts go. */
  readonly etcdAddress: string;
  readonly connections: number;
  /** Disjoint prefixes; 0 for one key. */
  readonly ranges: number;
  readonly watchersPerRange: number;
  /** What all keys begin with. */
  readonly keyPrefix: string;
  readonly valueBytes: number;
  /** How many puts wait for their answer at most. */
  readonly putsInFlight: number;
}

/** Where a watch starts: at etcd's next revision by number, or without a number. */
export type Start = "next" | "now";

/** A load, run to its end. */
export interface SessionLoad {
  readonly puts: number;
  readonly expectedEvents: number;
  readonly events: number;
  /** From the first put to the last event. */
  readonly elapsedSeconds: number;
}

/** What keeps a wait going: told after whatever came. */
class Progress {
  lastAtMs = performance.now();
  wake: (() => void) | null = null;
  readonly note = (): void => {
    this.lastAtMs = performance.now();
    this.wake?.();
  };
}

export class WatchSession implements Disposable {
  readonly arrivals = new Arrivals();
  readonly #plan: SessionPlan;
  readonly #keys: readonly Uint8Array[];
  readonly #progress = new Progress();
  #puts: PutStream | null = null;
  #streams: WatchStream[] = [];
  /** The range of each watch, stream by stream. */
  #rangesOf: number[][] = [];
  #nextKey = 0;

  private constructor(plan: SessionPlan) {
    this.#plan = plan;
    this.#keys = plan.ranges === 0 ? [bytes(`${plan.keyPrefix}key`)] : prefixesOf(plan).map(keyUnder);
  }

  /** Connects to etcd and puts every key once. */
  static async open(plan: SessionPlan): Promise<WatchSession> {
    const session = new WatchSession(plan);
    const { note } = session.#progress;
    session.#puts = await PutStream.open(plan.etcdAddress, session.#keys, plan.valueBytes, note);
    session.#put(session.#keys.length);
    if (!(await session.#until(() => session.#putStream.done))) throw new Error("etcd answers no put");
    session.#putStream.reset();
    return session;
  }

  get watches(): number {
    return this.#plan.watchersPerRange * this.#keys.length;
  }

  /** Why streams ended, each reason with their number. */
  get endedStreams(): ReadonlyMap<string, number> {
    const reasons = new Map<string, number>();
    for (const { ended } of this.#streams) {
      if (ended !== undefined) reasons.set(ended, (reasons.get(ended) ?? 0) + 1);
    }
    return reasons;
  }

  /** Opens all connections with their Watch streams, yet without watches. */
  async connect(start: Start): Promise<void> {
    const { address, connections, ranges, watchersPerRange } = this.#plan;
    const startRevision = start === "now" ? 0 : this.#putStream.latestRevision + 1;
    const prefixes = prefixesOf(this.#plan);
    const plans: WatchPlan[][] = Array.from({ length: connections }, () => []);
    this.#rangesOf = Array.from({ length: connections }, () => []);
    for (let watch = 0; watch < this.watches; watch++) {
      const range = Math.floor(watch / watchersPerRange);
      const connection = watch % connections;
      const key = ranges === 0 ? this.#keys[0]! : prefixes[range]!;
      const rangeEnd = ranges === 0 ? {} : { rangeEnd: prefixEnd(key) };
      plans[connection]!.push({ key, startRevision, ...rangeEnd });
      this.#rangesOf[connection]!.push(range);
    }
    for (const some of plans) {
      this.#streams.push(await WatchStream.open(address, some, this.arrivals, this.#progress.note));
    }
  }

  /**
   * Creates all watches, with at most `atOnce` on each stream asked for and not created.
   *
   * @returns how long that took in seconds; when it came to a halt, until the last one was created.
   */
  async createWatches(atOnce: number): Promise<number> {
    const startedAtMs = performance.now();
    const ask = (): boolean => {
      for (const stream of this.#streams) stream.request(atOnce);
      return this.arrivals.created === this.watches;
    };
    await this.#until(ask);
    return (this.#progress.lastAtMs - startedAtMs) / 1000;
  }

  /** Sends `puts` at once, again and again for `seconds`, each time when all events have arrived. */
  async burst(puts: number, seconds: number): Promise<SessionLoad> {
    const startedAtMs = performance.now();
    let sent = 0;
    let whole = true;
    while (whole && (sent === 0 || performance.now() - startedAtMs < seconds * 1000)) {
      this.#put(puts);
      sent += puts;
      whole = await this.#delivered(sent);
    }
    return this.#load(sent, startedAtMs);
  }

  /** Sends `rate` puts a second for `seconds`. */
  async paced(rate: number, seconds: number): Promise<SessionLoad> {
    const startedAtMs = performance.now();
    let sent = 0;
    for (const wanted = Math.round(rate * seconds); sent < wanted;) {
      await Bun.sleep(PACE_MS);
      const due = Math.min(wanted, Math.floor(((performance.now() - startedAtMs) / 1000) * rate));
      if (due > sent) this.#put(due - sent);
      sent = due;
    }
    await this.#delivered(sent);
    return this.#load(sent, startedAtMs);
  }

  /** Forgets the events and puts so far. */
  reset(): void {
    this.arrivals.resetEvents();
    this.#putStream.reset();
    for (const { tally } of this.#streams) tally.reset();
  }

  /** Watches that have not got exactly the events of all puts to their range. */
  faultyWatches(): number {
    const { counts, revisionSums } = this.#putStream;
    let faulty = 0;
    this.#streams.forEach(({ tally }, stream) => {
      this.#rangesOf[stream]!.forEach((range, watch) => {
        const whole =
          tally.counts[watch] === counts[range] && tally.revisionSums[watch] === revisionSums[range];
        if (!whole) faulty++;
      });
    });
    return faulty;
  }

  [Symbol.dispose](): void {
    this.#puts?.close();
    for (const stream of this.#streams) stream.close();
  }

  get #putStream(): PutStream {
    if (this.#puts === null) throw new Error("the session is not open");
    return this.#puts;
  }

  #put(count: number): void {
    const keys = this.#keys.length;
    this.#putStream.send(
      Array.from({ length: count }, () => this.#nextKey++ % keys),
      this.#plan.putsInFlight,
    );
  }

  #delivered(puts: number): Promise<boolean> {
    const expected = puts * this.#plan.watchersPerRange;
    return this.#until(() => this.arrivals.events >= expected && this.#putStream.done);
  }

  #load(puts: number, startedAtMs: number): SessionLoad {
    return {
      puts,
      expectedEvents: puts * this.#plan.watchersPerRange,
      events: this.arrivals.events,
      elapsedSeconds: (this.#progress.lastAtMs - startedAtMs) / 1000,
    };
  }

  /** Waits until `condition` holds: true; or until nothing came for `STALL_MS`: false. */
  async #until(condition: () => boolean): Promise<boolean> {
    const progress = this.#progress;
    progress.lastAtMs = performance.now();
    let timer: ReturnType<typeof setInterval> | undefined;
    try {
      return await new Promise<boolean>((resolve, reject) => {
        const look = (): void => {
          try {
            if (condition()) resolve(true);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        };
        progress.wake = look;
        timer = setInterval(() => {
          if (performance.now() - progress.lastAtMs > STALL_MS) resolve(false);
        }, STALL_PROBE_MS);
        look();
      });
    } finally {
      progress.wake = null;
      clearInterval(timer);
    }
  }
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function prefixesOf({ keyPrefix, ranges }: SessionPlan): Uint8Array[] {
  return Array.from({ length: ranges }, (_, range) =>
    bytes(`${keyPrefix}${String(range).padStart(3, "0")}/`),
  );
}

function keyUnder(prefix: Uint8Array): Uint8Array {
  return Uint8Array.of(...prefix, ...bytes("key"));
}

/** The end of all keys that begin with `prefix`, whose last byte is not 255. */
function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  end[end.length - 1]! += 1;
  return end;
}
