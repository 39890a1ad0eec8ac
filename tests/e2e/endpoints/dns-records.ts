/** Records as dnsmasq takes them, for members that listen on loopback. */
import type { EtcdproxyProcess } from "../../harness/etcdproxy-process.ts";

/** `host:port` → its port. */
export function portOf(endpoint: string): string {
  return endpoint.slice(endpoint.lastIndexOf(":") + 1);
}

/** An SRV record of `_etcd-client._tcp` or `_etcd-client-ssl._tcp` of `domain`, and the address of its target. */
export function member(
  service: "etcd-client" | "etcd-client-ssl",
  domain: string,
  host: string,
  endpoint: string,
): string[] {
  return [
    `--srv-host=_${service}._tcp.${domain},${host}.${domain},${portOf(endpoint)},0,0`,
    `--host-record=${host}.${domain},127.0.0.1`,
  ];
}

/** Waits for the log line that tells of these endpoints as added and removed. */
export async function changed(
  proxy: EtcdproxyProcess,
  { added = [], removed = [] }: { added?: readonly string[]; removed?: readonly string[] },
): Promise<void> {
  await proxy.loggedWhere(
    `endpoints that have changed: added ${added.join()}, removed ${removed.join()}`,
    (entry) =>
      entry.msg === "the endpoints have changed" &&
      same(entry["added"], added) &&
      same(entry["removed"], removed),
  );
}

function same(logged: unknown, names: readonly string[]): boolean {
  return Array.isArray(logged) && logged.map(String).toSorted().join() === names.toSorted().join();
}
