/**
 * Clients that read and write all the time while members fail, and an account of what they were told.
 *
 * Each write has a key of its own and is sent once, never again; the account can then be settled against what the
 * cluster holds.
 */
import { expect } from "bun:test";
import type { ClientOptions } from "@grpc/grpc-js";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { bytes } from "./methods/side.ts";

const UNAVAILABLE = 14;
/** Within this many milliseconds each call of the load has an answer. */
const CALL_MS = 20_000;

export interface Failure {
  readonly code: number;
  readonly details: string;
}

export class Load implements AsyncDisposable {
  readonly readFailures: Failure[] = [];
  readonly writeFailures: Failure[] = [];
  reads = 0;
  /** Keys whose write was acknowledged. */
  readonly acknowledged: string[] = [];
  /** Keys whose write failed: it may have run, once. */
  readonly uncertain: string[] = [];
  readonly #prefix: string;
  readonly #clients: readonly GrpcClient[];
  #stopped = false;
  readonly #workers: Promise<unknown>;

  /**
   * Starts `clients` readers and as many writers against `address`.
   *
   * @param options further options of their grpc-js channels.
   */
  constructor(address: string, prefix: string, clients: number, options: ClientOptions = {}) {
    this.#prefix = prefix;
    this.#clients = Array.from(
      { length: clients },
      () => new GrpcClient(address, { ...RECONNECT_QUICKLY, ...options }),
    );
    this.#workers = Promise.all(
      this.#clients.flatMap((client, index) => [this.#read(client), this.#write(client, index)]),
    );
  }

  /** Waits until `count` more reads and writes have succeeded than now. */
  async progress(count: number): Promise<void> {
    const { reads } = this;
    const writes = this.acknowledged.length;
    await waitFor(`${count} more reads and writes`, () => {
      return this.reads >= reads + count && this.acknowledged.length >= writes + count;
    });
  }

  /** Ends the load; every call has its answer afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#workers;
    for (const client of this.#clients) client.close();
  }

  /** Each acknowledged write is there, and no write ran twice. */
  async settle(directly: GrpcClient): Promise<void> {
    const { kvs } = await directly.unary(KV.method.range, {
      key: bytes(`${this.#prefix}/`),
      rangeEnd: bytes(`${this.#prefix}0`),
    });
    const versions = new Map(kvs.map(({ key, version }) => [Buffer.from(key).toString(), version]));
    expect(this.acknowledged.filter((key) => !versions.has(key))).toEqual([]);
    expect([...versions].filter(([, version]) => version !== 1n)).toEqual([]);
    const known = new Set([...this.acknowledged, ...this.uncertain]);
    expect([...versions.keys()].filter((key) => !known.has(key))).toEqual([]);
  }

  async #read(client: GrpcClient): Promise<void> {
    while (!this.#stopped) await this.#readOnce(client);
  }

  async #write(client: GrpcClient, index: number): Promise<void> {
    for (let count = 0; !this.#stopped; count++) {
      const key = `${this.#prefix}/${index}/${count}`;
      try {
        await client.unary(KV.method.put, { key: bytes(key) }, { timeoutMs: CALL_MS });
        this.acknowledged.push(key);
      } catch (error) {
        this.uncertain.push(key);
        this.writeFailures.push(failureOf(error));
        await this.#answeredAgain(client);
      }
    }
  }

  async #readOnce(client: GrpcClient): Promise<void> {
    try {
      await client.unary(KV.method.range, { key: bytes(this.#prefix) }, { timeoutMs: CALL_MS });
      this.reads++;
    } catch (error) {
      this.readFailures.push(failureOf(error));
      await this.#answeredAgain(client);
    }
  }

  /** One whose call failed at once asks now and then until it is answered: it would do nothing but fail. */
  async #answeredAgain(client: GrpcClient): Promise<void> {
    await waitFor("an answer", async () => {
      if (this.#stopped) return true;
      try {
        await client.unary(KV.method.range, { key: bytes(this.#prefix) }, { timeoutMs: CALL_MS });
        return true;
      } catch (error) {
        this.readFailures.push(failureOf(error));
        return false;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** grpc-js waits a second, then ever longer, before it connects again. */
const RECONNECT_QUICKLY = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 200,
};

/** The failures that no client is to see: any but UNAVAILABLE. */
export function beyondUnavailable(failures: readonly Failure[]): Failure[] {
  return failures.filter(({ code }) => code !== UNAVAILABLE);
}

function failureOf(error: unknown): Failure {
  const { code, details } = error as Failure;
  return { code, details };
}
