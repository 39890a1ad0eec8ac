/**
 * What `scripts/demo` runs once the machine is set up and dist/etcdproxy is built: a real cluster, both products
 * in front of it, and a round of put, get and watch through each, shown as commands with their real output.
 *
 * Invariant: however it ends (done, failed, Ctrl-C at any moment), every process is gone and every file removed.
 */
import { startEtcdCluster, type EtcdCluster } from "../tests/harness/etcd-cluster.ts";
import { etcdctl, EtcdctlStream } from "../tests/harness/etcdctl.ts";
import { etcdVersion } from "../tests/harness/etcd-version.ts";
import { startProxy, type EtcdproxyProcess } from "../tests/harness/etcdproxy-process.ts";
import { freePorts } from "../tests/harness/free-ports.ts";

const [option, ...more] = process.argv.slice(2);
if ((option !== undefined && option !== "--once") || more.length > 0) {
  console.error(`demo: unknown arguments ${process.argv.slice(2).join(" ")}; usage: scripts/demo [--once]`);
  process.exit(1);
}

let interrupted = false;
const interrupt = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      interrupted = true;
      resolve();
    });
  }
});

/** A command as one types it. */
function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^(?:&|[\w./:=,-]+)$/.test(word) ? word : `'${word}'`)).join(" ");
}

function show(words: readonly string[]): void {
  console.log(`$ ${commandLine(words)}`);
}

/** Runs and shows one etcdctl command. @throws Error when it fails. */
async function runEtcdctl(endpoint: string, rest: readonly string[]): Promise<string> {
  show(["etcdctl", `--endpoints=${endpoint}`, ...rest]);
  const { stdout, stderr, code } = await etcdctl([endpoint], rest);
  process.stdout.write(stdout + stderr);
  if (code !== 0) throw new Error(`etcdctl ${rest.join(" ")} ended with status ${code}`);
  return stdout;
}

function expectEqual(what: string, seen: string, expected: string): void {
  if (seen !== expected)
    throw new Error(`${what}: ${JSON.stringify(seen)}, expected ${JSON.stringify(expected)}`);
}

/** Put, get and watch through `endpoint`; each must see what the other did. */
async function putGetWatch(product: string, endpoint: string): Promise<void> {
  console.log(`\n--- through the ${product}, ${endpoint}`);
  const key = `demo/${product}`;
  const value = `hello through the ${product}`;
  const watchWords = ["watch", key, "--rev=1"];
  show(["etcdctl", `--endpoints=${endpoint}`, ...watchWords, "&"]);
  await using watch = new EtcdctlStream([endpoint], watchWords);
  expectEqual("put", await runEtcdctl(endpoint, ["put", key, value]), "OK\n");
  expectEqual("get", await runEtcdctl(endpoint, ["get", key]), `${key}\n${value}\n`);
  const event = await watch.nextLines(3);
  console.log(`# the watch prints\n${event.join("\n")}`);
  expectEqual("watch", event.join(" "), `PUT ${key} ${value}`);
}

/** Starts one product on a port of its own, and shows how. */
async function startProduct(
  words: readonly string[],
  cluster: EtcdCluster,
  flags: (address: string) => string[],
) {
  const [port] = freePorts(1);
  const address = `127.0.0.1:${port}`;
  const rest = [
    ...words,
    `--listen-addr=${address}`,
    `--endpoints=${cluster.endpoints.join(",")}`,
    ...flags(address),
  ];
  show(["dist/etcdproxy", ...rest, "&"]);
  return startProxy(rest);
}

function showWhatToTry(gateway: EtcdproxyProcess, grpcProxy: EtcdproxyProcess): void {
  console.log(`
gateway     ${gateway.address}
grpc-proxy  ${grpcProxy.address}

Try, in another terminal:
  etcdctl --endpoints=${grpcProxy.address} watch demo --prefix
  etcdctl --endpoints=${gateway.address} put demo/mine 'a value'
  etcdctl --endpoints=${grpcProxy.address} get demo --prefix
  etcdctl --endpoints=${grpcProxy.address} lease grant 60
  curl http://${grpcProxy.address}/health
  curl -H 'content-type: application/json' -d '{"key":"${btoa("demo/gateway")}"}' http://${grpcProxy.address}/etcdserverpb.KV/Range

Ctrl-C ends it all.`);
}

/** Starts everything and does the round; what it started is in `running`, whatever happens. */
async function demonstrate(running: AsyncDisposableStack): Promise<void> {
  console.log(`# an etcd cluster of three members, etcd ${etcdVersion().join(".")}`);
  const cluster = running.use(await startEtcdCluster({ members: 3 }));
  for (const { name, endpoint, pid } of cluster.members) console.log(`${name} ${endpoint} (process ${pid})`);
  if (interrupted) return;

  console.log("\n# the gateway and the grpc-proxy in front of it");
  const gateway = running.use(await startProduct(["gateway", "start"], cluster, () => []));
  const advertise = (address: string): string[] => [`--advertise-client-url=${address}`];
  const grpcProxy = running.use(await startProduct(["grpc-proxy", "start"], cluster, advertise));
  if (interrupted) return;

  await putGetWatch("gateway", gateway.address);
  if (interrupted) return;
  await putGetWatch("grpc-proxy", grpcProxy.address);
  if (interrupted) return;
  if (option === "--once") return;

  showWhatToTry(gateway, grpcProxy);
  await interrupt;
  for (const product of [gateway, grpcProxy]) await product.stop();
}

let status = 0;
const running = new AsyncDisposableStack();
try {
  await demonstrate(running);
} catch (error) {
  // After Ctrl-C the children end too, and what waits for them fails: that is no news.
  if (!interrupted) {
    status = 1;
    console.error(`\ndemo: ${error instanceof Error ? error.message : String(error)}`);
  }
} finally {
  await running.disposeAsync();
}
console.log(`\n${status === 0 ? "Done" : "Failed"}: nothing is left running.`);
process.exit(status);
