/**
 * The flags that both products have under one name and with one meaning, in groups, as the tables of the products take
 * them in (gateway-flags.ts, grpc-proxy-flags.ts).
 */
import { BALANCERS } from "../endpoints/balancer.ts";
import type { FlagDefinition } from "./flag-definition.ts";

/** How endpoints are chosen and checked. */
export const choiceFlags = [
  {
    name: "balancer",
    kind: "text",
    placeholder: "way",
    values: BALANCERS,
    default: "sticky",
    group: "Endpoints",
    since: "live",
    description:
      "how a member is chosen: sticky (by chance, kept until it fails), round-robin, weighted or least-latency",
  },
  {
    name: "endpoint-weights",
    kind: "list",
    placeholder: "list",
    default: [],
    group: "Endpoints",
    since: "live",
    description:
      "shares of endpoints that are named by --endpoints, such as infra0.example.com=3; 1 where none is written",
  },
  {
    name: "health-check-interval",
    kind: "duration",
    placeholder: "duration",
    default: 1_000,
    group: "Endpoints",
    since: "live",
    description: "how often each endpoint is checked; 0: never",
  },
  {
    name: "health-check-timeout",
    kind: "duration",
    placeholder: "duration",
    default: 1_000,
    min: 1,
    group: "Endpoints",
    since: "live",
    description: "how long an endpoint may take to answer a check",
  },
] as const satisfies readonly FlagDefinition[];

/** How members are found by DNS. */
export const discoveryFlags = [
  {
    name: "discovery-srv",
    kind: "text",
    placeholder: "domain",
    default: "",
    group: "Discovery",
    since: "live",
    description: "DNS domain whose SRV records (_etcd-client-ssl._tcp, _etcd-client._tcp) name the members",
  },
  {
    name: "discovery-srv-name",
    kind: "text",
    placeholder: "name",
    default: "",
    group: "Discovery",
    since: "live",
    description: "suffix of the SRV service: _etcd-client-<name>._tcp",
  },
  {
    name: "insecure-discovery",
    kind: "boolean",
    default: false,
    group: "Discovery",
    since: "live",
    description:
      "take the SRV records as they are, without checking each endpoint over TLS; those without TLS too",
  },
  {
    name: "discovery-refresh",
    kind: "duration",
    placeholder: "duration",
    default: 30_000,
    group: "Discovery",
    since: "live",
    description: "how often the SRV records are looked up again; 0: only when all endpoints fail",
  },
  {
    name: "dns-server",
    kind: "text",
    placeholder: "host:port",
    default: "",
    group: "Discovery",
    since: "live",
    description: "DNS server that is asked for SRV records and members' addresses, in place of the system's",
  },
] as const satisfies readonly FlagDefinition[];

/** What the process does as a whole. */
export const processFlags = [
  {
    name: "config-file",
    kind: "text",
    placeholder: "file",
    default: "",
    group: "Process",
    since: "live",
    description: "YAML file with values for flags; ETCDPROXY_<FLAG> and the command line go before it",
  },
  {
    name: "workers",
    kind: "integer",
    placeholder: "number",
    default: 1,
    min: 1,
    max: 64,
    group: "Process",
    since: "live",
    description:
      "threads that serve clients, each with connections, caches and watches at the members of its own",
  },
  {
    name: "drain-timeout",
    kind: "duration",
    placeholder: "duration",
    default: 30_000,
    group: "Process",
    since: "live",
    description: "how long clients may take to finish after SIGTERM; 0: they are closed at once",
  },
] as const satisfies readonly FlagDefinition[];

/** What is logged, and how. */
export const loggingFlags = [
  {
    name: "log-level",
    kind: "text",
    placeholder: "level",
    values: ["debug", "info", "warn", "error"],
    default: "info",
    group: "Logging",
    since: "live",
    description: "lines of this level and above are logged: debug, info, warn or error",
  },
  {
    name: "log-format",
    kind: "text",
    placeholder: "format",
    values: ["json", "readable", "auto"],
    default: "auto",
    group: "Logging",
    since: "live",
    description: "json, readable, or auto: readable on a terminal, JSON elsewhere",
  },
  {
    name: "debug",
    kind: "boolean",
    default: false,
    group: "Logging",
    since: "live",
    description: "the same as --log-level=debug",
  },
] as const satisfies readonly FlagDefinition[];
