/**
 * Two etcds of one member each, with the same history: one that is asked directly, and one that is asked through the
 * compiled grpc-proxy only. What one answers the other answers too, revisions included.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { StatusObject } from "@grpc/grpc-js";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease, LeaseGrantRequestSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient, methodPath } from "../harness/grpc-client.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";

/** Leases that both have. */
const LEASES = [1n, 2n];
const LEASE_TTL_S = 3_600n;
export const ALL_KEYS = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** What came of a unary call. */
export interface Answer {
  readonly code: number;
  readonly text: string;
  /** Null unless the code is OK. */
  readonly message: Uint8Array | null;
}

/** What a stream's reader makes of an answer: a line to compare, or null; and whether it is the last of interest. */
export type ReadAnswer = (answer: Uint8Array) => { line: string | null; isLast: boolean };

export class TwinEtcds implements AsyncDisposable {
  readonly proxy: EtcdproxyProcess;
  readonly #clusters: readonly [asked: EtcdCluster, proxied: EtcdCluster];
  readonly #clients: readonly [direct: GrpcClient, proxied: GrpcClient];

  private constructor(clusters: readonly [EtcdCluster, EtcdCluster], proxy: EtcdproxyProcess) {
    this.#clusters = clusters;
    this.proxy = proxy;
    this.#clients = [new GrpcClient(clusters[0].member(0).endpoint), new GrpcClient(proxy.address)];
  }

  static async start(): Promise<TwinEtcds> {
    const clusters = await Promise.all([startEtcdCluster({ members: 1 }), startEtcdCluster({ members: 1 })]);
    return new TwinEtcds(clusters, await startGrpcProxy(clusters[1].endpoints, ["--advertise-client-url="]));
  }

  /** Calls a unary method with raw bytes, directly and through the proxy. */
  both(path: string, request: Uint8Array): Promise<[theirs: Answer, ours: Answer]> {
    const [direct, proxied] = this.#clients;
    return Promise.all([call(direct, path, request), call(proxied, path, request)]);
  }

  /** What a stream says to `requests`, directly and through the proxy, until the last answer of interest or the status. */
  bothStreams(
    path: string,
    requests: readonly Uint8Array[],
    read: ReadAnswer,
  ): Promise<[theirs: string[], ours: string[]]> {
    const [direct, proxied] = this.#clients;
    return Promise.all([streamed(direct, path, requests, read), streamed(proxied, path, requests, read)]);
  }

  /** Deletes all keys, and grants the leases that are gone. */
  async startAfresh(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.unary(KV.method.deleteRange, ALL_KEYS)));
    for (const ID of LEASES) {
      const request = create(LeaseGrantRequestSchema, { ID, TTL: LEASE_TTL_S });
      await this.both(methodPath(Lease.method.leaseGrant), toBinary(LeaseGrantRequestSchema, request));
    }
  }

  /** Whether the etcd that is asked directly has ended: no proxy had a part in that. */
  async directEnded(): Promise<boolean> {
    const member = this.#clusters[0].member(0);
    try {
      await member.status();
      return false;
    } catch {
      return await waitFor("an etcd that does not answer to end", () => !member.running);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.proxy[Symbol.asyncDispose]();
    await Promise.all(this.#clusters.map((cluster) => cluster.dispose()));
  }
}

async function call(client: GrpcClient, path: string, request: Uint8Array): Promise<Answer> {
  try {
    const { message } = await client.callBytes(path, request);
    return { code: 0, text: "", message };
  } catch (error) {
    if (!(error instanceof Error && "code" in error && "details" in error)) throw error;
    return { code: Number(error.code), text: String(error.details), message: null };
  }
}

async function streamed(
  client: GrpcClient,
  path: string,
  requests: readonly Uint8Array[],
  read: ReadAnswer,
): Promise<string[]> {
  const said: string[] = [];
  const stream = client.bidirectionalBytes(path);
  const over = new Promise<string[]>((resolve) => {
    stream.on("data", (answer: Uint8Array) => {
      const { line, isLast } = read(answer);
      if (line !== null) said.push(line);
      if (isLast) resolve([...said]);
    });
    stream.on("error", () => {}); // Its status says the same.
    // Whether etcd still says what it has to say before it ends a stream is a matter of chance.
    stream.on("status", ({ code }: StatusObject) => resolve([`status ${code}`]));
    for (const message of requests) stream.write(message);
  });
  try {
    return await withDeadline(over, () => `the last answer of ${path}`);
  } finally {
    stream.cancel();
  }
}
