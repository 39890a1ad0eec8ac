/**
 * The README, or a page of docs/, as data: its fenced blocks, its tables, its headings, the commands and links in it.
 */
import { join } from "node:path";

const repository = join(import.meta.dir, "..");

/** A fenced block: ```language purpose … ```. */
export interface FencedBlock {
  readonly language: string;
  /** What stands behind the language, such as `file=proxy.yaml`; empty as a rule. */
  readonly purpose: string;
  readonly lines: readonly string[];
  /** Of its first line, counted from 0. */
  readonly lineNumber: number;
}

/** A command of a transcript and what it printed, if anything. */
export interface TranscriptStep {
  /** On one line, though it may stand on several that end in a backslash. */
  readonly command: string;
  readonly printed: readonly string[];
  /** Where `printed` begins, counted from 0. */
  readonly lineNumber: number;
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

  /** All fenced blocks, in order. */
  get everyBlock(): FencedBlock[] {
    return [...this.text.matchAll(/^```(\w*)(?: +([^\n]*))?\n([^]*?)^```$/gm)].map((match) => ({
      language: match[1] ?? "",
      purpose: match[2] ?? "",
      lines: (match[3] ?? "").trimEnd().split("\n"),
      lineNumber: this.text.slice(0, match.index).split("\n").length,
    }));
  }

  /** The fenced blocks of these languages, in order. */
  blocks(...languages: readonly string[]): FencedBlock[] {
    return this.everyBlock.filter(({ language }) => languages.includes(language));
  }

  /** The commands of `sh` blocks, each on one line, without comments. */
  get typedCommands(): string[] {
    const lines = this.blocks("sh").flatMap((block) =>
      block.lines
        .join("\n")
        .replaceAll(/\\\n\s*/g, "")
        .split("\n"),
    );
    return lines.map(withoutComment).filter((line) => line !== "");
  }

  /** The commands of shell and transcript blocks, without comments. */
  commands(): string[] {
    const shown = this.transcripts().flatMap((steps) => steps.map(({ command }) => command));
    return [...this.typedCommands, ...shown].map(withoutComment);
  }

  /** The `console` blocks: lines that begin with `$ `, each with what follows it. */
  transcripts(): TranscriptStep[][] {
    return this.blocks("console").map(({ lines, lineNumber }) => transcriptSteps(lines, lineNumber));
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

  /** The anchors that links to this page may name, as GitHub makes them of headings. */
  get anchors(): string[] {
    return [...this.prose.matchAll(/^#+ +(.*)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{Letter}\p{Number}\s_-]/gu, "")
        .replaceAll(" ", "-"),
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

function withoutComment(line: string): string {
  return line.replace(/(^|\s+)#.*$/, "");
}

/** @param lineNumber of the first of `lines` */
export function transcriptSteps(lines: readonly string[], lineNumber: number): TranscriptStep[] {
  const steps: { command: string; printed: string[]; lineNumber: number }[] = [];
  let unfinished = false;
  for (const [index, line] of lines.entries()) {
    const last = steps.at(-1);
    if (line.startsWith("$ ")) {
      steps.push({ command: line.slice(2), printed: [], lineNumber: lineNumber + index + 1 });
    } else if (last !== undefined && unfinished) {
      last.command = last.command.replace(/\\$/, "") + line.trimStart();
      last.lineNumber++;
    } else {
      last?.printed.push(line);
    }
    unfinished = line.endsWith("\\") && (line.startsWith("$ ") || unfinished);
  }
  return steps;
}
