/**
 * Starts a product as several workers behind one port: threads that each run all of it, and share the port and the process's
 * limits (`--workers`).
 *
 * The main thread serves no clients. It has the signals, the listener of `--metrics-addr`, whose pages tell of all workers, and a
 * certificate of the proxy's own, which it makes and renews. What the operator got wrong the first worker finds, and it is
 * told as by a process of one.
 */
import { EndpointError, parseEndpoints } from "../endpoints/endpoint.ts";
import { formatAddress } from "../net/address.ts";
import { ListenError, refuseTakenPort } from "../net/listen.ts";
import type { Logger } from "../observe/log.ts";
import type { MetricValues } from "../observe/metrics.ts";
import { LEASE_SLOT_BYTES } from "../proxy/cluster/lease-slot.ts";
import { forgetAfterDeath, noticeMemory } from "../proxy/kv/cache-notices.ts";
import { checkAddresses, type PagesListener } from "../proxy/port/listeners.ts";
import { openPagesPort } from "../proxy/port/pages-port.ts";
import type { Port } from "../proxy/port/port.ts";
import { RenewalWatch } from "../tls/renewal.ts";
import type { ServedTls } from "../tls/served-tls.ts";
import { TlsFileError } from "../tls/tls-file.ts";
import { ConversationError } from "../workers/conversation.ts";
import { MetricSums } from "../workers/metric-sums.ts";
import { WorkerPool } from "../workers/worker-pool.ts";
import { listenAddressFlag, metricsAddressFlag, type PagesUrl } from "./address-flags.ts";
import { asUsageError, CommandLineError } from "./command-line-error.ts";
import { nameServices } from "./discovery.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import type { EarlyProduct, ReadyLine, RunningProduct } from "./lifecycle.ts";
import type { LogSettings } from "./logging-flags.ts";
import { plainMetricsAddress } from "./start-gateway.ts";
import { metricsListener } from "./start-grpc-proxy.ts";
import { loadServedTls } from "./tls-flags.ts";
import { pagesOfAll } from "./worker-pages.ts";
import type { ProductFlags, StartOrder, WorkerQuestion } from "./worker-messages.ts";
import { refuseTooManyWorkers, shareOf } from "./worker-shares.ts";

const operatorErrors = [EndpointError, ListenError, TlsFileError];

const METRICS: WorkerQuestion = { ask: "metrics" };
const RELOAD: WorkerQuestion = { ask: "reload" };
const UNREGISTER: WorkerQuestion = { ask: "unregister" };
const CLOSE: WorkerQuestion = { ask: "close" };
const ALIVE: WorkerQuestion = { ask: "alive" };

/** How long a worker may take to tell its metrics: a page is waited for. */
const METRICS_PATIENCE_MS = 1_000;
const RELOAD_PATIENCE_MS = 60_000;
/** A worker takes a second at the most, unless it hangs. */
const UNREGISTER_PATIENCE_MS = 1_500;

/**
 * Resolves once clients can connect to every worker. Throws `CommandLineError` for what the operator has to change.
 *
 * @param logged how the workers log, as the main thread does
 * @param early is told of the workers once the first of them serves clients
 */
export async function startWorkers(
  serve: ProductFlags,
  log: Logger,
  logged: LogSettings,
  early: (product: EarlyProduct) => void,
): Promise<RunningProduct> {
  try {
    return await start(serve, log, logged, early);
  } catch (error) {
    if (error instanceof ConversationError && error.line !== "") throw new CommandLineError(error.line);
    throw asUsageError(error, operatorErrors);
  }
}

async function start(
  serve: ProductFlags,
  log: Logger,
  logged: LogSettings,
  early: (product: EarlyProduct) => void,
): Promise<RunningProduct> {
  const { workers } = serve.flags;
  refuseTooManyWorkers(workers);
  const further = await furtherListener(serve, log);
  refuseTakenPort(listenAddressFlag(serve.flags.listenAddr), "--listen-addr");
  const notices = noticeMemory(workers);
  const lease = new SharedArrayBuffer(LEASE_SLOT_BYTES);
  const sums = new MetricSums(workers);
  let pool: WorkerPool<StartOrder, ReadyLine> | null = null;
  const wholeMetrics = (): Promise<string> =>
    sums.page(async () => (await pool?.askAll<MetricValues>(METRICS, METRICS_PATIENCE_MS)) ?? []);

  pool = await WorkerPool.start<StartOrder, ReadyLine>({
    count: workers,
    entry: Bun.main,
    order: (worker, first) => ({
      ask: "start",
      serve: shareOf(serve, workers, addressFor(serve, first)),
      worker,
      workers,
      notices,
      lease,
      log: logged,
    }),
    alive: ALIVE,
    answer: wholeMetrics,
    onFirst: (started) => early({ close: () => started.close(CLOSE) }),
    onDeath(worker) {
      forgetAfterDeath(notices, workers, worker);
      void sums.onDeath(worker);
    },
    log,
  });
  const { caller, message, fields } = pool.first;
  const ownLog = log.child(caller);
  let port: Port | null = null;
  if (further.listener !== null) {
    const pages = pagesOfAll(serve, pool, wholeMetrics);
    try {
      port = openPagesPort(further.listener, pages, ownLog);
    } catch (error) {
      await pool.close(CLOSE);
      throw error;
    }
    ownLog.info("listening for metrics", { address: `${further.scheme}://${port.address}` });
  }
  const ready = { caller, message, fields: { ...fields, workers } };
  ownLog.info(message, ready.fields);
  const renewals = new RenewalWatch(further.tls === undefined ? [] : [further.tls], log);
  return running(serve, ready, pool, port, renewals);
}

function running(
  serve: ProductFlags,
  ready: ReadyLine,
  pool: WorkerPool<StartOrder, ReadyLine>,
  port: Port | null,
  renewals: RenewalWatch,
): RunningProduct {
  return {
    ready,
    isWell: () => !pool.isStuck,
    async reload() {
      const own = await renewals.reload();
      const theirs = await pool.askAll<boolean>(RELOAD, RELOAD_PATIENCE_MS);
      // One that did not answer has files, or it would have.
      return own || theirs.some((has) => has !== false);
    },
    async close() {
      renewals.close();
      // Before any worker's clients are told to look for another proxy.
      if (serve.product === "grpc-proxy" && serve.flags.resolverPrefix !== "") await unregister(pool);
      await pool.close(CLOSE);
      port?.close(); // Last, so that the pages tell of the end of the others.
    },
  };
}

/** Any worker can; one that hangs, or has just died, cannot. */
async function unregister(pool: WorkerPool<StartOrder, ReadyLine>): Promise<void> {
  for (let worker = 0; worker < pool.count; worker++) {
    const answer = await pool
      .ask<null>(worker, UNREGISTER, UNREGISTER_PATIENCE_MS)
      .catch((error: unknown) => error);
    if (answer === null) return;
  }
}

/** What the main thread serves itself, and the certificate that it keeps. */
interface FurtherListener {
  readonly listener: PagesListener | null;
  readonly scheme: PagesUrl["scheme"];
  /** Renewed here; undefined where there is none, or where the workers have it from files. */
  readonly tls: ServedTls | undefined;
}

/** Reads what `--metrics-addr` says. A certificate of the proxy's own is made, so that the workers find it. */
async function furtherListener(serve: ProductFlags, log: Logger): Promise<FurtherListener> {
  const listenAddress = listenAddressFlag(serve.flags.listenAddr);
  const url = metricsAddressFlag(serve.flags.metricsAddr);
  const scheme = url?.scheme ?? "http";
  const own = serve.product === "grpc-proxy" && (serve.flags.autoTls || scheme === "https");
  const addresses = url === undefined ? [listenAddress] : [listenAddress, url.address];
  const tls = own ? await loadServedTls(serve.flags, addresses, log.child("tls")) : undefined;
  const listener =
    serve.product === "gateway" ? plainListener(serve.flags) : metricsListener(url, tls, false);
  if (listener !== null) {
    // Who DNS names is looked at by each worker, for what it listens on.
    const endpoints = serve.flags.discoverySrv === "" ? parseEndpoints(serve.flags.endpoints) : [];
    const { resolver } = nameServices(serve.flags.dnsServer);
    await checkAddresses({ listenAddress, metrics: listener }, endpoints, "--endpoints", resolver);
  }
  return { listener, scheme, tls };
}

/** That of a gateway, which has no certificate. */
function plainListener({ metricsAddr }: GatewayFlags): PagesListener | null {
  const address = plainMetricsAddress(metricsAddr);
  return address === null ? null : { address, tls: undefined };
}

/** What a worker listens on: the port is that of the first worker, also where any was asked for. */
function addressFor(serve: ProductFlags, first: ReadyLine | null): string {
  if (first === null) return serve.flags.listenAddr;
  const { hostname } = listenAddressFlag(serve.flags.listenAddr);
  const port = Number(/\d+$/.exec(first.fields.address)?.[0]);
  return formatAddress({ hostname, port });
}
