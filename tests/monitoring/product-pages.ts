/**
 * The metrics pages of both products under load, as Prometheus would read them: several workers, TLS towards clients, calls of
 * every kind by etcdctl.
 */
import { afterAll, beforeAll } from "bun:test";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "../harness/etcdctl.ts";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { waitFor } from "../harness/wait-for.ts";
import { curl } from "../e2e/curl.ts";

export interface ProductPages {
  readonly grpcProxy: string;
  readonly gateway: string;
}

/** Of one worker and of several, by the number of workers. */
export const WORKERS = [1, 2] as const;

/** Makes the pages before the tests of a file; what is read of them is there within tests. */
export function productPages(): (workers: (typeof WORKERS)[number]) => ProductPages {
  const pages = new Map<number, ProductPages>();
  const folder = new TemporaryFolder("monitoring");
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await startEtcdCluster({ members: 1 });
    for (const workers of WORKERS) pages.set(workers, await pagesOf(cluster, folder, workers));
  }, 180_000);
  afterAll(async () => {
    await cluster.dispose();
    folder[Symbol.dispose]();
  });
  return (workers) => pages.get(workers)!;
}

async function pagesOf(
  cluster: EtcdCluster,
  folder: TemporaryFolder,
  workers: number,
): Promise<ProductPages> {
  const flags = [`--workers=${workers}`, "--metrics-addr=http://127.0.0.1:0"];
  await using proxy = await startGrpcProxy(cluster.endpoints, [
    ...flags,
    "--auto-tls",
    "--resolver-prefix=/proxies",
    "--resolver-ttl=60",
    "--advertise-client-url=http://proxy.example:23790",
    `--data-dir=${folder.path}/proxy-${workers}`,
  ]);
  await using gateway = await startGateway(cluster.endpoints, flags);
  const secure = [`https://${proxy.address}`];
  const trusting = ["--insecure-transport=false", "--insecure-skip-tls-verify"];
  const run = async (endpoints: readonly string[], ...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await etcdctl(endpoints, words);
    if (code !== 0) throw new Error(`etcdctl ${words.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  };
  const byProxy = (...words: string[]): Promise<string> => run(secure, ...trusting, ...words);

  await using watch = new EtcdctlStream(secure, [...trusting, "watch", "--prefix", "monitored/"]);
  const granted = await byProxy("lease", "grant", "60");
  const lease = /lease ([0-9a-f]+) granted/.exec(granted)![1]!;
  await using heartbeats = new EtcdctlStream(secure, [...trusting, "lease", "keep-alive", lease]);
  await heartbeats.nextLine();
  await waitFor("an event of the watch", async () => {
    await byProxy("put", "monitored/key", "value");
    return watch.stdout.lines.length > 0;
  });
  for (let n = 0; n < 3; n++) await byProxy("get", "--consistency=s", "monitored/key");
  await byProxy("member", "list");
  await etcdctl(secure, [...trusting, "lease", "revoke", "1234"]);
  await run([gateway.address], "put", "monitored/by-gateway", "value");
  return {
    grpcProxy: await metricsOf(proxy),
    gateway: await metricsOf(gateway),
  };
}

async function metricsOf(proxy: EtcdproxyProcess): Promise<string> {
  const { address } = await proxy.logged("listening for metrics");
  return (await curl("HTTP/1.1", `${String(address)}/proxy/metrics`)).body;
}
