/**
 * A proxy between clients and two members: one that means harm, which it uses first, and a real etcd, which it is to
 * find when it has had enough of the other.
 */
import { readFileSync } from "node:fs";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import type { EtcdCluster } from "../harness/etcd-cluster.ts";
import { startGrpcProxy, type EtcdproxyProcess, type LogEntry } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { TcpRelay } from "../harness/tcp-relay.ts";
import { waitFor } from "../harness/wait-for.ts";
import { forgetPeak, peakBytes } from "../faults/memory.ts";
import { HostileMember, type Script } from "./hostile-member.ts";

/** Clock ticks of /proc in a second, on every Linux. */
const TICKS_PER_SECOND = 100;

export class HostileScene implements AsyncDisposable {
  readonly member: HostileMember;
  readonly proxy: EtcdproxyProcess;
  readonly client: GrpcClient;
  /** Resident memory before anything happened, in bytes. */
  readonly restingBytes: number;
  readonly #rescue: TcpRelay;

  private constructor(member: HostileMember, rescue: TcpRelay, proxy: EtcdproxyProcess) {
    this.member = member;
    this.#rescue = rescue;
    this.proxy = proxy;
    this.client = new GrpcClient(proxy.address);
    this.restingBytes = forgetPeak(proxy.pid);
  }

  /** Starts a proxy that has dialled a member with this script; then etcd can be reached, unless it is `alone`. */
  static async start(
    cluster: EtcdCluster,
    script: Script = {},
    flags: readonly string[] = [],
    alone = false,
  ): Promise<HostileScene> {
    const member = new HostileMember(script);
    const rescue = new TcpRelay(cluster.endpoints[0]!);
    rescue.refuse();
    try {
      // Without checks, which would find the member out before clients' calls meet what it does.
      const proxy = await startGrpcProxy(
        [member.endpoint, rescue.endpoint],
        ["--health-check-interval=0", ...flags],
      );
      await member.connected();
      if (!alone) rescue.pass();
      return new HostileScene(member, rescue, proxy);
    } catch (error) {
      member[Symbol.dispose]();
      rescue[Symbol.dispose]();
      throw error;
    }
  }

  /** From now on etcd can be reached. */
  rescue(): void {
    this.#rescue.pass();
  }

  /** Waits for the line that tells that the member has reached the limit; holds its counter against it. */
  async limitReached(limit: string): Promise<LogEntry> {
    const line = await waitFor(`the line of the limit ${limit}`, () =>
      this.proxy.log.find(
        (entry) =>
          entry.msg === "a member reached a limit" &&
          entry["limit"] === limit &&
          this.isMember(entry["peer"]),
      ),
    );
    const page = await (await fetch(`http://${this.proxy.address}/proxy/metrics`)).text();
    const counter = `etcdproxy_limits_reached_total{side="member",limit="${limit}"} `;
    if (!page.includes(counter)) throw new Error(`the metrics do not have ${counter}`);
    return line;
  }

  isMember(peer: unknown): boolean {
    return peer === this.member.endpoint;
  }

  /** A client writes and reads through the proxy, at etcd: nothing the hostile member could have answered. */
  async served(): Promise<void> {
    const key = new TextEncoder().encode("served");
    const value = new TextEncoder().encode(crypto.randomUUID());
    await waitFor("a client to be served by etcd", async () => {
      await this.client.unary(KV.method.put, { key, value }, { timeoutMs: 10_000 });
      const { kvs } = await this.client.unary(KV.method.range, { key }, { timeoutMs: 10_000 });
      return Buffer.from(kvs[0]?.value ?? []).equals(value);
    });
  }

  /** What the process has held at most above where it began, in bytes. */
  get peakGrowthBytes(): number {
    return peakBytes(this.proxy.pid) - this.restingBytes;
  }

  /** CPU time that the process has used, in seconds. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.proxy.pid}/stat`, "utf8");
    const [, , , , , , , , , , , userTicks = "0", systemTicks = "0"] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ");
    return (Number(userTicks) + Number(systemTicks)) / TICKS_PER_SECOND;
  }

  /** What went wrong in the process itself: nothing a peer does may come up as one of these lines. */
  get ownFaults(): readonly LogEntry[] {
    return this.proxy.log.filter(({ level }) => level === "error" || level === "fatal");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.proxy[Symbol.asyncDispose]();
    this.member[Symbol.dispose]();
    this.#rescue[Symbol.dispose]();
  }
}
