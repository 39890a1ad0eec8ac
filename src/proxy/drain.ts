/**
 * How the grpc-proxy takes leave of its clients.
 *
 *      readiness off ─> no new connections ─> GOAWAY to each ─> endless calls ended ─> what is left may finish
 *
 * Stands between the port, whose connections are told to finish, and the calls that would never do so. GOAWAY goes first:
 * a client whose watch ends has then been told that this is not the place to begin it again. Both are spread, so that
 * thousands of clients do not arrive at another proxy in one moment.
 */
import { inBatches } from "../base/in-batches.ts";
import { drained } from "../observe/drain.ts";
import type { Logger } from "../observe/log.ts";
import { STOPPING } from "./endless-calls.ts";
import { drainingPage } from "./pages/health.ts";
import type { Pages } from "../observe/page.ts";
import type { Port } from "./port/port.ts";
import type { Router } from "./router.ts";

/** The most that telling all clients takes, in milliseconds; and its share of the time that there is. */
const SPREAD_MAX_MS = 5_000;
const SPREAD_SHARE = 4;
/** Pages that tell nothing else of a proxy that is about to stop. */
const HEALTH_PATHS = ["/health", "/proxy/health"];

export class Drain {
  readonly #timeoutMs: number;
  readonly #log: Logger;
  #begun = false;

  /** `timeoutMs`: how long clients may take; 0: no time at all. */
  constructor(timeoutMs: number, log: Logger) {
    this.#timeoutMs = timeoutMs;
    this.#log = log;
  }

  /** The proxy has been asked to stop. */
  get begun(): boolean {
    return this.#begun;
  }

  /** `pages` with pages of health that tell of the drain as long as it lasts. */
  pages(pages: Pages): Pages {
    return (path) =>
      this.#begun && HEALTH_PATHS.includes(path) ? () => Promise.resolve(drainingPage()) : pages(path);
  }

  /** From here on the proxy is not ready. */
  begin(): void {
    this.#begun = true;
  }

  /** Resolves when the port has no client any more, or the time is up: then those that are left are to be cut. */
  async run(port: Port, router: Router): Promise<void> {
    this.begin();
    const spreadMs = Math.min(SPREAD_MAX_MS, this.#timeoutMs / SPREAD_SHARE);
    await drained({
      timeoutMs: this.#timeoutMs,
      log: this.#log,
      left: () => ({ clients: port.connections, requests: port.requests }),
      async finish() {
        await port.drain(spreadMs);
        await inBatches(router.dismissNew(STOPPING), spreadMs, (call) => call.dismiss(STOPPING));
        await port.empty();
      },
    });
  }
}
