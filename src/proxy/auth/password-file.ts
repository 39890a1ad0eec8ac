/**
 * The file behind `--password-file`: read at the start, to tell mistakes at once, and again whenever the password is
 * needed, so that a changed one is picked up.
 *
 * Invariant: no error says anything of what is in the file.
 */
import { readFile, stat } from "node:fs/promises";

/** What is wrong with the file, without its name. */
export class PasswordFileError extends Error {
  override readonly name = "PasswordFileError";
}

/** No password is that long: whoever names a larger file means another one. */
const FILE_BYTES_MAX = 64 * 1024;
/** Permission bit: anybody may read it. */
const READABLE_BY_OTHERS = 0o004;

/** The first line of the file, without its end. @throws PasswordFileError */
export async function readPassword(path: string): Promise<string> {
  const [line = ""] = (await readText(path)).split("\n", 1);
  const password = line.endsWith("\r") ? line.slice(0, -1) : line;
  if (password === "") throw new PasswordFileError("is empty: write the password into its first line");
  return password;
}

/** Whether everybody on this machine may read the file; false when that cannot be told. */
export async function isReadableByOthers(path: string): Promise<boolean> {
  try {
    return ((await stat(path)).mode & READABLE_BY_OTHERS) !== 0;
  } catch {
    return false;
  }
}

async function readText(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    const found = await stat(path);
    // Of a pipe or a device the end may never come, and it could not be read again.
    if (!found.isFile()) throw new PasswordFileError("is not a regular file");
    if (found.size > FILE_BYTES_MAX) throw new PasswordFileError("is too large to hold a password");
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof PasswordFileError) throw error;
    throw new PasswordFileError(`cannot be read: ${causeOf(error)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new PasswordFileError("is not UTF-8 text, which etcd's passwords are");
  }
}

const CAUSES: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied",
};

function causeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
  return CAUSES[code] ?? code;
}
