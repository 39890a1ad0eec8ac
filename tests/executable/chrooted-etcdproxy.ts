/**
 * The compiled file in a root directory that holds nothing but itself, the libraries it is linked with, /proc and
 * an empty folder, from which it is started.
 *
 * Invariant: /proc is mounted in a mount namespace of the process's own, so it is gone with the process, however
 * that ends, and nobody else ever sees it.
 */
import { chmodSync, copyFileSync, mkdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { runCommand, spawnPiped, type PipedChild } from "../harness/child-process.ts";
import { ensureBuilt, executable } from "../harness/etcdproxy-process.ts";
import { LineLog } from "../harness/line-log.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

const EMPTY_FOLDER = "/empty";
const PROGRAM = "/etcdproxy";

/** `$0` is the new root, `$@` what `unshare` is told, the command in the new root last. */
const ENTER = `mount -t proc proc "$0/proc" && exec unshare --root="$0" "$@"`;
const OWN_MOUNTS = ["unshare", "--mount", "--propagation=private"];

/** Why this user or machine cannot make a chroot with a /proc of its own; undefined when it can. */
export async function chrootImpossible(): Promise<string | undefined> {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root: chroot and mount";
  if (Bun.which("unshare") === null) return "needs unshare, of util-linux";
  const { code, stderr } = await runCommand([...OWN_MOUNTS, "mount", "-t", "proc", "proc", "/proc"]);
  return code === 0 ? undefined : `this machine refuses it: ${stderr.split("\n", 1)[0]}`;
}

/** How it is started there; all is as the root directory is made when absent. */
export interface ChrootOptions {
  readonly program?: string;
  readonly workingFolder?: string;
  /** The user's and the group's number. */
  readonly user?: number;
}

/** The root directory. */
export class Chroot implements Disposable {
  readonly #folder = new TemporaryFolder("chroot");

  /** Fills a root directory with the executable and what `ldd` says that it loads. */
  static async create(): Promise<Chroot> {
    await ensureBuilt();
    const chroot = new Chroot();
    const { stdout, stderr, code } = await runCommand(["ldd", executable]);
    if (code !== 0) throw new Error(`ldd ${executable}: ${stderr}`);
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", and the loader as a path alone.
    for (const [, library] of stdout.matchAll(/(?:=>\s+|^\s+)(\/\S+)/gm)) chroot.#copy(library ?? "");
    copyFileSync(executable, chroot.path + PROGRAM);
    chmodSync(chroot.path + PROGRAM, 0o755);
    for (const folder of ["/proc", EMPTY_FOLDER]) mkdirSync(chroot.path + folder);
    return chroot;
  }

  get path(): string {
    return this.#folder.path;
  }

  /** Every file in it, as a path in the chroot. */
  files(): string[] {
    const scanned = new Bun.Glob("**/*").scanSync({ cwd: this.path, dot: true });
    return [...scanned].map((path) => `/${path}`).sort();
  }

  /** Runs `etcdproxy <rest>` in it. */
  start(
    rest: readonly string[],
    { program = PROGRAM, workingFolder = EMPTY_FOLDER, user = 0 }: ChrootOptions = {},
  ): ChrootedEtcdproxy {
    const told = [`--wd=${workingFolder}`, ...(user === 0 ? [] : [`--setgid=${user}`, `--setuid=${user}`])];
    return new ChrootedEtcdproxy([
      ...OWN_MOUNTS,
      "sh",
      "-c",
      ENTER,
      this.path,
      ...told,
      "--",
      program,
      ...rest,
    ]);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }

  #copy(library: string): void {
    const target = join(this.path, library);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(realpathSync(library), target);
    chmodSync(target, 0o755);
  }
}

/** etcdproxy in a chroot. `unshare` becomes it by exec, so the process started is the one that serves. */
export class ChrootedEtcdproxy implements AsyncDisposable {
  readonly stdout: LineLog;
  readonly stderr: LineLog;
  readonly #process: PipedChild;

  constructor(command: readonly string[]) {
    this.#process = spawnPiped(command, { env: { PATH: process.env["PATH"] } });
    this.stdout = new LineLog("etcdproxy in a chroot (stdout)", this.#process.stdout);
    this.stderr = new LineLog("etcdproxy in a chroot", this.#process.stderr);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Where it serves, once the log line with this message says so. */
  address(readyMessage: string): Promise<string> {
    return this.stderr.find(`log message "${readyMessage}"`, (line) => {
      if (!line.startsWith("{")) return undefined;
      const { msg, address } = JSON.parse(line) as { msg?: unknown; address?: unknown };
      return msg === readyMessage && typeof address === "string" ? address : undefined;
    });
  }

  /** Exit status, once it has ended by itself. */
  ended(): Promise<number> {
    return this.#process.exited;
  }

  /** Ends it by SIGTERM and gives its exit status. */
  stop(): Promise<number> {
    this.#process.kill("SIGTERM");
    return this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
