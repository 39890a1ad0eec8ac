/**
 * A folder for one test's files and data directories, gone when the test is.
 *
 * It lies in memory (/dev/shm) where there is room, since etcd 3.4 cannot be told to skip fsync and every
 * put would wait for the disk; otherwise in the system's folder for temporary files.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Each etcd member preallocates two 64 MB log segments; a container's usual 64 MB of /dev/shm is too small. */
const ROOM_NEEDED_BYTES = 4 * 1024 ** 3;

function roomyMemoryFolder(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize >= ROOM_NEEDED_BYTES ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

export class TemporaryFolder implements Disposable {
  readonly path: string;

  /** @param purpose a word for its name, so that a leftover tells where it came from. */
  constructor(purpose: string) {
    const inMemory = roomyMemoryFolder();
    const template = `etcdproxy-${purpose}-`;
    try {
      this.path = mkdtempSync(join(inMemory ?? tmpdir(), template));
    } catch (error) {
      if (inMemory === undefined) throw error;
      this.path = mkdtempSync(join(tmpdir(), template));
    }
  }

  /** The path of `name` in this folder; nothing is created. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Removes the folder and all that is in it. */
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
