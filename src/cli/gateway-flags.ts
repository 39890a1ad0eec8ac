/**
 * The flags of `etcdproxy gateway`, as one table: names, kinds and defaults of `etcd gateway`, and our own after them.
 * Command-line parsing, help and the typed values are made from it.
 */
import type { FlagDefinition, FlagValues } from "./flag-definition.ts";
import { choiceFlags, discoveryFlags, loggingFlags, processFlags } from "./shared-flags.ts";

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
  ...choiceFlags,
  ...discoveryFlags,
  {
    name: "trusted-ca-file",
    kind: "text",
    placeholder: "file",
    default: "",
    group: "Discovery",
    since: "live",
    description:
      "CA certificates that discovered endpoints are checked with; without it those that this machine trusts",
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
    name: "idle-timeout",
    kind: "duration",
    placeholder: "duration",
    default: 0,
    group: "Limits",
    since: "live",
    description: "how long a connection may be silent in both directions before it is closed; 0: for ever",
  },
  {
    name: "tcp-keepalive",
    kind: "duration",
    placeholder: "duration",
    default: 15_000,
    group: "Limits",
    since: "live",
    description: "silence after which the kernel asks a client or member whether it still exists; 0: never",
  },
  ...processFlags,
  {
    name: "metrics-addr",
    kind: "text",
    placeholder: "url",
    default: "",
    group: "Monitoring",
    since: "live",
    description:
      "URL of a listener for a status page, metrics, health and probes, such as http://127.0.0.1:2381",
  },
  ...loggingFlags,
] as const satisfies readonly FlagDefinition[];

/** The values of the gateway's live flags; durations in milliseconds. */
export type GatewayFlags = FlagValues<typeof gatewayFlags>;
