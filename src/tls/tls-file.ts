/**
 * A file that a TLS flag names, read with errors that an operator can act on.
 *
 * Stands between the flags and whoever parses certificates. Every error names the flag, the file and what is wrong.
 */
import { readFileSync, statSync } from "node:fs";

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

/** The file's bytes. @throws TlsFileError */
export function readTlsFile(file: TlsFile): Buffer {
  try {
    const status = statSync(file.path);
    if (status.isDirectory()) throw new TlsFileError(file, "this is a folder, not a file");
    if (!status.isFile())
      throw new TlsFileError(file, "this is no regular file, which could be read again later");
    if (status.size > BYTES_MAX) throw new TlsFileError(file, `larger than ${BYTES_MAX} bytes`);
    const bytes = readFileSync(file.path);
    if (bytes.length === 0) throw new TlsFileError(file, "the file is empty");
    return bytes;
  } catch (error) {
    if (error instanceof TlsFileError) throw error;
    throw new TlsFileError(file, readProblem(error));
  }
}

function readProblem(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "ENOENT":
      return "there is no such file";
    case "ENOTDIR":
      return "there is no such file: part of the path is no folder";
    case "EACCES":
    case "EPERM":
      return "this user may not read it";
    default:
      return `it cannot be read (${code === "" ? String(error) : code})`;
  }
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
