/**
 * Writers that change a small set of keys in every way etcd knows, while members come and go.
 *
 * Each write goes directly to a member or through the proxy, by chance; one that fails is followed by another. What
 * was written is etcd's to tell: nothing is kept here but counts. They never run further ahead than asked.
 */
import { create } from "@bufbuild/protobuf";
import { KV, type RequestOp, RequestOpSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { SeededRandom } from "./seeded-random.ts";
import { RECONNECT_QUICKLY } from "./watch-client.ts";
import { prefixed } from "./watch-plan.ts";

const WRITERS = 3;
/** A write that has no answer by then has failed. */
const WRITE_MS = 700;
/** Writes beyond what was asked for. */
const AHEAD_MAX = 150;
export const GROUPS = 8;
export const KEYS_OF_A_GROUP = 10;
/** The keys of this group have values so large that the deletion of all of them is sent in fragments. */
export const LARGE_GROUP = GROUPS - 1;
const LARGE_VALUE_BYTES = 80_000;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const groupPrefix = (group: number): string => `k/${group}/`;
export const keyOf = (group: number, index: number): string => `${groupPrefix(group)}${index}`;

export class WatchWriters implements AsyncDisposable {
  /** Writes that were answered. */
  acknowledged = 0;
  failed = 0;
  /** What the failed writes were told, and how often. */
  readonly failures = new Map<string, number>();
  readonly #clients: readonly GrpcClient[];
  readonly #workers: Promise<unknown>;
  #limit = 0;
  #stopped = false;
  #wake = Promise.withResolvers<void>();

  /** @param addresses `host:port` of members and proxies. */
  constructor(addresses: readonly string[], seed: number) {
    this.#clients = addresses.map((address) => new GrpcClient(address, RECONNECT_QUICKLY));
    this.#workers = Promise.all(
      Array.from({ length: WRITERS }, (_, index) => this.#write(new SeededRandom(seed + index))),
    );
  }

  /** Waits until `count` more writes have been acknowledged. */
  async progress(count: number, deadlineMs = 60_000): Promise<void> {
    const target = this.acknowledged + count;
    this.#allow(target + AHEAD_MAX);
    await waitFor(`${count} more writes`, () => this.acknowledged >= target, { deadlineMs });
  }

  /** Waits until `count` more writes have failed. */
  async failing(count: number): Promise<void> {
    const target = this.failed + count;
    this.#allow(this.acknowledged + AHEAD_MAX);
    await waitFor(`${count} more failed writes`, () => {
      this.#allow(this.acknowledged + AHEAD_MAX);
      return this.failed >= target;
    });
  }

  /** Ends the writing; every write has its answer afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake.resolve();
    await this.#workers;
    for (const client of this.#clients) client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #allow(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async #write(random: SeededRandom): Promise<void> {
    let client = random.pick(this.#clients);
    while (!this.#stopped) {
      if (this.acknowledged >= this.#limit) {
        await this.#wake.promise;
        continue;
      }
      if (random.chance(0.1)) client = random.pick(this.#clients);
      const success = operations(random);
      try {
        await client.unary(KV.method.txn, { success }, { timeoutMs: WRITE_MS });
        this.acknowledged++;
      } catch (error) {
        this.failed++;
        const { message } = error as Error;
        this.failures.set(message, (this.failures.get(message) ?? 0) + 1);
        client = random.pick(this.#clients);
      }
    }
  }
}

/** What one write does: one to five operations on different keys. */
function operations(random: SeededRandom): RequestOp[] {
  const kind = random.fraction();
  if (kind < 0.02) return [put(keyOf(LARGE_GROUP, random.below(KEYS_OF_A_GROUP)), LARGE_VALUE_BYTES, random)];
  if (kind < 0.6) return [put(smallKey(random), 1 + random.below(120), random)];
  if (kind < 0.72) return [remove(smallKey(random))];
  if (kind < 0.78) return [remove(groupPrefix(random.below(GROUPS)), "whole group")];
  const keys = new Set(Array.from({ length: 2 + random.below(4) }, () => smallKey(random)));
  return [...keys].map((key) => (random.chance(0.7) ? put(key, 1 + random.below(40), random) : remove(key)));
}

function smallKey(random: SeededRandom): string {
  return keyOf(random.below(LARGE_GROUP), random.below(KEYS_OF_A_GROUP));
}

function put(key: string, valueBytes: number, random: SeededRandom): RequestOp {
  const value = new Uint8Array(valueBytes).fill(0x61 + random.below(26));
  return create(RequestOpSchema, { request: { case: "requestPut", value: { key: bytes(key), value } } });
}

function remove(key: string, which: "key" | "whole group" = "key"): RequestOp {
  const rangeEnd = which === "key" ? "" : prefixed(key).rangeEnd;
  const value = { key: bytes(key), rangeEnd: bytes(rangeEnd) };
  return create(RequestOpSchema, { request: { case: "requestDeleteRange", value } });
}

/** The last words: each small and each large key is put, then all are deleted. Resolves to the last revision. */
export async function writeSentinels(endpoint: string): Promise<number> {
  using client = new GrpcClient(endpoint);
  const keys = Array.from({ length: GROUPS * KEYS_OF_A_GROUP }, (_, index) =>
    keyOf(Math.floor(index / KEYS_OF_A_GROUP), index % KEYS_OF_A_GROUP),
  );
  const random = new SeededRandom(0);
  const success = keys.map((key) => put(key, 8, random));
  await client.unary(KV.method.txn, { success });
  const all = prefixed("k/");
  const { header } = await client.unary(KV.method.deleteRange, {
    key: bytes(all.key),
    rangeEnd: bytes(all.rangeEnd),
  });
  return Number(header!.revision);
}

/** Puts `count` large values one after the other. */
export async function writeLargeValues(endpoint: string, count: number): Promise<void> {
  using client = new GrpcClient(endpoint);
  const random = new SeededRandom(count);
  for (let index = 0; index < count; index++) {
    const success = [put(keyOf(LARGE_GROUP, index % KEYS_OF_A_GROUP), LARGE_VALUE_BYTES, random)];
    await client.unary(KV.method.txn, { success });
  }
}
