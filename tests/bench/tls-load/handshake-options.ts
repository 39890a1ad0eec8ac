/**
 * The options of `programs/tls-clients.ts`, checked.
 */
import { parseArgs } from "node:util";
import type { CpuSubjects } from "../load/cpu-reading.ts";
import { wholeNumber } from "../load/option-values.ts";

export interface HandshakeOptions extends CpuSubjects {
  /** `host:port` that the clients connect to. */
  readonly address: string;
  readonly handshakes: number;
  /** Handshakes before the load, which are not measured. */
  readonly warmUpHandshakes: number;
  /** Connections at once. */
  readonly connections: number;
  /** PEM file of the authority that has signed the server's certificate. */
  readonly caFile: string;
  /** PEM files of what clients show; absent where they show nothing. */
  readonly shown?: { readonly certificateFile: string; readonly keyFile: string };
  /** The only key exchange that is offered, under OpenSSL's name. */
  readonly group: string;
  readonly json: boolean;
}

/** @throws Error that names the option which is wrong. */
export function parseHandshakeOptions(words: readonly string[]): HandshakeOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      address: { type: "string", default: "127.0.0.1:2379" },
      pid: { type: "string" },
      "etcd-pid": { type: "string" },
      handshakes: { type: "string", default: "5000" },
      "warm-up": { type: "string", default: "200" },
      connections: { type: "string", default: "8" },
      cacert: { type: "string" },
      cert: { type: "string" },
      key: { type: "string" },
      group: { type: "string", default: "X25519" },
      json: { type: "boolean", default: false },
    },
  });
  const { cacert, cert, key } = values;
  if (cacert === undefined) throw new Error("--cacert is missing: the server's certificate is checked");
  if ((cert === undefined) !== (key === undefined)) throw new Error("--cert and --key go together");
  return {
    address: values.address,
    ...(values.pid === undefined ? {} : { proxyPid: wholeNumber("pid", values.pid, 1) }),
    ...(values["etcd-pid"] === undefined ? {} : { etcdPid: wholeNumber("etcd-pid", values["etcd-pid"], 1) }),
    handshakes: wholeNumber("handshakes", values.handshakes, 1),
    warmUpHandshakes: wholeNumber("warm-up", values["warm-up"], 0),
    connections: wholeNumber("connections", values.connections, 1),
    caFile: cacert,
    ...(cert === undefined || key === undefined ? {} : { shown: { certificateFile: cert, keyFile: key } }),
    group: values.group,
    json: values.json,
  };
}
