/**
 * A load that is put on several contenders in turn, so that they can be compared.
 *
 * An operation is a request, a connection, a TLS handshake, a gigabyte (10^9 bytes), an event delivered to a watch,
 * the creation of a watch, or a heartbeat that keeps a lease alive.
 */
import type { Quantity } from "./figures.ts";
import type { Latency } from "./h2load-output.ts";
import type { Part } from "./options.ts";

export type Operation = "request" | "connection" | "handshake" | "GB" | "event" | "watch" | "heartbeat";

/** Who is measured: nothing in between, etcd's own proxy, this project's, also with two workers, and what they are held against. */
export type ContenderName =
  "direct" | "etcd" | "ours" | "ours ×2" | "haproxy" | "nginx" | "floor" | "cached floor";

/** The proxies of others: the best of them is what ours has to keep up with. */
export const RIVALS: readonly ContenderName[] = ["etcd", "haproxy", "nginx"];

export interface Contender {
  readonly name: ContenderName;
  /** `host:port` where the load goes. */
  readonly address: string;
  /** The proxy's process; absent when there is none in between. */
  readonly pid?: number;
  /** Bytes of each answer, prefix and message, where they are not to be those of etcd's answer of now. */
  readonly answerBytes?: number;
}

/** One load, run to its end. */
export interface LoadResult {
  readonly operations: number;
  readonly elapsedSeconds: number;
  /** Of single operations; absent where they are not told apart. */
  readonly latency?: Latency;
  /** What the load's own program measured; it goes before what was measured around its run. */
  readonly told?: Readonly<Partial<Record<Quantity, number | undefined>>>;
}

/** What a table of figures tells of a measurement. */
export interface Measured {
  /** Its name in the file of results and in the targets. */
  readonly id: string;
  readonly title: string;
  readonly part: Part;
  readonly operation: Operation;
}

export interface Measurement extends Measured {
  readonly contenders: readonly Contender[];
  /** The process behind all of them. */
  readonly serverPid: number;
  /** Enough operations to guess from how many fill the wanted time. */
  readonly firstOperations: number;
  /** Puts the load on a contender. @throws Error when anything but the right answers came back. */
  run(contender: Contender, operations: number): Promise<LoadResult>;
  /** How many calls the server was sent until now, where that is told for each operation. */
  upstreamCalls?(): Promise<number>;
  /** Latencies, where they take a run of their own. */
  latency?(contender: Contender, operations: number): Promise<Latency>;
}
