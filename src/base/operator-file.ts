/**
 * A file that an operator has named: read whole, and again later, with problems told in words that he can act on.
 *
 * Stands between the flags that name files and the file system. Whoever asks puts the flag and the path before the words.
 */
import { readFileSync, statSync } from "node:fs";

/** What is wrong with the file, as a clause without its name. */
export class OperatorFileError extends Error {
  override readonly name = "OperatorFileError";
}

/** The bytes of a regular file of at most `bytesMax` bytes. @throws OperatorFileError */
export function readOperatorFile(path: string, bytesMax: number): Buffer {
  try {
    const status = statSync(path);
    if (status.isDirectory()) throw new OperatorFileError("this is a folder, not a file");
    // Of a pipe or a device the end may never come.
    if (!status.isFile())
      throw new OperatorFileError("this is no regular file, which could be read again later");
    if (status.size > bytesMax) throw new OperatorFileError(`larger than ${bytesMax} bytes`);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof OperatorFileError) throw error;
    throw new OperatorFileError(readProblem(error));
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
