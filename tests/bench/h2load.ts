/**
 * Runs h2load against a gRPC method, with answers checked by their size.
 *
 * A load is measured without h2load's log, which costs it one system call for each request; latencies come from a
 * shorter run with the log, right behind it.
 */
import { readFileSync, rmSync } from "node:fs";
import { runCommand } from "../harness/child-process.ts";
import {
  type AnswerSize,
  checkAnswers,
  type H2loadSummary,
  type Latency,
  latencyOf,
  parseH2loadLog,
  parseH2loadSummary,
} from "./h2load-output.ts";

/** The load of one h2load process. */
export interface H2loadShape {
  readonly connections: number;
  readonly streamsPerConnection: number;
}

/** A gRPC call that h2load repeats. */
export interface GrpcLoad {
  /** Path of the method. */
  readonly path: string;
  /** Files with the body of a request, length prefix and message; one h2load process for each. */
  readonly bodyFiles: readonly string[];
  readonly shape: H2loadShape;
  /** Whether clients speak TLS; they take any certificate. */
  readonly tls?: boolean;
}

/** Of all processes together. */
export interface H2loadResult {
  readonly requests: number;
  readonly elapsedSeconds: number;
  /** Processor time of h2load for each request. Once it fills a core, the rate is h2load's own. */
  readonly clientCpuMicros: number;
}

/**
 * Sends `requests` in all to `address` and waits for every answer.
 *
 * @param answerSize asked when all answers are there, as an answer may grow with the store's revision.
 * @throws Error when any answer is missing or not of that size.
 */
export async function runH2load(
  address: string,
  load: GrpcLoad,
  requests: number,
  answerSize: () => Promise<AnswerSize>,
): Promise<H2loadResult> {
  const { summaries, cpuMicros } = await runAll(address, load, requests, undefined);
  const expected = await answerSize();
  for (const summary of summaries) checkAnswers(summary, expected);
  const answered = summaries.reduce((sum, summary) => sum + summary.requests, 0);
  return {
    requests: answered,
    elapsedSeconds: Math.max(...summaries.map((summary) => summary.elapsedSeconds)),
    clientCpuMicros: cpuMicros / answered,
  };
}

/** The latency of single requests under the load. @param logFile a file for the logs; more are made beside it. */
export async function measureLatency(
  address: string,
  load: GrpcLoad,
  requests: number,
  logFile: string,
): Promise<Latency> {
  const { logs } = await runAll(address, load, requests, logFile);
  const durations = logs.map(parseH2loadLog);
  const all = new Float64Array(durations.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const some of durations) {
    all.set(some, at);
    at += some.length;
  }
  return latencyOf(all.sort());
}

interface Finished {
  readonly summaries: readonly H2loadSummary[];
  readonly logs: readonly string[];
  /** Processor time of all processes. */
  readonly cpuMicros: number;
}

async function runAll(
  address: string,
  load: GrpcLoad,
  requests: number,
  logFile: string | undefined,
): Promise<Finished> {
  const { connections, streamsPerConnection } = load.shape;
  const logFiles = logFile === undefined ? [] : load.bodyFiles.map((_, index) => `${logFile}.${index}`);
  const runs = load.bodyFiles.map(async (bodyFile, index) => {
    const log = logFiles[index];
    const { code, stdout, stderr, cpuMicros } = await runCommand([
      "h2load",
      `--requests=${Math.max(connections, Math.round(requests / load.bodyFiles.length))}`,
      `--clients=${connections}`,
      `--max-concurrent-streams=${streamsPerConnection}`,
      "--threads=1",
      `--data=${bodyFile}`,
      "--header=content-type: application/grpc",
      "--header=te: trailers",
      ...(log === undefined ? [] : [`--log-file=${log}`]),
      `${load.tls === true ? "https" : "http"}://${address}${load.path}`,
    ]);
    if (code !== 0) throw new Error(`h2load ended with status ${code}:\n${stdout}${stderr}`);
    return { summary: parseH2loadSummary(stdout), cpuMicros };
  });
  try {
    const ended = await Promise.all(runs);
    return {
      summaries: ended.map(({ summary }) => summary),
      logs: logFiles.map((file) => readFileSync(file, "latin1")),
      cpuMicros: ended.reduce((sum, { cpuMicros }) => sum + cpuMicros, 0),
    };
  } finally {
    for (const file of logFiles) rmSync(file, { force: true });
  }
}
