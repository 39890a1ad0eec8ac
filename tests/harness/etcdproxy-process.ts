/**
 * The compiled dist/etcdproxy as a process: started on a port of the kernel's choice, ready when it says so,
 * ended by a signal.
 *
 * Nothing of src/ is imported: what these tests see is what an operator sees, namely the command line, the
 * JSON log on standard error, the exit status and /proc.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  runCommand,
  spawnPiped,
  type ChildOptions,
  type CommandResult,
  type PipedChild,
} from "./child-process.ts";
import { LineLog } from "./line-log.ts";

const repository = join(import.meta.dir, "..", "..");

/** The compiled executable. */
export const executable = join(repository, "dist", "etcdproxy");

/** The log messages that say that a product serves; each carries its `address`. */
const READY_MESSAGES = ["started gRPC proxy", "ready to proxy client requests"];

let building: Promise<void> | undefined;

/** Builds dist/etcdproxy unless it is newer than all its sources; once for each test process. */
export function ensureBuilt(): Promise<void> {
  building ??= build();
  return building;
}

async function build(): Promise<void> {
  const { code, stdout, stderr } = await runCommand([join(repository, "scripts", "build")], {
    cwd: repository,
  });
  if (code !== 0) throw new Error(`scripts/build failed with status ${code}:\n${stdout}${stderr}`);
}

/** One line of the log. */
export interface LogEntry {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The log entry in `line`; undefined when it is not one. */
function parseLogEntry(line: string): LogEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    const isEntry = typeof entry === "object" && entry !== null && "msg" in entry;
    return isEntry ? (entry as LogEntry) : undefined;
  } catch {
    return undefined;
  }
}

export class EtcdproxyProcess implements AsyncDisposable {
  readonly stderr: LineLog;
  readonly stdout: LineLog;
  readonly #process: PipedChild;
  #address = "";

  /** Starts `etcdproxy <rest>`; see `startProxy`, which also waits until it is ready. */
  constructor(rest: readonly string[], options: ChildOptions) {
    this.#process = spawnPiped([executable, ...rest], options);
    this.stdout = new LineLog(`etcdproxy ${rest[0]} (stdout)`, this.#process.stdout);
    this.stderr = new LineLog(`etcdproxy ${rest[0]}`, this.#process.stderr);
  }

  /** `host:port` where it serves clients. */
  get address(): string {
    return this.#address;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Exit status, when it ends; 128 and the signal's number when a signal ended it. */
  get exited(): Promise<number> {
    return this.#process.exited;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** The log so far. */
  get log(): readonly LogEntry[] {
    return this.stderr.lines.map(parseLogEntry).filter((entry) => entry !== undefined);
  }

  /** The endpoint that a grpc-proxy's calls go to, as its log tells; undefined before it was connected. */
  get endpointInUse(): string | undefined {
    const connected = this.log.findLast(({ msg }) => msg === "connected to a member");
    return connected && String(connected["endpoint"]);
  }

  /** The first log entry, past or future, with this message. */
  logged(message: string, deadlineMs?: number): Promise<LogEntry> {
    return this.stderr.find(`log message "${message}"`, entryWith([message]), deadlineMs);
  }

  /** The first log entry, past or future, that `choose` takes. @param what the entry in words, for the failure. */
  loggedWhere(what: string, choose: (entry: LogEntry) => boolean, deadlineMs?: number): Promise<LogEntry> {
    const find = (line: string): LogEntry | undefined => {
      const entry = parseLogEntry(line);
      return entry !== undefined && choose(entry) ? entry : undefined;
    };
    return this.stderr.find(what, find, deadlineMs);
  }

  async waitReady(deadlineMs?: number): Promise<void> {
    const entry = await this.stderr.find("the ready line", entryWith(READY_MESSAGES), deadlineMs);
    const address = entry["address"];
    if (typeof address !== "string")
      throw new Error(`the ready line has no address: ${JSON.stringify(entry)}`);
    this.#address = address;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Ends it as a service manager does (SIGTERM) and waits for its exit status. */
  async stop(): Promise<number> {
    this.#process.kill("SIGTERM");
    return this.#process.exited;
  }

  /** Memory that the process holds now (VmRSS of /proc). */
  rssBytes(): number {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    if (match === null) throw new Error(`process ${this.pid} has no VmRSS: it has exited`);
    return Number(match[1]) * 1024;
  }

  /** File descriptors that the process has open, sockets among them. */
  openFiles(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

function entryWith(messages: readonly string[]): (line: string) => LogEntry | undefined {
  return (line) => {
    const entry = parseLogEntry(line);
    return entry !== undefined && messages.includes(entry.msg) ? entry : undefined;
  };
}

/** Starts `etcdproxy <rest>` and waits for its ready line. Give it `--listen-addr=127.0.0.1:0`. */
export async function startProxy(
  rest: readonly string[],
  options: ChildOptions = {},
): Promise<EtcdproxyProcess> {
  await ensureBuilt();
  const proxy = new EtcdproxyProcess(rest, options);
  try {
    await proxy.waitReady();
    return proxy;
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts `etcdproxy grpc-proxy start` in front of `endpoints`, on a free loopback port. */
export function startGrpcProxy(
  endpoints: readonly string[],
  flags: readonly string[] = [],
): Promise<EtcdproxyProcess> {
  return startProxy(["grpc-proxy", "start", ...serving(endpoints), ...flags]);
}

/** Starts `etcdproxy gateway start` in front of `endpoints`, on a free loopback port. */
export function startGateway(
  endpoints: readonly string[],
  flags: readonly string[] = [],
): Promise<EtcdproxyProcess> {
  return startProxy(["gateway", "start", ...serving(endpoints), ...flags]);
}

function serving(endpoints: readonly string[]): string[] {
  return ["--listen-addr=127.0.0.1:0", `--endpoints=${endpoints.join(",")}`];
}

/** Runs `etcdproxy <rest>` to its end: version, help, refused flags. */
export async function runEtcdproxy(
  rest: readonly string[],
  options: ChildOptions = {},
): Promise<CommandResult> {
  await ensureBuilt();
  return runCommand([executable, ...rest], options);
}
