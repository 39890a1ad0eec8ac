/**
 * The life of a product in this process: started, kept alive whatever happens inside it, stopped by a signal.
 * Stands between run.ts and the operating system's signals.
 *
 * Invariant: the first SIGTERM or SIGINT stops cleanly, for which clients get the time they were promised and the exit
 * status is 0 even if some had to be cut; a second one ends at once; SIGHUP ends nothing; an error that nobody caught is logged and
 * ends nothing, since a peer may have caused it.
 */
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { Logger } from "../observe/log.ts";
import type { MetricValues } from "../observe/metrics.ts";
import type { Pages } from "../observe/page.ts";

/** The line by which a product says that it serves. */
export interface ReadyLine {
  readonly caller: string;
  readonly message: string;
  /** `address` is where it listens. */
  readonly fields: { readonly address: string } & Readonly<Record<string, unknown>>;
}

/** What serves clients. */
export interface RunningProduct {
  /**
   * Stops serving: takes no new clients, lets those it has finish within the drain timeout, and then ends what is left.
   * What tells of readiness says "draining" from the call on, and goes last. Resolves when nothing is open any more.
   */
  close(): Promise<void>;
  /**
   * Takes back by what clients find the whole process, whichever of several workers is asked; never rejects, and takes a
   * second at the most. Without it there is nothing. `close` does it too.
   */
  unregister?(): Promise<void>;
  /** Reads its files anew; never rejects. False, or without it: there are none. */
  reload?(): Promise<boolean>;
  /** One of several workers does not log it: that is for who knows of all. */
  readonly ready?: ReadyLine;
  /** Its pages, for who serves them elsewhere too; absent where it has none. */
  readonly pages?: Pages;
  /** The values of its metrics, those of other workers not among them. */
  metricValues?(): Promise<MetricValues>;
  /** False while a part of it does nothing any more and cannot be replaced; absent: it has no such part. */
  isWell?(): boolean;
}

/** Who is told how far the process is, as it happens: a service manager. */
export interface LifeWitness {
  ready(product: RunningProduct): void;
  /** This, and `reloaded` once for each, may come during a stop as well. */
  reloading(): void;
  reloaded(): void;
  stopping(): void;
  /** It could not start. */
  failed(error: unknown): void;
}

/** What may serve clients while the rest of the product still starts. */
export type EarlyProduct = Pick<RunningProduct, "close">;

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;
type StopSignal = keyof typeof signalNumbers;

const errorKeyLengthMax = 200;

/**
 * Starts a product and serves until a signal asks to stop.
 *
 * @param start tells what already serves clients before all does: it is closed if a signal comes meanwhile
 * @throws whatever `start` rejects with
 */
export async function serveUntilSignal(
  start: (early: (product: EarlyProduct) => void) => Promise<RunningProduct>,
  log: Logger,
  witness: LifeWitness | null = null,
): Promise<void> {
  const stopSignal = nextStopSignal(log);
  let early: EarlyProduct | null = null;
  let product: RunningProduct | null = null;
  process.on("SIGHUP", () => void reload(product, log, witness));
  logUnexpectedErrors(log);
  try {
    // A signal while the product still starts (a slow discovery, say) ends the wait.
    const started = start((serving) => void (early = serving));
    product = await Promise.race([started, stopSignal.then(() => null)]);
  } catch (error) {
    witness?.failed(error);
    throw error;
  }
  if (product !== null) witness?.ready(product);
  const signal = await stopSignal;
  log.info("stopping", { signal });
  witness?.stopping();
  await (product ?? early)?.close();
  log.info("stopped");
}

async function reload(
  product: RunningProduct | null,
  log: Logger,
  witness: LifeWitness | null,
): Promise<void> {
  if (product === null) {
    log.info("SIGHUP: nothing is read anew while the product starts");
    return;
  }
  witness?.reloading();
  if ((await product.reload?.()) !== true) log.info("SIGHUP: there is no file to read anew");
  witness?.reloaded();
}

function nextStopSignal(log: Logger): Promise<StopSignal> {
  const { promise, resolve } = Promise.withResolvers<StopSignal>();
  let asked = false;
  const onSignal = (signal: StopSignal): void => {
    if (asked) {
      log.warn("ended at once by a second signal: what clients have open is cut", { signal });
      process.exit(128 + signalNumbers[signal]);
    }
    asked = true;
    resolve(signal);
  };
  process.on("SIGINT", () => onSignal("SIGINT"));
  process.on("SIGTERM", () => onSignal("SIGTERM"));
  return promise;
}

/** An error that nobody caught is logged, and ends nothing. */
export function logUnexpectedErrors(log: Logger): void {
  const limited = new RateLimitedLog(log, () => performance.now());
  const onError = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    const key = String(error).slice(0, errorKeyLengthMax);
    limited.write("error", key, "unexpected error", { error, stack });
  };
  process.on("uncaughtException", onError);
  process.on("unhandledRejection", onError);
}
