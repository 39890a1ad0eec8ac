/**
 * etcdctl as a test's client: the commands that operators type, run against given endpoints.
 *
 * It is the binary of the etcd version under test, so it also shows that the proxy serves the Go client.
 * Without ETCDCTL_API: each since 3.4 speaks the API of today, and that of 3.7 complains of the variable.
 */
import type { ClientTls } from "./certificates.ts";
import { runCommand, spawnPiped, type CommandResult, type PipedChild } from "./child-process.ts";
import { etcdBinary } from "./etcd-version.ts";
import { LineLog } from "./line-log.ts";

function commandLine(endpoints: readonly string[], rest: readonly string[]): string[] {
  return [etcdBinary("etcdctl"), `--endpoints=${endpoints.join(",")}`, ...rest];
}

/** The flags for TLS; they stand before the command. */
export function etcdctlTls({ caFile, certificate }: ClientTls): string[] {
  if (certificate === undefined) return [`--cacert=${caFile}`];
  return [`--cacert=${caFile}`, `--cert=${certificate.certificateFile}`, `--key=${certificate.keyFile}`];
}

/**
 * Runs one etcdctl command to its end.
 *
 * @param endpoints `host:port` of members, a gateway or a grpc-proxy; `https://host:port` with TLS.
 * @param rest what follows `etcdctl --endpoints=…`; see `etcdctlTls`.
 * @param stdin bytes for standard input.
 */
export function etcdctl(
  endpoints: readonly string[],
  rest: readonly string[],
  stdin?: Uint8Array,
): Promise<CommandResult> {
  return runCommand(commandLine(endpoints, rest), stdin === undefined ? {} : { stdin });
}

/** A running etcdctl command that prints as things happen: `watch`, `lease keep-alive`, `lock`, `elect`. */
export class EtcdctlStream implements AsyncDisposable {
  readonly stdout: LineLog;
  readonly stderr: LineLog;
  readonly #process: PipedChild;

  constructor(endpoints: readonly string[], rest: readonly string[]) {
    const name = `etcdctl ${rest.join(" ")}`;
    this.#process = spawnPiped(commandLine(endpoints, rest));
    this.stdout = new LineLog(name, this.#process.stdout);
    this.stderr = new LineLog(`${name} (stderr)`, this.#process.stderr);
  }

  /** Exit status, when it ends. */
  get exited(): Promise<number> {
    return this.#process.exited;
  }

  /** The next line of its standard output. */
  nextLine(deadlineMs?: number): Promise<string> {
    return this.stdout.next(deadlineMs);
  }

  /** The next `count` lines of its standard output. */
  async nextLines(count: number, deadlineMs?: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) lines.push(await this.nextLine(deadlineMs));
    return lines;
  }

  /** Ends it as Ctrl-C does, and waits for its exit status. */
  async stop(signal: NodeJS.Signals = "SIGINT"): Promise<number> {
    this.#process.kill(signal);
    return this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}
