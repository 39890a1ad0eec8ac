/**
 * Many clients that read and put keys through one address, in one process that does nothing else and costs little.
 * It prints one line of figures and ends; the bench runs it for every load.
 *
 * Which key a call is for is drawn by Zipf's law, whether it reads or puts by chance; h2load can repeat only one
 * call. To put one load on one proxy by hand, here 128 calls in flight, nine reads to a put, with the processor
 * time of the proxy (`--pid`) for each call, and the calls that reached etcd (`--etcd`) for each read:
 *
 *   bun tests/bench/programs/kv-clients.ts --address 127.0.0.1:23790 --etcd 127.0.0.1:2379 --pid 1234 --fill
 *
 *   --fill                             puts every key before the load
 *   --calls 200000  --warm-up 20000    how many calls are measured, and how many come before
 *   --reads linearizable|serializable
 *   --connections 8  --in-flight 16    connections, and calls in flight on each
 *   --keys 1000  --exponent 0.99       how many keys, and how unequal they are
 *   --puts 10  --value-bytes 256       how many percent of the calls are puts, and how long their values
 *   --seed 1                           of what is drawn
 *   --etcd-pid 4321                    tells etcd's processor time too
 *   --json                             the figures as JSON
 */
import { type KvFigures, kvFiguresLine } from "../kv-load/kv-figures.ts";
import { type KvOptions, parseKvOptions } from "../kv-load/kv-options.ts";
import { KvSession } from "../kv-load/kv-session.ts";
import { cpuFigures, readCpu } from "../load/cpu-reading.ts";
import { MemberMetrics } from "../load/member-metrics.ts";

async function run(options: KvOptions): Promise<KvFigures> {
  const { etcdAddress } = options;
  const rangesAtEtcd = async (): Promise<number | undefined> =>
    etcdAddress === undefined ? undefined : (await MemberMetrics.read(etcdAddress)).callsStarted("Range");
  using session = await KvSession.open(options);
  if (options.fill) await session.fill();
  if (options.warmUpCalls > 0) await session.load(options.warmUpCalls);
  const rangesBefore = await rangesAtEtcd();
  const before = readCpu(options);
  const { calls, reads, elapsedSeconds, latencies } = await session.load(options.calls);
  const after = readCpu(options);
  const rangesAfter = await rangesAtEtcd();
  return {
    calls,
    reads,
    elapsedSeconds,
    p50Micros: latencies.quantile(0.5),
    p99Micros: latencies.quantile(0.99),
    ...cpuFigures(before, after, calls),
    ...(rangesBefore === undefined || rangesAfter === undefined || reads === 0
      ? {}
      : { upstreamCallsShare: (rangesAfter - rangesBefore) / reads }),
  };
}

try {
  const options = parseKvOptions(process.argv.slice(2));
  const figures = await run(options);
  console.log(options.json ? JSON.stringify(figures) : kvFiguresLine(figures));
  process.exit(0);
} catch (error) {
  console.error(`kv-clients: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
