/**
 * What h2load tells, read: the summary that it prints, and the log of single requests (`--log-file`).
 *
 * Invariant: a run counts only when every request was answered, and every answer has as many bytes as expected.
 * h2load itself takes any 200 for a success, and a gRPC error is a 200 too: without a message in it.
 */
import { quantile } from "./spread.ts";

export interface H2loadSummary {
  readonly requests: number;
  readonly succeeded: number;
  readonly elapsedSeconds: number;
  /** Bytes in DATA frames of all answers. */
  readonly answerBytes: number;
}

/** How many bytes each answer may have, both ends included. */
export interface AnswerSize {
  readonly minBytes: number;
  readonly maxBytes: number;
}

export interface Latency {
  readonly p50Micros: number;
  readonly p99Micros: number;
}

const SECONDS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };

/** Reads h2load's summary. @throws Error with the output when there is none in it. */
export function parseH2loadSummary(output: string): H2loadSummary {
  const finished = /^finished in ([\d.]+)(us|ms|s|m|h), /m.exec(output);
  const requests = /^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded/m.exec(output);
  const traffic = /^traffic: .*\((\d+)\) data$/m.exec(output);
  if (finished === null || requests === null || traffic === null) {
    throw new Error(`h2load printed no summary:\n${output.trim()}`);
  }
  return {
    requests: Number(requests[1]),
    succeeded: Number(requests[2]),
    elapsedSeconds: Number(finished[1]) * (SECONDS[finished[2] ?? ""] ?? Number.NaN),
    answerBytes: Number(traffic[1]),
  };
}

/** @throws Error when not every request of the run got an answer of the expected size. */
export function checkAnswers(summary: H2loadSummary, expected: AnswerSize): void {
  const { requests, succeeded, answerBytes } = summary;
  if (succeeded !== requests) throw new Error(`only ${succeeded} of ${requests} requests succeeded`);
  if (answerBytes < requests * expected.minBytes || answerBytes > requests * expected.maxBytes) {
    const range = `${expected.minBytes} to ${expected.maxBytes}`;
    const average = (answerBytes / requests).toFixed(2);
    throw new Error(
      `answers have ${average} bytes on average, expected ${range}: they are not the right ones`,
    );
  }
}

/** The durations in an h2load log (start, status, microseconds on each line), in microseconds, sorted. */
export function parseH2loadLog(log: string): Float64Array {
  const lines = log.split("\n").filter((line) => line !== "");
  return Float64Array.from(lines, (line) => {
    const micros = Number(line.slice(line.lastIndexOf("\t") + 1));
    if (!Number.isFinite(micros)) throw new Error(`not a line of an h2load log: ${JSON.stringify(line)}`);
    return micros;
  }).sort();
}

/** Median and 99th percentile of sorted durations in microseconds. */
export function latencyOf(sortedMicros: ArrayLike<number>): Latency {
  return { p50Micros: quantile(sortedMicros, 0.5), p99Micros: quantile(sortedMicros, 0.99) };
}
