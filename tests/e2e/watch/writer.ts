/**
 * A client that writes, and knows what a watch must be told of it.
 *
 * Each change is noted with the revision that etcd answered, so what a watch of any range, from any revision, with
 * any options has to see is known without asking another watch. Holds for keys that nobody else writes.
 */
import { KV, type TxnResponse } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import type { GrpcClient } from "../../harness/grpc-client.ts";
import { bytes } from "../methods/side.ts";
import type { ChangeKind, WatchedRange } from "./watch-stream.ts";
import { describedChange } from "./watch-stream.ts";

interface Change {
  readonly kind: ChangeKind;
  readonly key: string;
  readonly value: string;
  readonly revision: bigint;
}

/** Which of the changes a watch is to be told of, and how. */
export interface Expectation {
  /** The first revision; all of them when absent. */
  readonly from?: bigint;
  /** The last revision; all of them when absent. */
  readonly upTo?: bigint;
  readonly prevKv?: boolean;
  /** The kinds that a filter leaves out. */
  readonly without?: readonly ChangeKind[];
}

export class Writer {
  readonly #client: GrpcClient;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #changes: Change[] = [];

  /** @param metadata sent with each write: a token. */
  constructor(client: GrpcClient, metadata: Readonly<Record<string, string>> = {}) {
    this.#client = client;
    this.#metadata = metadata;
  }

  /** Puts a pair; resolves to the revision once it is acknowledged. */
  put(key: string, value: string): Promise<bigint> {
    return this.txn([[key, value]]);
  }

  /** Puts `count` pairs `<prefix><index>` one after another; resolves to the last revision. */
  async putMany(prefix: string, count: number, value = "v"): Promise<bigint> {
    let revision = 0n;
    for (let index = 0; index < count; index++) revision = await this.put(`${prefix}${index}`, value);
    return revision;
  }

  /** Deletes a key that is there; resolves to the revision. */
  delete(key: string): Promise<bigint> {
    return this.txn([], [key]);
  }

  /** Puts pairs and deletes keys that are there, all in one revision. */
  async txn(
    puts: readonly (readonly [string, string])[],
    deletions: readonly string[] = [],
  ): Promise<bigint> {
    const success = [
      ...puts.map(([key, value]) => ({
        request: { case: "requestPut" as const, value: { key: bytes(key), value: bytes(value) } },
      })),
      ...deletions.map((key) => ({
        request: { case: "requestDeleteRange" as const, value: { key: bytes(key) } },
      })),
    ];
    const answer = await this.#client.unary(KV.method.txn, { success }, { metadata: this.#metadata });
    const revision = this.#acknowledged(answer, puts.length + deletions.length);
    for (const [key, value] of puts) this.#changes.push({ kind: "put", key, value, revision });
    for (const key of deletions) this.#changes.push({ kind: "delete", key, value: "", revision });
    return revision;
  }

  /** Described, in order: what a watch of `range` must be told of all that was written until now. */
  expected(range: WatchedRange, expectation: Expectation = {}): string[] {
    const { from = 0n, upTo, prevKv = false, without = [] } = expectation;
    const values = new Map<string, string>();
    const told: string[] = [];
    // Stable: the changes of one revision stay in the order of the request.
    for (const change of this.#changes.toSorted((one, other) => Number(one.revision - other.revision))) {
      const { kind, key, value, revision } = change;
      const previous = values.get(key);
      if (kind === "put") values.set(key, value);
      else values.delete(key);
      if (revision < from || (upTo !== undefined && revision > upTo)) continue;
      if (without.includes(kind) || !contains(range, key)) continue;
      told.push(describedChange(kind, key, value, revision, prevKv ? previous : undefined));
    }
    return told;
  }

  #acknowledged({ header, responses }: TxnResponse, count: number): bigint {
    if (header === undefined || responses.length !== count) {
      throw new Error(`a txn of ${count} changes was answered with ${responses.length} results`);
    }
    for (const { response } of responses) {
      if (response.case === "responseDeleteRange" && response.value.deleted !== 1n) {
        throw new Error("a key that the test deletes was not there");
      }
    }
    return header.revision;
  }
}

function contains({ key, rangeEnd = "" }: WatchedRange, candidate: string): boolean {
  if (rangeEnd === "") return candidate === key;
  return candidate >= key && (rangeEnd === "\0" || candidate < rangeEnd);
}

/** Somebody who puts one key over and over, one put at a time, until disposed of. */
export class BusyWriter implements AsyncDisposable {
  #stopped = false;
  readonly #writing: Promise<void>;

  constructor(client: GrpcClient, key: string) {
    this.#writing = this.#write(new Writer(client), key);
  }

  async #write(writer: Writer, key: string): Promise<void> {
    for (let count = 0; !this.#stopped; count++) await writer.put(key, String(count));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }
}
