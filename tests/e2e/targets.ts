/**
 * The end-to-end suite's three targets: a real cluster itself, and our two products in front of it.
 *
 * One cluster for each test file, of three members unless it asks for one, started once. A case is registered for all targets and must
 * pass on `direct` first; one that cannot hold through a proxy is left out there and says why in its name.
 */
import { afterAll, beforeAll, setDefaultTimeout, test } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import {
  ensureBuilt,
  type EtcdproxyProcess,
  startGateway,
  startGrpcProxy,
} from "../harness/etcdproxy-process.ts";

export type TargetName = "direct" | "gateway" | "grpcProxy";

const TARGET_NAMES: readonly TargetName[] = ["direct", "gateway", "grpcProxy"];

const START_MS = 120_000;
const STOP_MS = 30_000;
/** A case that has not ended by then hangs. */
const CASE_MS = 60_000;

/** Where a client connects to. */
export interface Target {
  readonly name: TargetName;
  /** `host:port` of all there is to connect to: every member, or the one proxy. */
  readonly endpoints: readonly string[];
  /** The first of `endpoints`. */
  readonly address: string;
}

/** A case that does not hold on one target. */
export interface Exception {
  readonly target: TargetName;
  readonly why: string;
}

export interface CaseOptions {
  readonly except?: Exception;
  readonly timeoutMs?: number;
}

export interface TargetsOptions {
  /** Further flags for the grpc-proxy. */
  readonly grpcProxyFlags?: readonly string[];
  /** 3 when absent. */
  readonly members?: 1 | 3;
  /** Further flags for every member. */
  readonly memberFlags?: readonly string[];
  /** Members that the proxies are given, by index; all when absent. */
  readonly proxiedMembers?: readonly number[];
}

/** The targets of one test file, there from the first test on. */
export class Targets {
  #cluster: EtcdCluster | null = null;
  #gateway: EtcdproxyProcess | null = null;
  #grpcProxy: EtcdproxyProcess | null = null;

  get cluster(): EtcdCluster {
    return started(this.#cluster);
  }

  get gateway(): EtcdproxyProcess {
    return started(this.#gateway);
  }

  get grpcProxy(): EtcdproxyProcess {
    return started(this.#grpcProxy);
  }

  target(name: TargetName): Target {
    const endpoints = this.#endpoints(name);
    return { name, endpoints, address: endpoints[0]! };
  }

  async start(options: TargetsOptions): Promise<void> {
    const { members = 3, memberFlags: flags = [] } = options;
    const [cluster] = await Promise.all([startEtcdCluster({ members, flags }), ensureBuilt()]);
    this.#cluster = cluster;
    const proxied = options.proxiedMembers?.map((index) => cluster.member(index).endpoint);
    const endpoints = proxied ?? cluster.endpoints;
    this.#gateway = await startGateway(endpoints);
    this.#grpcProxy = await startGrpcProxy(endpoints, options.grpcProxyFlags);
  }

  async stop(): Promise<void> {
    await this.#gateway?.[Symbol.asyncDispose]();
    await this.#grpcProxy?.[Symbol.asyncDispose]();
    await this.#cluster?.dispose();
  }

  #endpoints(name: TargetName): readonly string[] {
    switch (name) {
      case "direct":
        return this.cluster.endpoints;
      case "gateway":
        return [this.gateway.address];
      case "grpcProxy":
        return [this.grpcProxy.address];
    }
  }
}

function started<Part>(part: Part | null): Part {
  if (part === null) throw new Error("the targets are there from the first test on, not before");
  return part;
}

/** Starts the targets before the first test of this file, and stops them after the last. */
export function useTargets(options: TargetsOptions = {}): Targets {
  setDefaultTimeout(CASE_MS);
  const targets = new Targets();
  beforeAll(() => targets.start(options), START_MS);
  afterAll(() => targets.stop(), STOP_MS);
  return targets;
}

/** Registers cases for all targets. */
export type EachTarget = (
  name: string,
  run: (target: Target) => Promise<void>,
  options?: CaseOptions,
) => void;

/** Makes the function that registers a case for each of `targets`. */
export function eachTargetOf(targets: Targets): EachTarget {
  return (name, run, { except, timeoutMs } = {}) => {
    const note = except === undefined ? "" : ` (not through ${except.target}: ${except.why})`;
    for (const target of TARGET_NAMES) {
      if (target === except?.target) continue;
      test(`${target}: ${name}${note}`, () => run(targets.target(target)), timeoutMs);
    }
  };
}
