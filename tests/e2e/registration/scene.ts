/** Proxies that register themselves in a real etcd, and what etcdctl tells of them. */
import { hostname } from "node:os";
import type { EtcdCluster } from "../../harness/etcd-cluster.ts";
import { etcdctl } from "../../harness/etcdctl.ts";
import { type EtcdproxyProcess, startProxy } from "../../harness/etcdproxy-process.ts";
import { freePorts } from "../../harness/free-ports.ts";
import { waitFor } from "../../harness/wait-for.ts";

/** The one of etcd's own documentation. */
export const PREFIX = "___grpc_proxy_endpoint";

/** What is in the key of a proxy, byte by byte, as Go's endpoints manager writes it. */
export function valueOf(address: string, name = hostname()): string {
  return String.raw`{"Op":0,"Addr":"${address}","Metadata":"{\"name\":\"${name}\"}"}`;
}

/** A row of etcdctl's table of members, by the heading of each column. */
export type TableRow = Readonly<Record<string, string>>;

/** The row of a proxy, of the columns that the documentation shows. */
export function rowOf(clientUrl: string): TableRow {
  return {
    ID: "0",
    STATUS: "started",
    NAME: hostname(),
    "PEER ADDRS": "",
    "CLIENT ADDRS": clientUrl,
  };
}

/** What `etcdctl member list --write-out table` prints for an endpoint: the columns that the documentation shows. */
export async function memberTable(endpoint: string): Promise<TableRow[]> {
  const { code, stdout, stderr } = await etcdctl([endpoint], ["member", "list", "--write-out", "table"]);
  if (code !== 0) throw new Error(`etcdctl member list failed: ${stderr}`);
  const [headings = [], ...rows] = stdout
    .split("\n")
    .filter((line) => /^[|│]/.test(line))
    .map((line) =>
      line
        .split(/[|│]/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const shown = Object.keys(rowOf(""));
  return rows.map((cells) =>
    Object.fromEntries(shown.map((name) => [name, cells[headings.indexOf(name)] ?? "?"])),
  );
}

/** The client URLs that an endpoint's MemberList tells, in its order. */
export async function listedBy(endpoint: string): Promise<string[]> {
  return (await memberTable(endpoint)).map((row) => row["CLIENT ADDRS"]!);
}

export async function waitListed(endpoint: string, urls: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await waitFor(
    `${endpoint} to list ${urls.join(" and ") || "nobody"}`,
    async () => {
      last = await listedBy(endpoint);
      return Bun.deepEquals(last, urls);
    },
    { intervalMs: 50 },
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}; it lists ${last.join(" and ")}`);
  });
}

/** The flags by which a proxy registers `address`. */
export function registering(address: string, ttlSeconds = 60, prefix = PREFIX): string[] {
  return [`--advertise-client-url=${address}`, `--resolver-prefix=${prefix}`, `--resolver-ttl=${ttlSeconds}`];
}

/** `count` addresses that nobody listens at, in the order of their keys. */
export function freeAddresses(count: number): string[] {
  return freePorts(count)
    .map((port) => `127.0.0.1:${port}`)
    .toSorted();
}

/** Starts a proxy that listens at `address` and registers that; it may not be registered yet. */
export function startRegistering(
  endpoints: readonly string[],
  address: string,
  flags: readonly string[] = registering(address),
): Promise<EtcdproxyProcess> {
  const serving = [`--listen-addr=${address}`, `--endpoints=${endpoints.join(",")}`];
  return startProxy(["grpc-proxy", "start", ...serving, ...flags]);
}

/** What etcd has under the prefix, and its leases. */
export class Registry {
  readonly #cluster: EtcdCluster;
  readonly #flags: readonly string[];

  /** `flags`: those of etcdctl, such as `--user`. */
  constructor(cluster: EtcdCluster, flags: readonly string[] = []) {
    this.#cluster = cluster;
    this.#flags = flags;
  }

  /** etcdctl on the members themselves; its standard output. */
  async run(...rest: string[]): Promise<string> {
    const running = this.#cluster.members.filter((member) => member.running);
    const endpoints = running.map(({ endpoint }) => endpoint);
    const { code, stdout, stderr } = await etcdctl(endpoints, [...this.#flags, ...rest]);
    if (code !== 0) throw new Error(`etcdctl ${rest.join(" ")} failed: ${stderr}`);
    return stdout;
  }

  /** The value behind each key. */
  async keys(prefix = PREFIX): Promise<Record<string, string>> {
    const lines = (await this.run("get", "--prefix", `${prefix}/`)).split("\n");
    return Object.fromEntries(
      lines.slice(0, -1).flatMap((line, at) => (at % 2 === 0 ? [[line, lines[at + 1]!]] : [])),
    );
  }

  /** The ids of all leases, in hexadecimal. */
  async leases(): Promise<string[]> {
    return (await this.run("lease", "list")).split("\n").slice(1, -1);
  }

  /** Waits until exactly these addresses are registered, each as it should be, and each under one lease. */
  async waitWhole(...addresses: string[]): Promise<void> {
    const wanted = Object.fromEntries(addresses.map((address) => [`${PREFIX}/${address}`, valueOf(address)]));
    await waitFor(
      `${addresses.join(" and ") || "nobody"} to be registered, with a lease for each`,
      async () =>
        Bun.deepEquals(await this.keys(), wanted) && (await this.leases()).length === addresses.length,
      { intervalMs: 50 },
    );
  }
}

/** Waits until a proxy says that it is registered, for the `time`th time. */
export async function waitRegistered(proxy: EtcdproxyProcess, time = 1): Promise<void> {
  await waitFor(`a proxy to be registered for the ${time}. time`, () => {
    return proxy.log.filter(({ msg }) => msg === "registered").length >= time;
  });
}
