/**
 * The steady load of an outage: clients that read, write, watch and keep leases, all through one address.
 *
 * Every client has a connection of its own. The writers' keys are written once each, so that each acknowledged write
 * can be found again in etcd's own history; one key is written by all transactions, and read by all readers.
 */
import { create } from "@bufbuild/protobuf";
import { KV, RequestOpSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { WatchClient } from "../watch-client.ts";
import type { WatchHistory } from "../watch-history.ts";
import { prefixed, type WatchPlan } from "../watch-plan.ts";
import { CallLog, type UnaryKind } from "./call-log.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { CALL_DEADLINE_MS, PacedClient } from "./paced-client.ts";

const CLIENTS: readonly (readonly [kind: UnaryKind, count: number])[] = [
  ["read", 4],
  ["serializable read", 2],
  ["put", 2],
  ["transaction", 2],
];
const WATCHERS_OF_A_PLAN = 2;
const LEASE_KEEPERS = 2;
const LEASES_OF_A_KEEPER = 3;
/** Writes from before the load: what watches from the past are told of first. */
const PAST_WRITES = 50;
/** How often it is looked whether watches have been told of something. */
const LOOK_MS = 10;

/** Keys of the load; those below `leases` are held by leases, the others are written. */
export const KEYS = { all: "outage/", written: "outage/w/", leases: "outage/lease/" } as const;
const HOT_KEY = `${KEYS.written}hot`;

const DEADLINE = { timeoutMs: CALL_DEADLINE_MS } as const;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export interface AcknowledgedWrite {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

export class OutageLoad implements AsyncDisposable {
  readonly acknowledged: AcknowledgedWrite[] = [];
  /** Linearizable reads that were older than a write acknowledged before they were asked. */
  readonly staleReads: string[] = [];
  readonly watchers: readonly WatchClient[];
  readonly keepers: readonly LeaseKeeper[];
  readonly #clients: readonly PacedClient[];
  /** For each watch, when it was told of something. */
  readonly #told = new Map<WatchHistory, CallLog>();
  readonly #looking: ReturnType<typeof setInterval>;
  #newestRevision = 0;
  #writes = 0;

  private constructor(address: string, watchers: readonly WatchClient[], keepers: readonly LeaseKeeper[]) {
    this.watchers = watchers;
    this.keepers = keepers;
    this.#clients = CLIENTS.flatMap(([kind, count]) =>
      Array.from({ length: count }, () => new PacedClient(address, kind, this.#calls[kind])),
    );
    for (const history of this.histories) this.#told.set(history, new CallLog("event"));
    const seen = new Map<WatchHistory, number>();
    this.#looking = setInterval(() => {
      for (const [history, log] of this.#told) {
        if (seen.get(history) === history.lastChange) continue;
        seen.set(history, history.lastChange);
        log.succeeded(performance.now());
      }
    }, LOOK_MS);
  }

  /** Starts all clients, and waits until watches and leases are there. @param address `host:port` of the proxy. */
  static async start(address: string): Promise<OutageLoad> {
    const firstRevision = await writePast(address);
    const plans: readonly WatchPlan[] = [
      prefixed(KEYS.all),
      { ...prefixed(KEYS.written), prevKv: true },
      { ...prefixed(KEYS.all), startRevision: firstRevision },
      { key: HOT_KEY },
    ];
    const watchers = Array.from({ length: WATCHERS_OF_A_PLAN }, () => plans).flatMap((plans) =>
      plans.map((plan) => {
        const watcher = new WatchClient(address);
        watcher.open(plan);
        return watcher;
      }),
    );
    for (const watcher of watchers) await watcher.opened();
    const keepers = await Promise.all(
      Array.from({ length: LEASE_KEEPERS }, (_, keeper) =>
        LeaseKeeper.start(
          address,
          Array.from({ length: LEASES_OF_A_KEEPER }, (_, lease) => `${KEYS.leases}${keeper}/${lease}`),
        ),
      ),
    );
    return new OutageLoad(address, watchers, keepers);
  }

  get histories(): readonly WatchHistory[] {
    return this.watchers.flatMap(({ histories }) => histories);
  }

  /** One for each client that makes calls, each watch, and each client that keeps leases. */
  get logs(): readonly CallLog[] {
    const keepers = this.keepers.map(({ log }) => log);
    return [...this.#callLogs, ...this.#told.values(), ...keepers];
  }

  get leases(): number {
    return this.keepers.length * LEASES_OF_A_KEEPER;
  }

  /**
   * Waits until every client has succeeded `count` times since `sinceMs`, and every watch been told of something.
   *
   * @returns whether that was so before `deadlineMs` had passed.
   */
  async getsOn(count: number, sinceMs: number, deadlineMs: number): Promise<boolean> {
    const late = (): string[] => [
      ...this.#callLogs.filter((log) => log.successesSince(sinceMs) < count).map(({ kind }) => kind),
      ...[...this.#told.values()].filter((log) => log.successesSince(sinceMs) === 0).map(({ kind }) => kind),
    ];
    return waitFor("all clients to get on", () => late().length === 0, { deadlineMs }).catch(() => false);
  }

  /** Ends reads and writes; those under way have ended afterwards. Watches and leases go on. */
  async endCalls(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#looking);
    for (const watcher of this.watchers) watcher.close();
    for (const keeper of this.keepers) keeper.stop();
    await this.endCalls();
  }

  get #callLogs(): readonly CallLog[] {
    return this.#clients.map(({ log }) => log);
  }

  readonly #calls: Readonly<Record<UnaryKind, (client: GrpcClient) => Promise<void>>> = {
    read: async (client) => {
      const atLeast = this.#newestRevision;
      const { header } = await client.unary(KV.method.range, { key: bytes(HOT_KEY) }, DEADLINE);
      const revision = Number(header!.revision);
      if (revision < atLeast) this.staleReads.push(`a read at ${revision}, after a write at ${atLeast}`);
    },
    "serializable read": async (client) => {
      await client.unary(KV.method.range, { key: bytes(HOT_KEY), serializable: true }, DEADLINE);
    },
    put: async (client) => {
      const write = this.#nextWrite();
      const { header } = await client.unary(
        KV.method.put,
        { key: bytes(write.key), value: bytes(write.value) },
        DEADLINE,
      );
      this.#acknowledge({ ...write, revision: Number(header!.revision) });
    },
    transaction: async (client) => {
      const write = this.#nextWrite();
      const success = [write.key, HOT_KEY].map((key) =>
        create(RequestOpSchema, {
          request: { case: "requestPut", value: { key: bytes(key), value: bytes(write.value) } },
        }),
      );
      const { header } = await client.unary(KV.method.txn, { success }, DEADLINE);
      const revision = Number(header!.revision);
      this.#acknowledge({ ...write, revision });
      this.#acknowledge({ ...write, key: HOT_KEY, revision });
    },
  };

  #nextWrite(): { readonly key: string; readonly value: string } {
    const number = ++this.#writes;
    return { key: `${KEYS.written}${number}`, value: `value ${number}` };
  }

  #acknowledge(write: AcknowledgedWrite): void {
    this.acknowledged.push(write);
    this.#newestRevision = Math.max(this.#newestRevision, write.revision);
  }
}

/** Writes what watches from the past begin with. Resolves to the first revision of it. */
async function writePast(address: string): Promise<number> {
  using client = new GrpcClient(address);
  let first = 0;
  for (let count = 0; count < PAST_WRITES; count++) {
    // Members that have just come back may still change their leader.
    const { header } = await waitFor("a write before the load", () =>
      client.unary(KV.method.put, { key: bytes(`${KEYS.written}past`) }, DEADLINE),
    );
    first ||= Number(header!.revision);
  }
  return first;
}
