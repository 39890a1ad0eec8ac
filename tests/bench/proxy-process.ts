/**
 * A program under measurement that is not ours to wait for by its log: etcd's proxies, HAProxy, the floors, the
 * TCP peer. Started on loopback, awaited until it accepts connections, and gone when disposed of.
 */
import { join } from "node:path";
import { type PipedChild, spawnLogged, spawnPiped } from "../harness/child-process.ts";
import { LineLog } from "../harness/line-log.ts";
import { waitFor } from "../harness/wait-for.ts";
import { hostAndPort } from "./host-and-port.ts";

type Child = Pick<PipedChild, "pid" | "kill" | "exited" | "exitCode">;

export class ProxyProcess implements AsyncDisposable {
  /** `host:port` where it serves. */
  readonly address: string;
  readonly pid: number;
  readonly #child: Child;

  constructor(address: string, child: Child) {
    this.address = address;
    this.pid = child.pid;
    this.#child = child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

async function accepts(address: string): Promise<boolean> {
  const socket = await Bun.connect({
    ...hostAndPort(address),
    socket: { data() {} },
  });
  socket.end();
  return true;
}

/** Starts `command`, which is told to serve on `address`, and waits until it does. Its output goes to `logFile`. */
export async function startProgram(
  command: readonly string[],
  address: string,
  logFile: string,
): Promise<ProxyProcess> {
  const child = spawnLogged(command, logFile);
  const program = new ProxyProcess(address, child);
  try {
    await waitFor(`${command[0]} to serve on ${address} (its output is in ${logFile})`, () =>
      child.exitCode === null
        ? accepts(address)
        : Promise.reject(new Error(`it exited with ${child.exitCode}`)),
    );
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts a program of this folder with Bun; it prints the address that it serves on as its first line. */
export async function startOwnProgram(path: string, rest: readonly string[] = []): Promise<ProxyProcess> {
  const child = spawnPiped([process.execPath, join(import.meta.dir, path), ...rest]);
  const stderr = new LineLog(path, child.stderr);
  try {
    const address = await new LineLog(path, child.stdout).next();
    return new ProxyProcess(address, child);
  } catch (error) {
    child.kill("SIGKILL");
    await stderr.ended;
    throw new Error(`${path} did not start: ${stderr.text}`, { cause: error });
  }
}
