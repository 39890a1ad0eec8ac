/**
 * A program: a client that does nothing wrong, one call after another, while somebody else attacks the same proxy.
 *
 *   bun honest-client.ts <host:port>
 *
 * It writes a key, reads it back and compares. For each line on standard input it writes one on standard output: a
 * `Tally` of the rounds since the line before. It runs in a process of its own, so that the attacker's work does not
 * count as the proxy's.
 */
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import type { Tally } from "./honest.ts";

const address = process.argv[2];
if (address === undefined) throw new Error("usage: honest-client.ts <host:port>");

const key = new TextEncoder().encode("honest");
let times: number[] = [];
let failures: string[] = [];

async function round(client: GrpcClient, index: number): Promise<void> {
  const value = `round ${index}`;
  const start = performance.now();
  await client.unary(KV.method.put, { key, value: new TextEncoder().encode(value) });
  const { kvs } = await client.unary(KV.method.range, { key });
  times.push(performance.now() - start);
  const read = new TextDecoder().decode(kvs[0]?.value);
  if (read !== value) failures.push(`wrote "${value}", read "${read}"`);
}

async function rounds(): Promise<never> {
  using client = new GrpcClient(address!);
  for (let i = 0; ; i++) {
    try {
      await round(client, i);
    } catch (error) {
      if (failures.length < 10) failures.push(String(error));
      await Bun.sleep(10);
    }
  }
}

void rounds();
for await (const _line of console) {
  const sorted = times.toSorted((a, b) => a - b);
  const tally: Tally = {
    rounds: sorted.length,
    medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0,
    slowMs: sorted[Math.floor(sorted.length * 0.95)] ?? 0,
    failures,
  };
  times = [];
  failures = [];
  console.log(JSON.stringify(tally));
}
process.exit(0);
