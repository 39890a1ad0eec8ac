/**
 * Many clients that keep leases alive through one address, in one process that does nothing else and costs little.
 * It prints one line of figures and ends; the bench runs it for every load.
 *
 * To put one load on one proxy by hand, here 500 clients with 10 leases each on 50 connections, each of which sends
 * a burst of 10 heartbeats once a second, with the processor time of the proxy (`--pid`) for each heartbeat:
 *
 *   bun tests/bench/programs/lease-clients.ts --address 127.0.0.1:23790 --etcd 127.0.0.1:2379 --pid 1234
 *
 * Without `--address` the clients speak to etcd itself. Further:
 *   --mode paced|burst           `burst`: each client sends its next burst as soon as the last one is answered
 *   --leases 5000 --clients 500  the leases are shared out evenly
 *   --connections 50
 *   --ttl 3                      seconds that each lease lives without a heartbeat
 *   --pace 1                     seconds from one burst of a client to its next, with --mode paced
 *   --seconds 5                  how long it is measured
 *   --warm-up 2                  seconds of bursts that follow each other at once, before that
 *   --etcd-pid 4321              tells etcd's processor time too
 *   --json                       the figures as JSON
 */
import { type LeaseFigures, leaseFiguresLine } from "../lease-load/lease-figures.ts";
import { type LeaseOptions, parseLeaseOptions } from "../lease-load/lease-options.ts";
import { LeaseSession } from "../lease-load/lease-session.ts";
import { cpuFigures, readCpu } from "../load/cpu-reading.ts";
import { MemberMetrics } from "../load/member-metrics.ts";

const METHOD = "LeaseKeepAlive";

/** Gets the load going, and all sides warm. */
async function start(session: LeaseSession, options: LeaseOptions): Promise<void> {
  session.startClosedLoop();
  await Bun.sleep(options.warmUpSeconds * 1000);
  if (options.mode === "burst") return;
  await session.drain();
  session.startPaced();
  // Every client's first burst does not count: etcd's proxy answers heartbeats of the second before.
  await Bun.sleep(options.paceSeconds * 1000);
}

async function run(options: LeaseOptions): Promise<LeaseFigures> {
  const { mode, leases, clients, seconds, etcdAddress } = options;
  const streamsBefore = (await MemberMetrics.read(etcdAddress)).openCalls(METHOD);
  await using session = await LeaseSession.open(options);
  const { tally } = session;
  await start(session, options);

  const metricsBefore = await MemberMetrics.read(etcdAddress);
  const before = readCpu(options);
  const startedAtMs = performance.now();
  tally.measuring = true;
  await Bun.sleep(seconds * 1000);
  tally.measuring = false;
  const elapsedSeconds = (performance.now() - startedAtMs) / 1000;
  const after = readCpu(options);
  const metricsAfter = await MemberMetrics.read(etcdAddress);
  await session.drain();

  const { sent, answered, surplus, dead, latencies } = tally;
  const received = metricsAfter.messagesReceived(METHOD) - metricsBefore.messagesReceived(METHOD);
  return {
    mode,
    leases,
    clients,
    sent,
    answered,
    elapsedSeconds,
    surplus,
    dead,
    ended: session.ended,
    ...(answered === 0 ? {} : { p50Micros: latencies.quantile(0.5), p99Micros: latencies.quantile(0.99) }),
    ...cpuFigures(before, after, answered),
    upstreamCallsShare: sent === 0 ? 0 : received / sent,
    upstreamStreams: metricsAfter.openCalls(METHOD) - streamsBefore,
  };
}

try {
  const options = parseLeaseOptions(process.argv.slice(2));
  const figures = await run(options);
  console.log(options.json ? JSON.stringify(figures) : leaseFiguresLine(figures));
  process.exit(0);
} catch (error) {
  console.error(`lease-clients: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
