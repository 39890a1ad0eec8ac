/** The honest client beside an attack, as a test sees it: how its calls went before, and meanwhile. */
import { join } from "node:path";
import { LineLog } from "../harness/line-log.ts";

/** How a client's rounds went: each writes a key and reads it back. */
export interface Tally {
  readonly rounds: number;
  readonly medianMs: number;
  /** 95 of 100 rounds took no longer. */
  readonly slowMs: number;
  readonly failures: readonly string[];
}

const program = join(import.meta.dir, "honest-client.ts");

export class HonestClient implements AsyncDisposable {
  readonly #process;
  readonly #output: LineLog;

  constructor(address: string) {
    this.#process = Bun.spawn([process.execPath, program, address], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#output = new LineLog("the honest client", this.#process.stdout);
  }

  /** The rounds since this was asked last. */
  async tally(): Promise<Tally> {
    await this.#process.stdin.write("\n");
    await this.#process.stdin.flush();
    return JSON.parse(await this.#output.next()) as Tally;
  }

  /** Waits until it has done `rounds` rounds without being disturbed, and tells how they went. */
  async undisturbed(rounds: number): Promise<Tally> {
    await this.tally();
    let all: Tally = { rounds: 0, medianMs: 0, slowMs: 0, failures: [] };
    while (all.rounds < rounds) {
      await Bun.sleep(50);
      const one = await this.tally();
      all = {
        rounds: all.rounds + one.rounds,
        medianMs: Math.max(all.medianMs, one.medianMs),
        slowMs: Math.max(all.slowMs, one.slowMs),
        failures: [...all.failures, ...one.failures],
      };
    }
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
