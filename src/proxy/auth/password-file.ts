/**
 * The file behind `--password-file`: read at the start, to tell mistakes at once, and again whenever the password is
 * needed, so that a changed one is picked up.
 *
 * Invariant: no error says anything of what is in the file.
 */
import { stat } from "node:fs/promises";
import { OperatorFileError, readOperatorFile } from "../../base/operator-file.ts";

/** What is wrong with the file, without its name. */
export class PasswordFileError extends Error {
  override readonly name = "PasswordFileError";
}

/** No password is that long: whoever names a larger file means another one. */
const FILE_BYTES_MAX = 64 * 1024;
/** Permission bit: anybody may read it. */
const READABLE_BY_OTHERS = 0o004;

/** The first line of the file, without its end. @throws PasswordFileError */
export function readPassword(path: string): string {
  const [line = ""] = readText(path).split("\n", 1);
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

function readText(path: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readOperatorFile(path, FILE_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof OperatorFileError)) throw error;
    throw new PasswordFileError(`cannot be used: ${error.message}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new PasswordFileError("is not UTF-8 text, which etcd's passwords are");
  }
}
