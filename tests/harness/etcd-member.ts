/**
 * One real etcd process on loopback, with its data directory and its log.
 *
 * Stands between a test that breaks members and the process: killed, stopped (it keeps its sockets but
 * answers nothing), continued, and started again on the same ports with the same data.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import type { IssuedCertificate } from "./certificates.ts";
import { spawnLogged, type LoggedChild } from "./child-process.ts";
import { waitFor } from "./wait-for.ts";

const HEALTH_PROBE_MS = 2_000;
const LOG_TAIL_LINES = 15;

export interface EtcdMemberPlan {
  readonly name: string;
  /** `host:port` that clients connect to. */
  readonly endpoint: string;
  readonly dataFolder: string;
  readonly logFile: string;
  /** The whole command line. */
  readonly command: readonly string[];
  /** How clients connect; without TLS when absent. */
  readonly tls?: EtcdTls;
}

/** TLS between clients and members. Files may be written over: etcd reads them anew for each handshake. */
export interface EtcdTls {
  /** What every member shows. */
  readonly server: IssuedCertificate;
  /** Members ask each client for a certificate of one of these authorities. */
  readonly clients?: {
    /** PEM file. */
    readonly caFile: string;
    /** What the harness itself shows. */
    readonly own: IssuedCertificate;
  };
}

/** What a member says of itself (Maintenance.Status), ids in decimal. */
export interface EtcdMemberStatus {
  readonly memberId: string;
  readonly leaderId: string;
  readonly version: string;
}

interface StatusAnswer {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
  readonly version: string;
}

export class EtcdMember {
  readonly name: string;
  readonly endpoint: string;
  readonly logFile: string;
  readonly dataFolder: string;
  #command: readonly string[];
  readonly #tls: EtcdTls | undefined;
  #process: LoggedChild;

  /** Starts the process; it is not ready yet, see `waitHealthy`. */
  constructor(plan: EtcdMemberPlan) {
    this.name = plan.name;
    this.endpoint = plan.endpoint;
    this.logFile = plan.logFile;
    this.dataFolder = plan.dataFolder;
    this.#command = plan.command;
    this.#tls = plan.tls;
    this.#process = spawnLogged(plan.command, plan.logFile);
  }

  /** The URL that clients connect to. */
  get url(): string {
    return `${this.#tls === undefined ? "http" : "https"}://${this.endpoint}`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Whether the process exists; a stopped one does. */
  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** The newest lines of its log. */
  logTail(): string {
    try {
      return readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n");
    } catch {
      return "(no log)";
    }
  }

  /** Ends the process with SIGKILL, stopped or not, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  /** Ends the process with SIGTERM, as an operator does, and waits until it is gone. */
  async terminate(): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.exited;
  }

  /** Stops the process with SIGSTOP: connections stay open, nothing answers once this has returned. */
  stop(): void {
    this.#process.kill("SIGSTOP");
    // Each thread stops when it next comes back from the kernel; until then it may still answer.
    const tasks = `/proc/${this.#process.pid}/task`;
    while (!readdirSync(tasks).every((task) => / T /.test(readFileSync(`${tasks}/${task}/stat`, "utf8"))));
  }

  /** Lets a stopped process go on. */
  continue(): void {
    this.#process.kill("SIGCONT");
  }

  /** Starts the member again after `kill`, same ports and data; does not wait until it is healthy. */
  restart(): void {
    if (this.running) throw new Error(`${this.name} is still running: kill it before a restart`);
    this.#process = spawnLogged(this.#command, this.logFile);
  }

  /** Resolves once the process is gone. */
  get exited(): Promise<unknown> {
    return this.#process.exited;
  }

  /** Starts a member without data, on the same ports, that joins a cluster in which it has been announced. */
  startAnew(): void {
    if (this.running) throw new Error(`${this.name} is still running: its data are in use`);
    rmSync(this.dataFolder, { recursive: true, force: true });
    const state = "--initial-cluster-state=";
    this.#command = this.#command.map((word) => (word.startsWith(state) ? `${state}existing` : word));
    this.restart();
  }

  /** Waits until the member answers linearizable reads. @throws Error with its log when it exits instead. */
  async waitHealthy(deadlineMs?: number): Promise<void> {
    const outcome = await waitFor(
      `${this.name} (${this.endpoint}) to be healthy`,
      async () => {
        if (!this.running) return "exited";
        return (await this.#isHealthy()) ? "healthy" : undefined;
      },
      deadlineMs === undefined ? {} : { deadlineMs },
    );
    if (outcome === "exited") throw new Error(`${this.name} exited; its log ends:\n${this.logTail()}`);
  }

  async #isHealthy(): Promise<boolean> {
    const health = await this.#get("/health");
    if ((health as { health?: unknown }).health !== "true") return false;
    const version = await this.#get("/version");
    return (version as { etcdcluster?: unknown }).etcdcluster !== "not_decided";
  }

  async #get(path: string): Promise<unknown> {
    return (await this.#fetch(path)).json();
  }

  /** Asks whether the member works, not who it is: its certificate may be as bad as a test wants it. */
  #fetch(path: string, request: RequestInit = {}): Promise<Response> {
    const own = this.#tls?.clients?.own;
    const shown = own === undefined ? {} : { cert: own.certificatePem, key: own.keyPem };
    return fetch(`${this.url}${path}`, {
      ...request,
      signal: AbortSignal.timeout(HEALTH_PROBE_MS),
      keepalive: false,
      ...(this.#tls === undefined ? {} : { tls: { rejectUnauthorized: false, ...shown } }),
    });
  }

  /** The member's own answer to Maintenance.Status. */
  async status(): Promise<EtcdMemberStatus> {
    const { header, leader, version } = (await this.call("/v3/maintenance/status", {})) as StatusAnswer;
    return { memberId: header.member_id, leaderId: leader ?? "0", version };
  }

  /** A call through its JSON gateway. @throws Error with what it answers instead of a message */
  async call(path: string, message: object): Promise<unknown> {
    const answer = await this.#fetch(path, { method: "POST", body: JSON.stringify(message) });
    if (!answer.ok)
      throw new Error(`${this.name}: ${path} answered ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }
}
