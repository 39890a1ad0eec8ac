/**
 * Tells the service manager that started the process how far it is: sd_notify of systemd, to the socket that `NOTIFY_SOCKET` names.
 *
 *     STATUS=starting ─> READY=1 ─┬─> RELOADING=1 … READY=1 ─┬─> STOPPING=1
 *                                 └─> WATCHDOG=1, by the way ┘
 *
 * Stands between lifecycle.ts and the socket, and is loaded only where there is one. What cannot be told is a line in the log and
 * never an error. The variables are taken out of the environment: they are for this process and for nobody that it starts.
 */
import { UnixDatagramSender } from "../net/unix-datagrams.ts";
import type { Logger } from "../observe/log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { LifeWitness, RunningProduct } from "./lifecycle.ts";

/** How long after the drain timeout the process has ended, at the latest. */
const STOP_RESERVE_MS = 10_000;

/** What the service manager sets for this process alone. */
const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/** A status stays on one line. */
const STATUS_LENGTH_MAX = 500;

export class ServiceManager implements LifeWitness {
  readonly #socket: UnixDatagramSender;
  readonly #log: RateLimitedLog;
  readonly #drainTimeoutMs: number;
  /** Between two signs of life; null: nobody waits for any. */
  readonly #signOfLifeMs: number | null;
  #serving = "";
  #reloads = 0;
  #stopping = false;

  private constructor(
    socket: UnixDatagramSender,
    log: Logger,
    drainTimeoutMs: number,
    signOfLifeMs: number | null,
  ) {
    this.#socket = socket;
    this.#log = new RateLimitedLog(log, () => performance.now());
    this.#drainTimeoutMs = drainTimeoutMs;
    this.#signOfLifeMs = signOfLifeMs;
  }

  /**
   * Takes what the service manager has left in `environment` for this process. Null: it cannot be told anything.
   *
   * @param drainTimeoutMs how long a stop may take
   */
  static open(
    environment: Record<string, string | undefined>,
    drainTimeoutMs: number,
    log: Logger,
  ): ServiceManager | null {
    const { NOTIFY_SOCKET: name = "", WATCHDOG_USEC: period, WATCHDOG_PID: owner } = environment;
    for (const taken of VARIABLES) delete environment[taken];
    const isForUs = owner === undefined || owner === String(process.pid);
    const signOfLifeMs = isForUs && Number(period) > 0 ? Number(period) / 2_000 : null;
    try {
      const manager = new ServiceManager(new UnixDatagramSender(name), log, drainTimeoutMs, signOfLifeMs);
      manager.#tell(status("starting"));
      return manager;
    } catch (error) {
      log.warn("NOTIFY_SOCKET cannot be used: the service manager is told nothing", { error });
      return null;
    }
  }

  ready(product: RunningProduct): void {
    const { fields } = product.ready ?? {};
    const workers = fields?.["workers"];
    const where = fields === undefined ? "" : ` at ${fields.address}`;
    const how = typeof workers === "number" ? `, ${workers} workers` : "";
    this.#serving = status(`serving clients${where}${how}`);
    this.#tell("READY=1", this.#serving);
    if (this.#signOfLifeMs === null) return;
    setInterval(() => {
      if (product.isWell?.() ?? true) this.#tell("WATCHDOG=1");
    }, this.#signOfLifeMs).unref();
  }

  reloading(): void {
    if (this.#stopping) return;
    this.#reloads++;
    this.#tell(
      "RELOADING=1",
      `MONOTONIC_USEC=${this.#socket.monotonicMicros()}`,
      status("reading files anew"),
    );
  }

  reloaded(): void {
    if (this.#stopping || --this.#reloads > 0) return;
    this.#tell("READY=1", this.#serving);
  }

  stopping(): void {
    this.#stopping = true;
    const ms = this.#drainTimeoutMs;
    this.#tell(
      "STOPPING=1",
      // A manager that would kill sooner waits as long as clients were promised.
      `EXTEND_TIMEOUT_USEC=${Math.round((ms + STOP_RESERVE_MS) * 1_000)}`,
      status(`stopping: clients may finish within ${Math.ceil(ms / 1_000)} s`),
    );
  }

  failed(error: unknown): void {
    this.#tell(status(error instanceof Error ? error.message : String(error)));
  }

  #tell(...assignments: readonly string[]): void {
    if (this.#socket.send(assignments.join("\n"))) return;
    const what = assignments[0] ?? "";
    this.#log.write("warn", what, "the service manager does not take what it is told", { what });
  }
}

function status(text: string): string {
  return `STATUS=${text.replaceAll(/\s+/g, " ").slice(0, STATUS_LENGTH_MAX)}`;
}
