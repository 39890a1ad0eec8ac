/**
 * The options of `programs/kv-clients.ts`, checked.
 */
import { parseArgs } from "node:util";
import type { CpuSubjects } from "../load/cpu-reading.ts";
import { numberWithin, oneOf, wholeNumber } from "../load/option-values.ts";
import type { SessionPlan } from "./kv-session.ts";

export interface KvOptions extends SessionPlan, CpuSubjects {
  /** `host:port` of etcd, whose count of calls is told; absent where it is not. */
  readonly etcdAddress?: string;
  readonly calls: number;
  /** Calls before the load, which are not measured. */
  readonly warmUpCalls: number;
  /** Whether every key is put before the load. */
  readonly fill: boolean;
  readonly json: boolean;
}

/** @throws Error that names the option which is wrong. */
export function parseKvOptions(words: readonly string[]): KvOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      address: { type: "string", default: "127.0.0.1:2379" },
      etcd: { type: "string" },
      pid: { type: "string" },
      "etcd-pid": { type: "string" },
      calls: { type: "string", default: "200000" },
      "warm-up": { type: "string", default: "20000" },
      connections: { type: "string", default: "8" },
      "in-flight": { type: "string", default: "16" },
      keys: { type: "string", default: "1000" },
      exponent: { type: "string", default: "0.99" },
      puts: { type: "string", default: "10" },
      "value-bytes": { type: "string", default: "256" },
      reads: { type: "string", default: "linearizable" },
      seed: { type: "string", default: "1" },
      fill: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const reads = oneOf("reads", values.reads, ["linearizable", "serializable"]);
  return {
    address: values.address,
    ...(values.etcd === undefined ? {} : { etcdAddress: values.etcd }),
    ...(values.pid === undefined ? {} : { proxyPid: wholeNumber("pid", values.pid, 1) }),
    ...(values["etcd-pid"] === undefined ? {} : { etcdPid: wholeNumber("etcd-pid", values["etcd-pid"], 1) }),
    calls: wholeNumber("calls", values.calls, 1),
    warmUpCalls: wholeNumber("warm-up", values["warm-up"], 0),
    connections: wholeNumber("connections", values.connections, 1),
    inFlight: wholeNumber("in-flight", values["in-flight"], 1),
    keys: wholeNumber("keys", values.keys, 1),
    exponent: numberWithin("exponent", values.exponent, 0, 10),
    putPercent: numberWithin("puts", values.puts, 0, 100),
    valueBytes: wholeNumber("value-bytes", values["value-bytes"], 0),
    serializable: reads === "serializable",
    seed: wholeNumber("seed", values.seed, 0),
    fill: values.fill,
    json: values.json,
  };
}
