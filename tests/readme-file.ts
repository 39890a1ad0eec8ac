/**
 * The README as data: its fenced blocks, its tables, the commands and links in it.
 */
import { join } from "node:path";

const repository = join(import.meta.dir, "..");

/** A fenced block: ```language … ```. */
export interface FencedBlock {
  readonly language: string;
  readonly lines: readonly string[];
}

/** A command of a transcript and what it printed, if anything. */
export interface TranscriptStep {
  readonly command: string;
  readonly printed: readonly string[];
}

export class ReadmeFile {
  readonly text: string;

  private constructor(text: string) {
    this.text = text;
  }

  /** Reads a file of the repository. */
  static async read(path: string): Promise<ReadmeFile> {
    return new ReadmeFile(await Bun.file(join(repository, path)).text());
  }

  /** The fenced blocks of these languages, in order. */
  blocks(...languages: readonly string[]): FencedBlock[] {
    return [...this.text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)]
      .map(([, language = "", body = ""]) => ({ language, lines: body.trimEnd().split("\n") }))
      .filter(({ language }) => languages.includes(language));
  }

  /** The commands of shell and transcript blocks, without comments. */
  commands(): string[] {
    const typed = this.blocks("sh").flatMap(({ lines }) => lines);
    const shown = this.transcripts().flatMap((steps) => steps.map(({ command }) => command));
    return [...typed, ...shown].map((line) => line.replace(/\s+#.*$/, "")).filter((line) => line !== "");
  }

  /** The `console` blocks: lines that begin with `$ `, each with what follows it. */
  transcripts(): TranscriptStep[][] {
    return this.blocks("console").map(({ lines }) => {
      const steps: { command: string; printed: string[] }[] = [];
      for (const line of lines) {
        if (line.startsWith("$ ")) steps.push({ command: line.slice(2), printed: [] });
        else steps.at(-1)?.printed.push(line);
      }
      return steps;
    });
  }

  /** The body rows of the table whose first header cell is `name`, as cells. */
  table(name: string): string[][] {
    const lines = this.text.split("\n");
    const start = lines.findIndex((line) => line.startsWith(`| ${name} |`));
    if (start < 0) throw new Error(`there is no table "${name}"`);
    const rows = lines.slice(start + 2);
    const end = rows.findIndex((line) => !line.startsWith("|"));
    return rows.slice(0, end).map((row) =>
      row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  }

  /** Targets of Markdown links. */
  links(): string[] {
    return [...this.text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  }

  /** The text without fenced blocks. */
  get prose(): string {
    return this.text.replace(/^```[^]*?^```$/gm, "");
  }
}
