/**
 * Endpoints from DNS: the SRV records of `_etcd-client-ssl._tcp` and `_etcd-client._tcp` of a domain.
 *
 * Stands between the resolver and the choice of endpoints. Whoever can forge DNS answers can name members of their
 * own, so records that promise TLS count only once their member has shown a certificate for the domain, unless the
 * operator asked for less, and neither a lookup nor a check of them that fails lets those without TLS take their
 * place. No records is an error, never a default address.
 */
import { DnsError, type DnsResolver, type SrvRecord } from "../net/resolver.ts";
import { createEndpoint, type Endpoint } from "./endpoint.ts";
import type { CheckResult, EndpointCheck } from "./srv-check.ts";
import { inWeightedOrder } from "./weighted-order.ts";

export interface SrvDiscoveryOptions {
  /** `--discovery-srv` */
  readonly domain: string;
  /** `--discovery-srv-name`: looked up is `_etcd-client-<name>._tcp` then; empty for none. */
  readonly serviceSuffix?: string;
  /** Checks members of records that promise TLS; null: they are taken unchecked. */
  readonly check: EndpointCheck | null;
  /** Records without TLS are taken beside some with TLS, too. */
  readonly withPlain: boolean;
  /** Every dial makes the same check, so that a member that cannot be reached for it now may be on the list. */
  readonly checkedAtDial?: boolean;
  readonly resolver: DnsResolver;
  /** From 0 up to but not including 1. */
  readonly random: () => number;
}

/** What a lookup has found. */
export interface DiscoveredEndpoints {
  /** At least one, none twice, in the order to try them (RFC 2782). */
  readonly endpoints: readonly Endpoint[];
  /** What the operator should know, each a line for the log. */
  readonly warnings: readonly string[];
  /** There is more, which only time may bring: members that could not be reached for their check. */
  readonly incomplete: boolean;
}

/**
 * - `none`: there is nothing that may be used, and asking again now would bring the same
 * - `no-answer`: the name servers do not answer, or fail
 * - `unreachable`: there are members, and none of them can be reached for its check
 */
export type SrvDiscoveryFailure = "none" | "no-answer" | "unreachable";

/** Discovery found no endpoint that may be used. The message is one line that says what to check or change. */
export class SrvDiscoveryError extends Error {
  override readonly name = "SrvDiscoveryError";
  readonly reason: SrvDiscoveryFailure;

  constructor(reason: SrvDiscoveryFailure, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** Records without TLS beside some with: whatever their priority, they come after those. */
const BEHIND_TLS = 65_536; // A priority is 16 bits wide (RFC 2782).

export class SrvDiscovery {
  readonly #options: SrvDiscoveryOptions;
  readonly #domain: string;
  readonly #tlsService: string;
  readonly #plainService: string;
  /** Names of endpoints whose last check that came to an end was passed. */
  #passed: ReadonlySet<string> = new Set();

  /** Throws `SrvDiscoveryError` for an empty domain. */
  constructor(options: SrvDiscoveryOptions) {
    this.#options = options;
    this.#domain = options.domain.trim().replace(/\.$/, "").toLowerCase();
    if (this.#domain === "")
      throw new SrvDiscoveryError(
        "none",
        "--discovery-srv is empty: write a DNS domain, such as example.com",
      );
    const suffix = options.serviceSuffix ? `-${options.serviceSuffix}` : "";
    this.#tlsService = `_etcd-client-ssl${suffix}._tcp.${this.#domain}`;
    this.#plainService = `_etcd-client${suffix}._tcp.${this.#domain}`;
  }

  /** Looks the members up, and checks those that promise TLS. Throws `SrvDiscoveryError`. */
  async discover(): Promise<DiscoveredEndpoints> {
    const [tls, plain] = await Promise.all([
      this.#lookUp(this.#tlsService),
      this.#lookUp(this.#plainService),
    ]);
    const warnings: string[] = [];
    const named = this.#endpointsOf("https", tls, warnings);
    const { check } = this.#options;
    const checked =
      check === null ? { usable: named, unreachable: 0 } : await this.#check(check, named, warnings);
    const endpoints = withoutRepeats([
      ...checked.usable,
      ...this.#usablePlain(plain, tls.length > 0, warnings),
    ]);
    if (endpoints.length > 0) {
      return {
        endpoints: inWeightedOrder(endpoints, this.#options.random),
        warnings,
        incomplete: checked.unreachable > 0,
      };
    }
    throw this.#nothingFound(named.length, checked.unreachable, warnings);
  }

  #usablePlain(records: readonly SrvRecord[], besideTls: boolean, warnings: string[]): Endpoint[] {
    if (records.length === 0) return [];
    if (!besideTls) {
      warnings.push(
        `${this.#tlsService} has no records; those of ${this.#plainService} are used, which promise no TLS`,
      );
      return this.#endpointsOf("http", records, warnings);
    }
    if (this.#options.withPlain) {
      return this.#endpointsOf("http", records, warnings).map((endpoint) => ({
        ...endpoint,
        priority: endpoint.priority + BEHIND_TLS,
      }));
    }
    warnings.push(
      `the records of ${this.#plainService} are left out, since ${this.#tlsService} has some: ` +
        "--insecure-discovery takes both",
    );
    return [];
  }

  async #check(
    check: EndpointCheck,
    named: readonly Endpoint[],
    warnings: string[],
  ): Promise<{ usable: Endpoint[]; unreachable: number }> {
    const results = await Promise.all(
      named.map(async (endpoint) => [endpoint, await check(endpoint, this.#domain)] as const),
    );
    const passed = results.filter(([{ name }, { kind }]) => this.#hasPassed(name, kind));
    this.#passed = new Set(passed.map(([{ name }]) => name));
    let unreachable = 0;
    const usable: Endpoint[] = [];
    for (const [endpoint, result] of results) {
      const isPassed = this.#passed.has(endpoint.name);
      if (result.kind === "failed") {
        warnings.push(`${endpoint.name} is left out: it does not pass for ${this.#domain}: ${result.reason}`);
      } else if (!isPassed) {
        unreachable++;
        const fate =
          this.#options.checkedAtDial === true ? "it is checked when it is dialled" : "left out for now";
        warnings.push(
          `${endpoint.name} cannot be checked, ${fate}: ${result.kind === "unreachable" ? result.reason : ""}`,
        );
      }
      const mayBeUsed = isPassed || (result.kind === "unreachable" && this.#options.checkedAtDial === true);
      // Whoever dials it demands the same: a name server could answer otherwise by then.
      if (mayBeUsed) usable.push({ ...endpoint, serverName: this.#domain });
    }
    return { usable, unreachable };
  }

  /** A member that was good and is away for now has not become another one. */
  #hasPassed(name: string, kind: CheckResult["kind"]): boolean {
    return kind === "passed" || (kind === "unreachable" && this.#passed.has(name));
  }

  #nothingFound(named: number, unreachable: number, warnings: readonly string[]): SrvDiscoveryError {
    const flag = `--discovery-srv ${this.#domain}`;
    if (unreachable > 0) {
      return new SrvDiscoveryError(
        "unreachable",
        `${flag}: no member can be reached to check it: ${warnings.join("; ")}`,
      );
    }
    if (named > 0) {
      return new SrvDiscoveryError(
        "none",
        `${flag}: no member that ${this.#tlsService} names may be used (${warnings.join("; ")}): ` +
          "check the CA that is trusted here and the names in the members' certificates; " +
          "--insecure-discovery takes them unchecked",
      );
    }
    return new SrvDiscoveryError(
      "none",
      `${flag}: neither ${this.#tlsService} nor ${this.#plainService} has a usable SRV record: ` +
        "check the domain, --discovery-srv-name and the DNS zone, or name the members with --endpoints",
    );
  }

  async #lookUp(service: string): Promise<readonly SrvRecord[]> {
    try {
      return await this.#options.resolver.srv(service);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new SrvDiscoveryError(
        "no-answer",
        `--discovery-srv ${this.#domain}: ${reason}: ${nameServerAdvice(error)}, ` +
          "or name the members with --endpoints",
        error,
      );
    }
  }

  /** None twice: one dial proves as much as two. */
  #endpointsOf(scheme: "http" | "https", records: readonly SrvRecord[], warnings: string[]): Endpoint[] {
    const inOrder = records.toSorted((a, b) => a.priority - b.priority);
    return withoutRepeats(inOrder.flatMap((record) => endpointOf(scheme, record, warnings)));
  }
}

/** One that refuses has answered: it serves other domains, or other clients. */
function nameServerAdvice(error: unknown): string {
  const refused = error instanceof DnsError && error.code === "EREFUSED";
  return refused
    ? "that name server does not serve this domain to us: name another one with --dns-server"
    : "check that the name server answers";
}

/** A target of "." says that the service is not offered there (RFC 2782); port 0 cannot be dialled. */
function endpointOf(scheme: "http" | "https", record: SrvRecord, warnings: string[]): Endpoint[] {
  const hostname = record.hostname.replace(/\.$/, "");
  if (hostname !== "" && record.port !== 0) return [createEndpoint(scheme, hostname, record.port, record)];
  warnings.push(`an SRV record with target "${record.hostname}" and port ${record.port} is left out`);
  return [];
}

/** The first of each address: a member with records of both kinds counts with the TLS one. */
function withoutRepeats(endpoints: readonly Endpoint[]): Endpoint[] {
  const seen = new Set<string>();
  return endpoints.filter(({ name }) => !seen.has(name) && seen.add(name));
}
