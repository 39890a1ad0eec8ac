/**
 * A client of Watch that does what a well-written one does, and keeps a history of each of its watches.
 *
 * Its watches share one stream. When that ends with an error it waits until calls are answered again, opens another
 * and goes on from the next revision that it has not seen. It can stop reading for a while, or for ever.
 */
import type { ClientDuplexStream, StatusObject } from "@grpc/grpc-js";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch, type WatchRequest, type WatchResponse } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { WatchHistory } from "./watch-history.ts";
import { createRequest, watchRequest, type WatchPlan } from "./watch-plan.ts";

/** A server that takes longer to answer again is given up. */
const OUTAGE_MAX_MS = 60_000;
const PROBE_MS = 1_000;
/** The `watch_id` of a response that is about all watches of a stream, or about one that was refused. */
const NO_WATCH = -1n;

/** grpc-js waits a second, then ever longer, before it connects again. */
export const RECONNECT_QUICKLY = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 200,
};

export interface WatchClientOptions {
  /** Asks that the stream ends when the member has no leader. */
  readonly requireLeader?: boolean;
  /**
   * Believes answers to progress requests. Those of etcd before 3.4.25 and 3.5.8 may overtake events, so who talks
   * to such a member directly must not.
   */
  readonly trustsProgress?: boolean;
  /** Sends no more requests once its watches are open. */
  readonly halfCloses?: boolean;
  /** How much may come while it does not read; by default some MiB. */
  readonly windowBytes?: number;
}

export class WatchClient implements Disposable {
  readonly histories: WatchHistory[] = [];
  /** What the server did wrong that is about no watch in particular. */
  readonly violations: string[] = [];
  /** How each stream but the present one ended: code and text. */
  readonly ends: string[] = [];
  readonly #client: GrpcClient;
  readonly #options: WatchClientOptions;
  #stream: WatchStream;
  #paused = false;
  #closed = false;
  /** While the server does not answer. */
  #resuming = false;

  /** @param address `host:port` of a member or a proxy. */
  constructor(address: string, options: WatchClientOptions = {}) {
    const window =
      options.windowBytes === undefined ? {} : { "grpc-node.flow_control_window": options.windowBytes };
    this.#client = new GrpcClient(address, { ...RECONNECT_QUICKLY, ...window });
    this.#options = options;
    this.#stream = this.#openStream();
  }

  /** Opens a watch. */
  open(plan: WatchPlan): WatchHistory {
    const history = new WatchHistory(plan);
    this.histories.push(history);
    if (!this.#resuming) this.#stream.create(history);
    return history;
  }

  /** Resolves when the server has confirmed all watches. */
  async opened(): Promise<void> {
    await waitFor("all watches to be created", () => !this.#resuming && this.#stream.unanswered === 0);
    if (this.#options.halfCloses === true) this.#stream.halfClose();
  }

  /** Cancels a watch; its history need not be complete from now on. */
  cancel(history: WatchHistory): void {
    history.givenUp = true;
    if (!this.#resuming) this.#stream.cancel(history);
  }

  /** Asks how far the watches of the stream are. */
  askProgress(): void {
    if (!this.#resuming && this.#options.halfCloses !== true) this.#stream.askProgress();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Reads nothing more until `resume`. */
  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#stream.resume();
  }

  /** Reads nothing ever again; its histories need not be complete. */
  forsake(): void {
    this.pause();
    for (const history of this.histories) history.givenUp = true;
  }

  close(): void {
    this.#closed = true;
    this.#stream.giveUp();
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #openStream(): WatchStream {
    const metadata = this.#options.requireLeader === true ? { hasleader: "true" } : {};
    const call = this.#client.bidirectional(Watch.method.watch, { metadata });
    return new WatchStream(call, {
      trustsProgress: this.#options.trustsProgress !== false,
      wrong: (what) => this.violations.push(what),
      ended: (status) => this.#ended(status),
    });
  }

  #ended(status: StatusObject): void {
    if (this.#closed) return;
    this.ends.push(`${status.code} ${status.details}`);
    void this.#resume();
  }

  async #resume(): Promise<void> {
    this.#resuming = true;
    try {
      await waitFor("the server to answer again", () => this.#closed || this.#answers(), {
        deadlineMs: OUTAGE_MAX_MS,
      });
    } catch (error) {
      this.violations.push(String(error));
      return;
    }
    if (this.#closed) return;
    this.#stream = this.#openStream();
    this.#resuming = false;
    for (const history of this.histories) {
      if (!history.live) continue;
      history.resumed();
      this.#stream.create(history);
    }
    if (this.#options.halfCloses === true) this.#stream.halfClose();
    if (this.#paused) this.#stream.pause();
  }

  async #answers(): Promise<boolean> {
    await this.#client.unary(KV.method.range, { key: Uint8Array.of(0) }, { timeoutMs: PROBE_MS });
    return true;
  }
}

interface StreamOwner {
  readonly trustsProgress: boolean;
  wrong(what: string): void;
  ended(status: StatusObject): void;
}

/** One call of Watch: which watch is meant by which id. */
class WatchStream {
  readonly #call: ClientDuplexStream<WatchRequest, WatchResponse>;
  readonly #owner: StreamOwner;
  /** Sent and not answered yet; answers come in the order of the requests. */
  readonly #asked: WatchHistory[] = [];
  readonly #byId = new Map<bigint, WatchHistory>();

  constructor(call: ClientDuplexStream<WatchRequest, WatchResponse>, owner: StreamOwner) {
    this.#call = call;
    this.#owner = owner;
    call.on("data", (response: WatchResponse) => this.#take(response));
    call.on("error", () => {}); // The status says the same.
    call.on("status", (status: StatusObject) => owner.ended(status));
  }

  get unanswered(): number {
    return this.#asked.length;
  }

  create(history: WatchHistory): void {
    this.#asked.push(history);
    this.#call.write(createRequest(history.plan, history.nextStart));
  }

  cancel(history: WatchHistory): void {
    for (const [watchId, known] of this.#byId) {
      if (known === history) this.#call.write(watchRequest({ case: "cancelRequest", value: { watchId } }));
    }
  }

  askProgress(): void {
    this.#call.write(watchRequest({ case: "progressRequest", value: {} }));
  }

  halfClose(): void {
    this.#call.end();
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  giveUp(): void {
    this.#call.cancel();
  }

  #take(response: WatchResponse): void {
    const { watchId } = response;
    if (response.header === undefined) this.#owner.wrong(`a response without a header for watch ${watchId}`);
    if (response.created) return this.#created(response);
    if (watchId === NO_WATCH) return this.#progress(response);
    const history = this.#byId.get(watchId);
    if (history === undefined) {
      this.#owner.wrong(
        `a response for watch ${watchId}, which is not open: ${response.events.length} events`,
      );
      return;
    }
    history.take(response);
    if (response.canceled) this.#byId.delete(watchId);
  }

  #created(response: WatchResponse): void {
    const { watchId, canceled } = response;
    const history = this.#asked.shift();
    if (history === undefined) return this.#owner.wrong(`created ${watchId}, for which nobody asked`);
    const { watchId: asked = 0 } = history.plan;
    if (asked !== 0 && watchId !== BigInt(asked))
      this.#owner.wrong(`created ${watchId} in place of ${asked}`);
    if (this.#byId.has(watchId)) this.#owner.wrong(`created ${watchId}, which is open already`);
    history.take(response);
    if (!canceled) this.#byId.set(watchId, history);
  }

  #progress(response: WatchResponse): void {
    if (response.canceled || response.events.length > 0) {
      this.#owner.wrong(`events or an end for watch -1: ${response.cancelReason}`);
      return;
    }
    if (!this.#owner.trustsProgress) return;
    // One whose end has been asked for is no longer counted by the server, though that has not said so yet.
    for (const history of this.#byId.values()) {
      if (!history.givenUp) history.progress(Number(response.header?.revision ?? 0));
    }
  }
}
