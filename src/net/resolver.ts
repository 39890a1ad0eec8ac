/**
 * DNS lookups: SRV records of a service, addresses of a host.
 *
 * Stands between node:dns and those who discover or dial endpoints. Each lookup makes a resolver of its own,
 * because one that lives on keeps the name servers of its first day, however /etc/resolv.conf changes.
 * "There is no such record" is an answer (an empty list); only a lookup that brought no answer throws.
 */
import { lookup, Resolver } from "node:dns/promises";
import { NameServerProbe } from "./name-server-probe.ts";

/** One SRV record (RFC 2782), as received: the answer's order means nothing. */
export interface SrvRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly hostname: string;
}

export interface DnsResolver {
  /** The SRV records of a name such as `_etcd-client._tcp.example.com`. Throws `DnsError`. */
  srv(name: string): Promise<readonly SrvRecord[]>;
  /** The IPv4 and IPv6 addresses of a host name, in the order to try them. Throws `DnsError`. */
  addresses(hostname: string): Promise<readonly string[]>;
}

export interface ResolverOptions {
  /** Name servers as `address:port`; without it those of the system, and its hosts file too. */
  readonly servers?: readonly string[];
  /** How long each name server may take for an answer. */
  readonly timeoutMs?: number;
  /** How often all name servers are asked before the lookup fails. */
  readonly tries?: number;
}

/** A lookup brought no answer: the name server is unreachable, refuses, or fails. */
export class DnsError extends Error {
  override readonly name = "DnsError";
  /** The resolver's code, such as ETIMEOUT or ESERVFAIL. */
  readonly code: string;

  constructor(name: string, code: string, cause: unknown) {
    super(`the DNS lookup of ${name} failed (${code})`, { cause });
    this.code = code;
  }
}

const TIMEOUT_MS = 2_000;
const TRIES = 2;

export function createResolver(options: ResolverOptions = {}): DnsResolver {
  const { servers, timeoutMs = TIMEOUT_MS, tries = TRIES } = options;
  const fresh = (): Resolver => {
    const resolver = new Resolver({ timeout: timeoutMs, tries });
    if (servers !== undefined) resolver.setServers(servers);
    return resolver;
  };
  const probe = new NameServerProbe(() => servers ?? fresh().getServers());
  const requireServer = async (name: string): Promise<void> => {
    if (await probe.allRefuse()) throw new DnsError(name, "ECONNREFUSED", undefined);
  };
  return {
    async srv(name) {
      await requireServer(name);
      const records = await answer(name, fresh().resolveSrv(name));
      return records.map(({ priority, weight, port, name: hostname }) => ({
        priority,
        weight,
        port,
        hostname,
      }));
    },
    async addresses(hostname) {
      // Nobody's name server is asked for it (RFC 6761 §6.3).
      if (servers !== undefined && /(^|\.)localhost\.?$/i.test(hostname)) return ["127.0.0.1", "::1"];
      if (servers === undefined) {
        const found = await answer(hostname, lookup(hostname, { all: true }));
        return found.map(({ address }) => address);
      }
      await requireServer(hostname);
      const resolver = fresh();
      const [ipv4, ipv6] = await Promise.allSettled([
        answer(hostname, resolver.resolve4(hostname)),
        answer(hostname, resolver.resolve6(hostname)),
      ]);
      const found = [ipv4, ipv6].flatMap((result) => (result.status === "fulfilled" ? result.value : []));
      if (found.length === 0 && ipv4.status === "rejected") throw ipv4.reason;
      return found;
    },
  };
}

/** An empty list where the name server says that there is no such name or record. */
async function answer<Item>(name: string, lookedUp: Promise<Item[]>): Promise<Item[]> {
  try {
    return await lookedUp;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    if (code === "ENOTFOUND" || code === "ENODATA") return [];
    throw new DnsError(name, code, error);
  }
}
