/**
 * A folder for one test's files and data directories, gone when the test is.
 *
 * It lies in memory (/dev/shm) where there is room, since etcd 3.4 cannot be told to skip fsync and every
 * put would wait for the disk; otherwise in the system's folder for temporary files. Its name holds the owner's
 * process id: what a killed test runner left behind is removed by the next one.
 */
import { accessSync, constants, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isRunning } from "./child-process.ts";

/** Each etcd member preallocates two 64 MB log segments; a container's usual 64 MB of /dev/shm is too small. */
const ROOM_NEEDED_BYTES = 4 * 1024 ** 3;

function roomyMemoryFolder(): string | undefined {
  try {
    accessSync("/dev/shm", constants.W_OK);
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize >= ROOM_NEEDED_BYTES ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

/** Removes the folders in `parent` whose owner is gone. */
function removeOrphans(parent: string): void {
  for (const name of readdirSync(parent)) {
    const owner = /^etcdproxy-[a-z]+-(\d+)-/.exec(name)?.[1];
    if (owner !== undefined && !isRunning(Number(owner))) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}

let orphansRemoved = false;

export class TemporaryFolder implements Disposable {
  readonly path: string;

  /** @param purpose a word of small letters for its name, so that a leftover tells where it came from. */
  constructor(purpose: string) {
    const parent = roomyMemoryFolder() ?? tmpdir();
    if (!orphansRemoved) removeOrphans(parent);
    orphansRemoved = true;
    this.path = mkdtempSync(join(parent, `etcdproxy-${purpose}-${process.pid}-`));
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
