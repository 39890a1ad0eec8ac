/**
 * What the tests of reads run in: a cluster for each test file, grpc-proxies in front of it with flags of a test's
 * own, gates between the two, and what reading costs the members by their own account.
 */
import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import type { ClientOptions } from "@grpc/grpc-js";
import { type EtcdCluster, startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { ensureBuilt, type EtcdproxyProcess, startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GatedMember } from "./gated-member.ts";
import { ReadClient } from "./read-client.ts";

const START_MS = 120_000;
const STOP_MS = 30_000;
const CASE_MS = 60_000;
const PROBE_MS = 5_000;

/** Cached answers that no test waits for the end of. */
export const LASTING = "--cache-max-age=10m";

/** A grpc-proxy, its clients, and the gates that it was given for members. */
export class Proxied implements AsyncDisposable {
  readonly proxy: EtcdproxyProcess;
  /** What it was given for members, if gates. */
  readonly gates: readonly GatedMember[];
  readonly #stack: AsyncDisposableStack;

  constructor(proxy: EtcdproxyProcess, gates: readonly GatedMember[], stack: AsyncDisposableStack) {
    this.proxy = proxy;
    this.gates = gates;
    this.#stack = stack;
  }

  get gate(): GatedMember {
    const [gate] = this.gates;
    if (gate === undefined) throw new Error("this proxy has no gate");
    return gate;
  }

  /** A client with a connection of its own, closed in the end. */
  connect(metadata: Readonly<Record<string, string>> = {}, options: ClientOptions = {}): ReadClient {
    return this.#stack.use(new ReadClient(this.proxy.address, metadata, options));
  }

  /** `count` clients, each connected. */
  async connectMany(count: number): Promise<ReadClient[]> {
    const clients = Array.from({ length: count }, () => this.connect());
    await Promise.all(clients.map((client) => client.barrier()));
    return clients;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** The cluster of one test file, there from the first test on. */
export class ReadsFixture {
  #cluster: EtcdCluster | null = null;
  #direct: ReadClient | null = null;

  get cluster(): EtcdCluster {
    if (this.#cluster === null) throw new Error("the cluster is there from the first test on, not before");
    return this.#cluster;
  }

  /** A client of the first member itself. */
  get direct(): ReadClient {
    if (this.#direct === null) throw new Error("the cluster is there from the first test on, not before");
    return this.#direct;
  }

  async start(members: 1 | 3): Promise<void> {
    // Cheap passwords: no user has a secret.
    const flags = ["--bcrypt-cost=4"];
    [this.#cluster] = await Promise.all([startEtcdCluster({ members, flags }), ensureBuilt()]);
    this.#direct = new ReadClient(this.#cluster.member(0).endpoint);
  }

  async stop(): Promise<void> {
    this.#direct?.[Symbol.dispose]();
    await this.#cluster?.dispose();
  }

  /** A grpc-proxy in front of all members. */
  async proxied(flags: readonly string[] = []): Promise<Proxied> {
    const stack = new AsyncDisposableStack();
    const proxy = stack.use(await startGrpcProxy(this.cluster.endpoints, flags));
    return new Proxied(proxy, [], stack);
  }

  /** A grpc-proxy that takes `count` gates in front of the first member for members. */
  async gated(flags: readonly string[] = [], count = 1): Promise<Proxied> {
    const stack = new AsyncDisposableStack();
    try {
      const gates: GatedMember[] = [];
      while (gates.length < count) {
        gates.push(stack.use(await GatedMember.start(this.cluster.member(0).endpoint)));
      }
      const endpoints = gates.map(({ endpoint }) => endpoint);
      const proxy = stack.use(await startGrpcProxy(endpoints, flags));
      return new Proxied(proxy, gates, stack);
    } catch (error) {
      await stack.disposeAsync();
      throw error;
    }
  }

  /** Calls of a method that the members have begun until now. */
  async started(method = "Range"): Promise<number> {
    const counts = await Promise.all(
      this.cluster.members
        .filter(({ running }) => running)
        .map(({ endpoint }) => startedAt(endpoint, method)),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** How many calls of a method the members begin while `run` runs. */
  async cost(run: () => Promise<unknown>, method = "Range"): Promise<number> {
    const before = await this.started(method);
    await run();
    return (await this.started(method)) - before;
  }
}

async function startedAt(endpoint: string, method: string): Promise<number> {
  const signal = AbortSignal.timeout(PROBE_MS);
  const answer = await fetch(`http://${endpoint}/metrics`, { signal, keepalive: false });
  const line = new RegExp(`^grpc_server_started_total\\{(?:.*,)?grpc_method="${method}".*\\} (\\S+)$`, "m");
  const match = line.exec(await answer.text());
  if (match === null) throw new Error(`${endpoint} does not count calls of ${method}`);
  return Number(match[1]);
}

/** Starts a cluster before the first test of this file, and stops it after the last. */
export function useReads(members: 1 | 3 = 1): ReadsFixture {
  setDefaultTimeout(CASE_MS);
  const fixture = new ReadsFixture();
  beforeAll(() => fixture.start(members), START_MS);
  afterAll(() => fixture.stop(), STOP_MS);
  return fixture;
}
