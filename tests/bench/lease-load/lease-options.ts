/**
 * The options of `programs/lease-clients.ts`, checked.
 */
import { parseArgs } from "node:util";
import type { CpuSubjects } from "../load/cpu-reading.ts";
import { numberWithin, oneOf, wholeNumber } from "../load/option-values.ts";
import type { LeaseMode } from "./lease-figures.ts";
import type { LeasePlan } from "./lease-session.ts";

export interface LeaseOptions extends LeasePlan, CpuSubjects {
  readonly mode: LeaseMode;
  /** How long the load is measured. */
  readonly seconds: number;
  /** How long bursts follow each other at once before that. */
  readonly warmUpSeconds: number;
  readonly json: boolean;
}

/** @throws Error that names the option which is wrong. */
export function parseLeaseOptions(words: readonly string[]): LeaseOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      address: { type: "string" },
      etcd: { type: "string", default: "127.0.0.1:2379" },
      pid: { type: "string" },
      "etcd-pid": { type: "string" },
      mode: { type: "string", default: "paced" },
      leases: { type: "string", default: "5000" },
      clients: { type: "string", default: "500" },
      connections: { type: "string", default: "50" },
      ttl: { type: "string", default: "3" },
      pace: { type: "string", default: "1" },
      seconds: { type: "string", default: "5" },
      "warm-up": { type: "string", default: "2" },
      json: { type: "boolean", default: false },
    },
  });
  const clients = wholeNumber("clients", values.clients, 1);
  return {
    address: values.address ?? values.etcd,
    etcdAddress: values.etcd,
    ...(values.pid === undefined ? {} : { proxyPid: wholeNumber("pid", values.pid, 1) }),
    ...(values["etcd-pid"] === undefined ? {} : { etcdPid: wholeNumber("etcd-pid", values["etcd-pid"], 1) }),
    mode: oneOf("mode", values.mode, ["paced", "burst"]),
    leases: wholeNumber("leases", values.leases, clients),
    clients,
    connections: wholeNumber("connections", values.connections, 1),
    ttlSeconds: wholeNumber("ttl", values.ttl, 1),
    paceSeconds: numberWithin("pace", values.pace, 0.01, 60),
    seconds: numberWithin("seconds", values.seconds, 0.1, 600),
    warmUpSeconds: numberWithin("warm-up", values["warm-up"], 0, 60),
    json: values.json,
  };
}
