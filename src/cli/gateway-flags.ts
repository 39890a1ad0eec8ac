/**
 * The flags of `etcdproxy gateway`, as one table: names, kinds and defaults of `etcd gateway`, and our own after them.
 * Command-line parsing, help and the typed values are made from it.
 */
import type { FlagDefinition, FlagValues } from "./flag-definition.ts";

export const gatewayFlags = [
  {
    name: "listen-addr",
    kind: "text",
    placeholder: "host:port",
    default: "127.0.0.1:23790",
    group: "Listening",
    since: "live",
    description: "address that clients connect to",
  },
  {
    name: "endpoints",
    kind: "list",
    placeholder: "list",
    default: ["127.0.0.1:2379"],
    group: "Endpoints",
    since: "live",
    description:
      "members of the cluster, with or without http:// or https://; port 2379 when none is written",
  },
  {
    name: "retry-delay",
    kind: "duration",
    placeholder: "duration",
    default: 60_000,
    group: "Endpoints",
    since: "live",
    description: "how long an endpoint that failed is left alone while another one works",
  },
  {
    name: "dial-timeout",
    kind: "duration",
    placeholder: "duration",
    default: 3_000,
    min: 1,
    group: "Endpoints",
    since: "live",
    description: "how long an endpoint may take to accept a connection before the next one is tried",
  },
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
    description: "take the SRV records as they are, without checking each endpoint over TLS",
  },
  {
    name: "trusted-ca-file",
    kind: "text",
    placeholder: "file",
    default: "",
    group: "Discovery",
    since: "later",
    description: "CA certificates that discovered endpoints are checked with",
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
  {
    name: "max-connections",
    kind: "integer",
    placeholder: "number",
    default: 65_536,
    min: 0,
    max: 1_048_576,
    group: "Limits",
    since: "live",
    description: "client connections held at once, 0 for no limit; further ones are closed",
  },
  {
    name: "debug",
    kind: "boolean",
    default: false,
    group: "Logging",
    since: "live",
    description: "log at level debug",
  },
] as const satisfies readonly FlagDefinition[];

/** The values of the gateway's live flags; durations in milliseconds. */
export type GatewayFlags = FlagValues<typeof gatewayFlags>;
