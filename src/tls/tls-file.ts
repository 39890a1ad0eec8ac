/**
 * A file that a TLS flag names, read with errors that an operator can act on.
 *
 * Stands between the flags and whoever parses certificates. Every error names the flag, the file and what is wrong.
 */
import { statSync } from "node:fs";
import { OperatorFileError, readOperatorFile } from "../base/operator-file.ts";

/** What a flag names. */
export interface TlsFile {
  /** With its dashes: `--cert-file`. */
  readonly flag: string;
  readonly path: string;
}

/** A file cannot be used. The message is one line that names the flag and the file. */
export class TlsFileError extends Error {
  override readonly name = "TlsFileError";

  constructor(file: TlsFile, problem: string) {
    super(`${file.flag} ${file.path}: ${problem}`);
  }
}

/** The largest revocation lists of public authorities have about this size. */
const BYTES_MAX = 64 * 1024 * 1024;

/** The file's bytes, at least one. @throws TlsFileError */
export function readTlsFile(file: TlsFile): Buffer {
  try {
    const bytes = readOperatorFile(file.path, BYTES_MAX);
    if (bytes.length > 0) return bytes;
  } catch (error) {
    if (!(error instanceof OperatorFileError)) throw error;
    throw new TlsFileError(file, error.message);
  }
  throw new TlsFileError(file, "the file is empty");
}

/** What changes when one of the files is written anew or replaced, also behind a symbolic link. */
export function filesState(files: readonly TlsFile[]): string {
  return files.map(({ path }) => fileState(path)).join("; ");
}

function fileState(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return "";
  }
}
