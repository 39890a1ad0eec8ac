/**
 * Many clients that watch through one address, and the puts to etcd whose events they get, in one process that
 * does nothing else and costs little. It prints one line of figures and ends; the bench runs it for every load.
 *
 * To put one load on one proxy by hand, here 1000 watchers of one key on 50 connections, bursts of 500 puts for
 * 5 seconds, with the processor time of the proxy (`--pid`) for each event:
 *
 *   bun tests/bench/programs/watch-clients.ts --address 127.0.0.1:23790 --etcd 127.0.0.1:2379 --pid 1234 --seconds 5
 *
 * Without `--address` the clients watch at etcd itself. Further:
 *   --mode burst|paced|create|memory   `create` only opens the watches, `memory` tells what they cost the proxy
 *   --ranges 100 --watchers 100        100 disjoint prefixes with 100 watchers each; `--ranges 0`: one key
 *   --start now                        watches without a start revision; `next`: at etcd's next revision
 *   --at-once 5                        on each connection, so many creates wait for their answer at most
 *   --puts 500  --in-flight 100        puts in a burst, and how many wait for their answer at most
 *   --rate 500                         puts in a second, with --mode paced
 *   --value-bytes 16                   length of the values that are put
 *   --json                             the figures as JSON
 */
import { cpuFigures, readCpu } from "../load/cpu-reading.ts";
import { proportionalBytes, resting } from "../resting-memory.ts";
import { type LoadOptions, parseLoadOptions } from "../watch-load/load-options.ts";
import { upstreamWatches } from "../watch-load/upstream-watches.ts";
import { type WatchFigures, watchFiguresLine } from "../watch-load/watch-figures.ts";
import { type SessionLoad, WatchSession } from "../watch-load/watch-session.ts";

function faults(session: WatchSession, load: SessionLoad): Partial<WatchFigures> {
  return {
    events: load.events,
    missingEvents: load.expectedEvents - load.events,
    faultyWatches: session.faultyWatches(),
    ended: Object.fromEntries(session.endedStreams),
  };
}

/** One burst, so that all sides are warm and every watch is known to work; then the load itself. */
async function fanOut(session: WatchSession, options: LoadOptions): Promise<Partial<WatchFigures>> {
  const { mode, putsPerBurst, putsPerSecond, seconds } = options;
  await session.burst(putsPerBurst, 0);
  const faulty = session.faultyWatches();
  if (faulty > 0 && session.endedStreams.size === 0) {
    throw new Error(`${faulty} watches lack events of the first burst, though their streams live`);
  }
  session.reset();
  const before = readCpu(options);
  const load =
    mode === "burst"
      ? await session.burst(putsPerBurst, seconds)
      : await session.paced(putsPerSecond, seconds);
  const after = readCpu(options);
  const { latencies } = session.arrivals;
  return {
    ...faults(session, load),
    ...cpuFigures(before, after, load.events),
    puts: load.puts,
    elapsedSeconds: load.elapsedSeconds,
    ...(latencies.total === 0
      ? {}
      : { p50Micros: latencies.quantile(0.5), p99Micros: latencies.quantile(0.99) }),
  };
}

/** Watches on one key that are open before memory is measured. */
const FIRST_WATCHES = 1000;

async function openFirstWatches(options: LoadOptions, keyPrefix: string): Promise<WatchSession> {
  const session = await WatchSession.open({
    ...options,
    keyPrefix: `${keyPrefix}first/`,
    ranges: 0,
    watchersPerRange: FIRST_WATCHES,
  });
  await session.connect(options.start);
  await session.createWatches(options.createsAtOnce);
  return session;
}

async function run(options: LoadOptions): Promise<WatchFigures> {
  const { mode, proxyPid, etcdAddress } = options;
  if (mode === "memory" && proxyPid === undefined) throw new Error("--mode memory needs the proxy's --pid");
  // No other run's watches are to see these puts.
  const keyPrefix = `bench/watch/${process.pid}-${Date.now()}/`;
  // What the first watches cost once and for all is no part of what each further one costs.
  using first = mode === "memory" ? await openFirstWatches(options, keyPrefix) : null;
  using session = await WatchSession.open({ ...options, keyPrefix });
  const watchesBefore = await upstreamWatches(etcdAddress);
  await session.connect(options.start);
  const bytesOf = (pid: number): Promise<number> => resting(pid, proportionalBytes);
  const bytesBefore = first !== null && proxyPid !== undefined ? await bytesOf(proxyPid) : 0;

  const before = readCpu(options);
  const createSeconds = await session.createWatches(options.createsAtOnce);
  const after = readCpu(options);
  const opened = {
    mode,
    watches: session.watches,
    created: session.arrivals.created,
    createSeconds,
    upstreamWatches: (await upstreamWatches(etcdAddress)) - watchesBefore,
  };
  const creation = cpuFigures(before, after, session.watches);
  if (mode === "memory" && proxyPid !== undefined) {
    const bytesPerWatcher = ((await bytesOf(proxyPid)) - bytesBefore) / session.watches;
    return { ...opened, ...creation, bytesPerWatcher, ended: Object.fromEntries(session.endedStreams) };
  }
  // One event for each tells that all of them live.
  if (mode === "create") return { ...opened, ...creation, ...faults(session, await session.burst(1, 0)) };
  return { ...opened, ...(await fanOut(session, options)) };
}

try {
  const options = parseLoadOptions(process.argv.slice(2));
  const figures = await run(options);
  console.log(options.json ? JSON.stringify(figures) : watchFiguresLine(figures));
  process.exit(0);
} catch (error) {
  console.error(`watch-clients: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
