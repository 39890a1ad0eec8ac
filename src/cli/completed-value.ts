/**
 * What a shell may complete behind a flag.
 * Stands between the flag tables and the scripts for each shell.
 */
import type { FlagDefinition } from "./flag-definition.ts";
import { wordsOf } from "./flag-value.ts";

export type CompletedValue =
  | { readonly kind: "words"; readonly words: readonly string[] }
  /** The flag may also stand alone. */
  | { readonly kind: "boolean" }
  /** Names of files, of folders, or nothing that a shell could know. */
  | { readonly kind: "files" | "folders" | "unknown" };

/** The values of a flag. */
export function completedValue(flag: FlagDefinition): CompletedValue {
  if (flag.kind === "boolean") return { kind: "boolean" };
  const words = wordsOf(flag);
  if (words !== undefined) return { kind: "words", words };
  if (flag.placeholder === "file") return { kind: "files" };
  return { kind: flag.placeholder === "folder" ? "folders" : "unknown" };
}

/** The flags that can be given now. */
export function completedFlags(table: readonly FlagDefinition[]): readonly FlagDefinition[] {
  return table.filter(({ since }) => since === "live");
}
