/**
 * Processes that the tests start: etcd members, etcdctl, the compiled etcdproxy.
 *
 * Invariant: none outlives the test runner. Each is started through `setpriv --pdeathsig KILL`, where
 * util-linux has it, so the kernel ends it even when the runner is killed; the rest is ended on exit.
 * Variables that etcd and etcdctl read (ETCD_…, ETCDCTL_…) are not inherited.
 */
import { closeSync, openSync, readFileSync } from "node:fs";

export interface ChildOptions {
  /** Working folder; the runner's when absent. */
  readonly cwd?: string;
  /** Variables on top of the inherited ones; `undefined` takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Bytes for standard input, which is empty when absent. */
  readonly stdin?: Uint8Array;
}

export interface CommandOptions extends ChildOptions {
  /** How long the command may take. The default is less than a test's, whose end kills all children. */
  readonly deadlineMs?: number;
}

const COMMAND_DEADLINE_MS = 45_000;

export type PipedChild = Bun.Subprocess<"ignore" | Uint8Array, "pipe", "pipe">;
export type LoggedChild = Bun.Subprocess<"ignore", number, number>;

/** What a finished command left. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; 128 and the signal's number when a signal ended it. */
  readonly code: number;
  /** Processor time that it took, user and system, in microseconds. */
  readonly cpuMicros: number;
}

const live = new Set<{ kill(signal: NodeJS.Signals): void }>();
process.on("exit", () => {
  for (const child of live) child.kill("SIGKILL");
});

const setpriv = Bun.which("setpriv");
const diesWithRunner = setpriv === null ? [] : [setpriv, "--pdeathsig", "KILL", "--"];

function track(child: { kill(signal: NodeJS.Signals): void; readonly exited: Promise<number> }): void {
  live.add(child);
  void child.exited.then(() => live.delete(child));
}

function childEnvironment(extra: ChildOptions["env"]): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name));
  return { ...Object.fromEntries(inherited), ...extra };
}

/** Starts `command` with its output on pipes. */
export function spawnPiped(command: readonly string[], options: ChildOptions = {}): PipedChild {
  const child: PipedChild = Bun.spawn([...diesWithRunner, ...command], {
    stdin: options.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: childEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  track(child);
  return child;
}

/** Starts `command` with the file descriptor `stderr` of the runner as its standard error; nobody sees its output. */
export function spawnWriting(
  command: readonly string[],
  stderr: number,
): Bun.Subprocess<"ignore", "ignore", number> {
  const child = Bun.spawn([...diesWithRunner, ...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr,
    env: childEnvironment({}),
  });
  track(child);
  return child;
}

/** Starts `command` with its output appended to `logFile`. */
export function spawnLogged(command: readonly string[], logFile: string): LoggedChild {
  const log = openSync(logFile, "a");
  try {
    const child: LoggedChild = Bun.spawn([...diesWithRunner, ...command], {
      stdin: "ignore",
      stdout: log,
      stderr: log,
      env: childEnvironment({}),
    });
    track(child);
    return child;
  } finally {
    closeSync(log);
  }
}

/**
 * Runs `command` to its end. Never fails on an exit status: that is in the result.
 *
 * @throws Error with its output when it has not ended by the deadline; it is killed then.
 */
export async function runCommand(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = spawnPiped(command, options);
  const deadlineMs = options.deadlineMs ?? COMMAND_DEADLINE_MS;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, deadlineMs);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(timer);
  if (late)
    throw new Error(`${command.join(" ")} ran longer than ${deadlineMs} ms; it wrote:\n${stdout}${stderr}`);
  const cpuMicros = Number(child.resourceUsage()?.cpuTime.total ?? 0);
  return { stdout, stderr, code, cpuMicros };
}

/** Whether a process runs: one that has ended and waits for its parent to notice (a zombie) does not. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
