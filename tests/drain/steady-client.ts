/**
 * A client on etcd's own Go library that works without a pause, and its account of what it has seen
 * (tests/etcd/steady-client). `scripts/steady-client` builds it; where there is no Go the tests with it are skipped.
 */
import { join } from "node:path";
import { type PipedChild, spawnPiped } from "../harness/child-process.ts";
import { LineLog } from "../harness/line-log.ts";
import { waitFor } from "../harness/wait-for.ts";

const script = join(import.meta.dir, "..", "..", "scripts", "steady-client");
const found = Bun.spawnSync([script], { stderr: "pipe" });
const said = found.stderr.toString().trim();
if (found.exitCode !== 0 && found.exitCode !== 3) throw new Error(`scripts/steady-client failed:\n${said}`);

/** Why there is no such client on this machine; empty where there is. */
export const withoutSteadyClient = found.exitCode === 3 ? said : "";

interface Write {
  readonly key: string;
  readonly revision: number;
}

interface Failure {
  readonly what: string;
  readonly code: string;
  readonly message: string;
}

export interface SteadyReport {
  readonly acknowledged: readonly Write[];
  readonly failedPuts: readonly Failure[];
  readonly reads: number;
  readonly failedReads: readonly Failure[];
  /** What its watch was told, in that order. */
  readonly events: readonly Write[];
  readonly watchError: string;
  readonly heartbeats: number;
  readonly leaseLost: boolean;
}

interface Counts {
  readonly puts: number;
  readonly reads: number;
  readonly events: number;
  readonly heartbeats: number;
}

export class SteadyClient implements AsyncDisposable {
  readonly #process: PipedChild;
  readonly #output: LineLog;
  readonly #errors: LineLog;

  /** Starts it against `endpoints` (`host:port`), all of which it knows; `name` sets its keys apart. */
  constructor(endpoints: readonly string[], name: string) {
    const program = found.stdout.toString().trim();
    this.#process = spawnPiped([
      program,
      `-endpoints=${endpoints.join(",")}`,
      `-prefix=${name}/`,
      `-lease-key=${name}-leased`,
    ]);
    this.#output = new LineLog("steady-client", this.#process.stdout);
    this.#errors = new LineLog("steady-client (stderr)", this.#process.stderr);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Waits until it has seen `count` more of everything than now. */
  async progress(count: number): Promise<void> {
    const before = this.#counts;
    await waitFor(`${count} more puts, reads and events; ${this.#errors.text}`, () => {
      const now = this.#counts;
      return (["puts", "reads", "events"] as const).every((kind) => now[kind] >= before[kind] + count);
    });
  }

  /** Ends its work and gives its account. */
  async stop(): Promise<SteadyReport> {
    this.#process.kill("SIGTERM");
    return this.#output.find("its report", (line) => {
      const { report } = JSON.parse(line) as { report?: SteadyReport };
      return report;
    });
  }

  get #counts(): Counts {
    const line = this.#output.lines.at(-1);
    return line === undefined ? NONE : (JSON.parse(line) as Counts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

const NONE: Counts = { puts: 0, reads: 0, events: 0, heartbeats: 0 };
