/**
 * The options of `scripts/bench`.
 */
import { parseArgs } from "node:util";

/**
 * What can be measured apart from the rest: calls, watches and leases through grpc-proxy, the gateway, TLS, and what
 * costs without load.
 */
export const PARTS = ["kv", "watch", "lease", "gateway", "tls", "idle"] as const;
export type Part = (typeof PARTS)[number];

export interface BenchOptions {
  readonly rounds: number;
  /** About how long one measurement lasts. */
  readonly seconds: number;
  readonly parts: readonly Part[];
  readonly jsonFile: string;
  /** Whether a missed target is a failure. */
  readonly strict: boolean;
}

export const USAGE = `usage: scripts/bench [options]
  --rounds N     rounds in which everything is measured once (default 5)
  --seconds N    about how long one measurement lasts (default 2.5)
  --only PART    measure only kv, watch, lease, gateway, tls or idle
  --etcd DIR     folder with etcd and etcdctl (default: what scripts/etcd 3.5 prints)
  --json FILE    where the figures go (default bench-results.json)
  --strict       exit with status 1 when a target is missed`;

/** @throws Error that names the argument which is wrong. */
export function parseOptions(words: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "2.5" },
      only: { type: "string" },
      json: { type: "string", default: "bench-results.json" },
      strict: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${values.rounds}: not a number from 1 on`);
  const seconds = Number(values.seconds);
  if (!(seconds >= 0.1 && seconds <= 60))
    throw new Error(`--seconds ${values.seconds}: not within 0.1 and 60`);
  const parts = PARTS.filter((part) => values.only === undefined || values.only === part);
  if (parts.length === 0) throw new Error(`--only ${values.only}: not one of ${PARTS.join(", ")}`);
  return { rounds, seconds, parts, jsonFile: values.json, strict: values.strict };
}
