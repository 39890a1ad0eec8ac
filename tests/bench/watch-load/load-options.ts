/**
 * The options of `programs/watch-clients.ts`, checked.
 */
import { parseArgs } from "node:util";
import { numberWithin, oneOf, wholeNumber } from "../load/option-values.ts";
import type { LoadMode } from "./watch-figures.ts";
import type { Start } from "./watch-session.ts";

export interface LoadOptions {
  /** `host:port` that the clients connect to. */
  readonly address: string;
  /** `host:port` of etcd. */
  readonly etcdAddress: string;
  /** The proxy and the etcd whose processor time is told; absent where it is not. */
  readonly proxyPid?: number;
  readonly etcdPid?: number;
  readonly mode: LoadMode;
  readonly start: Start;
  readonly connections: number;
  /** 0: one key. */
  readonly ranges: number;
  readonly watchersPerRange: number;
  /** Creates that wait for their answer at most, on each connection. */
  readonly createsAtOnce: number;
  readonly putsPerBurst: number;
  readonly putsInFlight: number;
  readonly putsPerSecond: number;
  readonly seconds: number;
  readonly valueBytes: number;
  readonly json: boolean;
}

const NO_LIMIT = String(Number.MAX_SAFE_INTEGER);

/** @throws Error that names the option which is wrong. */
export function parseLoadOptions(words: readonly string[]): LoadOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      address: { type: "string" },
      etcd: { type: "string", default: "127.0.0.1:2379" },
      pid: { type: "string" },
      "etcd-pid": { type: "string" },
      mode: { type: "string", default: "burst" },
      start: { type: "string", default: "next" },
      connections: { type: "string", default: "50" },
      ranges: { type: "string", default: "0" },
      watchers: { type: "string", default: "1000" },
      "at-once": { type: "string", default: NO_LIMIT },
      puts: { type: "string", default: "500" },
      "in-flight": { type: "string", default: "100" },
      rate: { type: "string", default: "500" },
      seconds: { type: "string", default: "2.5" },
      "value-bytes": { type: "string", default: "16" },
      json: { type: "boolean", default: false },
    },
  });
  return {
    address: values.address ?? values.etcd,
    etcdAddress: values.etcd,
    ...(values.pid === undefined ? {} : { proxyPid: wholeNumber("pid", values.pid, 1) }),
    ...(values["etcd-pid"] === undefined ? {} : { etcdPid: wholeNumber("etcd-pid", values["etcd-pid"], 1) }),
    mode: oneOf("mode", values.mode, ["burst", "paced", "create", "memory"]),
    start: oneOf("start", values.start, ["next", "now"]),
    connections: wholeNumber("connections", values.connections, 1),
    ranges: wholeNumber("ranges", values.ranges, 0),
    watchersPerRange: wholeNumber("watchers", values.watchers, 1),
    createsAtOnce: wholeNumber("at-once", values["at-once"], 1),
    putsPerBurst: wholeNumber("puts", values.puts, 1),
    putsInFlight: wholeNumber("in-flight", values["in-flight"], 1),
    putsPerSecond: wholeNumber("rate", values.rate, 1),
    seconds: numberWithin("seconds", values.seconds, 0, Infinity),
    valueBytes: wholeNumber("value-bytes", values["value-bytes"], 4),
    json: values.json,
  };
}
