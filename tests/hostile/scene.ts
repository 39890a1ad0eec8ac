/**
 * What all attack tests share: a real etcd, the compiled proxy in front of it, an honest client beside the attacker.
 *
 * An attack is judged by what an operator would see: the honest client's answers stay right and come about as fast as
 * before, the process's memory stays below a bound, the log names the limit and the attacker's address, and the process
 * serves when it is over.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { forgetPeak, MIB, peakBytes } from "../faults/memory.ts";
import { BareClient } from "../faults/bare-client.ts";
import { startEtcdCluster, type EtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, type LogEntry, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { concat, PREFACE, settings } from "../http2/frames.ts";
import { HonestClient, type Tally } from "./honest.ts";

const ROUNDS_BEFORE = 50;
/**
 * How many times slower than before the honest client's usual round may be during an attack. The attacker and the honest
 * client share two cores with the proxy and etcd, so most of it is not the proxy's.
 */
const SLOWER_MAX = 50;
/** Below this a round is quick, in milliseconds: what is lost in a machine's noise is no slowness. */
const QUICK_MS = 40;

/** How far apart two lines about one limit are, in milliseconds, and a little more. */
const LINE_INTERVAL_MS = 1200;

export interface SceneOptions {
  /** Further flags for the proxy. */
  readonly flags?: readonly string[];
}

export interface AttackOptions {
  /** The limit that is to be reached: then there is room for a line about it in the log. */
  readonly limit?: string;
  /** How much the process may grow at most, in bytes. */
  readonly growthBytesMax?: number;
}

export class Scene {
  #cluster: EtcdCluster | null = null;
  #proxy: EtcdproxyProcess | null = null;
  #honest: HonestClient | null = null;
  readonly #linesSeen = new Map<string, { readonly lines: number; readonly atMs: number }>();

  async start(options: SceneOptions): Promise<void> {
    this.#cluster = await startEtcdCluster({ members: 1 });
    this.#proxy = await startGrpcProxy(this.#cluster.endpoints, options.flags);
    this.#honest = new HonestClient(this.#proxy.address);
    await this.#honest.undisturbed(ROUNDS_BEFORE);
  }

  async stop(): Promise<void> {
    await this.#honest?.[Symbol.asyncDispose]();
    await this.#proxy?.[Symbol.asyncDispose]();
    await this.#cluster?.dispose();
  }

  get proxy(): EtcdproxyProcess {
    return started(this.#proxy);
  }

  get honest(): HonestClient {
    return started(this.#honest);
  }

  get cluster(): EtcdCluster {
    return started(this.#cluster);
  }

  /** A client that has said nothing yet. */
  connect(): Promise<BareClient> {
    return BareClient.connect(this.proxy.address);
  }

  /** A client that has begun HTTP/2, with `entries` as its SETTINGS. */
  async http2(...entries: readonly (readonly [id: number, value: number])[]): Promise<BareClient> {
    const client = await this.connect();
    client.send(concat([PREFACE, settings(...entries)]));
    return client;
  }

  /**
   * Runs an attack beside the honest client. The process must bear it, and the honest client must hardly notice.
   *
   * @returns how the honest client's rounds went meanwhile
   */
  async attack(attack: () => Promise<void>, options: AttackOptions = {}): Promise<Tally> {
    const { proxy, honest } = this;
    if (options.limit !== undefined) await this.#roomForLine(options.limit);
    const before = await honest.undisturbed(ROUNDS_BEFORE);
    const beforeBytes = forgetPeak(proxy.pid);
    await attack();
    const meanwhile = await honest.tally();
    const grownBytes = peakBytes(proxy.pid) - beforeBytes;
    expect(proxy.running).toBe(true);
    expect([...before.failures, ...meanwhile.failures]).toEqual([]);
    if (meanwhile.rounds > 0) {
      expect(meanwhile.medianMs).toBeLessThan(Math.max(QUICK_MS, before.medianMs) * SLOWER_MAX);
    }
    expect(grownBytes).toBeLessThan(options.growthBytesMax ?? 96 * MIB);
    await this.serves();
    expect((await honest.undisturbed(1)).failures).toEqual([]);
    return meanwhile;
  }

  /** The line that says that `client` has reached `limit`. */
  limitLine(limit: string, client: { readonly address: string }): Promise<LogEntry> {
    return waitFor(`the line about ${limit} with the peer ${client.address}`, () =>
      this.limitLines(limit).find(({ peer }) => peer === client.address),
    );
  }

  /** There is one line a second about each limit. */
  async #roomForLine(limit: string): Promise<void> {
    const lines = this.limitLines(limit).length;
    if (lines === (this.#linesSeen.get(limit)?.lines ?? 0)) return;
    this.#linesSeen.set(limit, { lines, atMs: performance.now() });
    await waitFor(
      `room for a line about ${limit}`,
      () => performance.now() - this.#linesSeen.get(limit)!.atMs > LINE_INTERVAL_MS,
    );
  }

  /** The lines about a limit that clients have reached. */
  limitLines(limit: string): LogEntry[] {
    return this.proxy.log.filter(
      (entry) => entry.msg === "a client reached a limit" && entry["limit"] === limit,
    );
  }

  /** A fresh client is served. */
  async serves(): Promise<void> {
    using client = new GrpcClient(this.proxy.address);
    await client.unary(KV.method.range, { key: new TextEncoder().encode("k") });
  }
}

function started<Part>(part: Part | null): Part {
  if (part === null) throw new Error("the scene has not started");
  return part;
}

/** The scene of one test file, there from the first test on. */
export function useScene(options: SceneOptions = {}): Scene {
  const scene = new Scene();
  setDefaultTimeout(90_000);
  beforeAll(() => scene.start(options), 120_000);
  afterAll(() => scene.stop(), 30_000);
  return scene;
}
