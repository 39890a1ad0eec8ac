/**
 * The proxies that outages are measured with: both products of ours, and etcd's own two, each with its defaults.
 */
import { join } from "node:path";
import { startProgram } from "../../bench/proxy-process.ts";
import type { Program } from "../../bench/stage.ts";
import { etcdBinary } from "../../harness/etcd-version.ts";
import { executable, startProxy } from "../../harness/etcdproxy-process.ts";
import { freePorts } from "../../harness/free-ports.ts";
import type { OutageStage } from "./outage-stage.ts";

export const PRODUCTS = ["gateway", "grpc-proxy"] as const;
export type Product = (typeof PRODUCTS)[number];
export const MAKERS = ["etcdproxy", "etcd"] as const;
export type Maker = (typeof MAKERS)[number];

export interface Contender {
  readonly maker: Maker;
  readonly product: Product;
}

/**
 * Starts a proxy in front of the members of `stage`, and waits until it serves.
 *
 * @param folder for its log and its data.
 */
export async function startContender(
  { maker, product }: Contender,
  stage: OutageStage,
  folder: string,
): Promise<Program> {
  const { network } = stage;
  const flags = await stage.findingFlags();
  const ours = maker === "etcdproxy";
  if (ours && network === undefined)
    return startProxy([product, "start", "--listen-addr=127.0.0.1:0", ...flags]);
  const address = network?.proxyAddress ?? `127.0.0.1:${freePorts(1)[0]}`;
  const data = !ours && product === "grpc-proxy" ? [`--data-dir=${join(folder, "proxy")}`] : [];
  const program = ours ? executable : etcdBinary("etcd");
  const command = [program, product, "start", `--listen-addr=${address}`, ...flags, ...data];
  return startProgram(network?.asProxy(command) ?? command, address, join(folder, "proxy.log"));
}
