/** What the main thread and the workers ask each other. */
import type { MetricValues } from "../observe/metrics.ts";
import type { Page } from "../observe/page.ts";
import type { WorkerPool } from "../workers/worker-pool.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";
import type { ReadyLine } from "./lifecycle.ts";
import type { LogSettings } from "./logging-flags.ts";

/** A product with its flags. */
export type ProductFlags =
  | { readonly product: "gateway"; readonly flags: GatewayFlags }
  | { readonly product: "grpc-proxy"; readonly flags: GrpcProxyFlags };

/** The first question to a worker, answered by a `ReadyLine` once it listens. */
export interface StartOrder {
  readonly ask: "start";
  readonly serve: ProductFlags;
  readonly worker: number;
  readonly workers: number;
  /** In which the workers' caches tell each other. */
  readonly notices: SharedArrayBuffer;
  /** In which the id of the registration's lease is. */
  readonly lease: SharedArrayBuffer;
  readonly log: LogSettings;
}

/** What a worker is asked, and what it answers. */
export interface WorkerAnswers {
  readonly start: ReadyLine;
  /** Of this worker alone. */
  readonly metrics: MetricValues;
  /** Null: there is none. */
  readonly page: Page | null;
  readonly "page over": null;
  /** False: it has no files. */
  readonly reload: boolean;
  readonly unregister: null;
  readonly alive: null;
  readonly close: null;
}

export type WorkerQuestion =
  | StartOrder
  | { readonly ask: "metrics" | "reload" | "unregister" | "alive" | "close" }
  /** `target`: the page's path, and a query behind it. `reader`: a number of its own, for who may go before it is made. */
  | { readonly ask: "page"; readonly target: string; readonly reader?: number }
  /** This reader waits no more. */
  | { readonly ask: "page over"; readonly reader: number };

/** What the main thread is asked: the metrics page of all workers, as text. */
export interface MainQuestion {
  readonly ask: "whole metrics";
}

/** The workers, as they are asked for pages. */
export type AskedPool = Pick<WorkerPool<unknown, unknown>, "count" | "ask" | "askAll">;

/** Asks for a page: its path, and a query behind it. */
export function pageAt(target: string, reader?: number): WorkerQuestion {
  return { ask: "page", target, ...(reader === undefined ? {} : { reader }) };
}
