/**
 * A Unix socket that nobody but this process's user can reach, for one connection of the process with itself.
 *
 * It lies in a folder of its own that only its user may enter (0700), and has a name only until it is connected to: then both
 * are taken away, so that nothing is left behind however the process ends.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SocketHandler } from "bun";

/** What a socket's path may have (`sun_path`, less the byte that ends it). */
const PATH_BYTES_MAX = 107;

export interface PrivateSocket {
  readonly path: string;
  /** Takes its name away; a connection that is open goes on. */
  close(): Promise<void>;
}

/** Nowhere could one be opened; the message tells of each folder why. */
export class PrivateSocketError extends Error {
  override readonly name = "PrivateSocketError";
}

/**
 * Listens on a socket in the first of `folders` that takes one. Bun's callbacks are those of `handlers`.
 *
 * @throws PrivateSocketError
 */
export async function openPrivateSocket<Data>(
  handlers: SocketHandler<Data>,
  folders: readonly string[] = socketFolders(),
): Promise<PrivateSocket> {
  const reasons: string[] = [];
  for (const folder of folders) {
    try {
      return await openIn(folder, handlers);
    } catch (error) {
      reasons.push(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new PrivateSocketError(reasons.join("; "));
}

/** Where sockets of services and of users belong; else where temporary files do. */
function socketFolders(): string[] {
  const { RUNTIME_DIRECTORY = "", XDG_RUNTIME_DIR = "" } = process.env;
  const named = [RUNTIME_DIRECTORY.split(":", 1)[0]!, XDG_RUNTIME_DIR].filter((folder) => folder !== "");
  return [...new Set([...named, tmpdir()])];
}

async function openIn<Data>(base: string, socket: SocketHandler<Data>): Promise<PrivateSocket> {
  const folder = await mkdtemp(join(base, "etcdproxy-"));
  try {
    const path = join(folder, "self");
    const pathBytes = Buffer.byteLength(path);
    if (pathBytes > PATH_BYTES_MAX) throw new Error(`a socket's path has at most ${PATH_BYTES_MAX} bytes`);
    const listener = Bun.listen<Data>({ unix: path, allowHalfOpen: true, socket });
    return {
      path,
      async close() {
        listener.stop(false);
        await removed(folder);
      },
    };
  } catch (error) {
    await removed(folder);
    throw error;
  }
}

/** What cannot be removed lies where temporary files do, and hurts nobody. */
async function removed(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => {});
}
