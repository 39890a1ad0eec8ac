/**
 * The pages of docs/, and what each of them takes for granted when its commands are typed.
 */
import { join } from "node:path";
import { ReadmeFile } from "../readme-file.ts";
import type { TranscriptWorld } from "../harness/transcript-run.ts";

export const repository = join(import.meta.dir, "..", "..");

/** Where a page needs more than one member at 127.0.0.1:2379. */
const worlds: Readonly<Record<string, TranscriptWorld>> = {
  "docs/endpoints.md": { members: 3, dns: true },
  "docs/tls.md": { tls: true },
};

export interface DocPage {
  /** From the root of the repository. */
  readonly path: string;
  readonly file: ReadmeFile;
  readonly world: TranscriptWorld;
}

const paths = [...new Bun.Glob("docs/**/*.md").scanSync({ cwd: repository })].sort();

export const docPages: readonly DocPage[] = await Promise.all(
  paths.map(async (path) => ({ path, file: await ReadmeFile.read(path), world: worlds[path] ?? {} })),
);
