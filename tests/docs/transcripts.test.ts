/**
 * The transcripts of docs/, run again: each command prints what its page says that it prints.
 *
 * A page is one reader with one folder and one cluster (harness/transcript-run.ts), who types its commands from the top to the
 * end; files that a page shows (a block with `file=…`) are written where they stand. What may differ from run to run is stated
 * in harness/transcript-text.ts. A `text` block is the help of a product. `ETCDPROXY_TEST_UPDATE_DOCS=1` puts what was printed into the pages instead: look at the difference.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { GO_BUILD_MAX_MS, TranscriptRun } from "../harness/transcript-run.ts";
import { type FencedBlock, transcriptSteps, type TranscriptStep } from "../readme-file.ts";
import { type DocPage, docPages, repository } from "./doc-pages.ts";
import { TranscriptUpdate } from "./transcript-update.ts";

/** More than any step waits by itself. */
const STEP_MAX_MS = 45_000;

/** Why no program in Go can be built here; empty where it can. */
const withoutGo = ((): string => {
  const required = "source scripts/environment; source scripts/go-tools; require_go";
  const { exitCode, stderr } = Bun.spawnSync(["bash", "-c", required], { cwd: repository });
  return exitCode === 0 ? "" : stderr.toString().trim();
})();

const updating = process.env["ETCDPROXY_TEST_UPDATE_DOCS"] === "1";

/** What a reader does, in the order of the page: a file that he writes, a help text that he reads, or a command. */
interface Act {
  readonly name: string;
  /** What is to come, and where it stands; the file's content. */
  readonly step: TranscriptStep;
  /** Gives what came. */
  readonly perform: (reader: TranscriptRun) => Promise<string[]>;
}

function actsOf({ file }: DocPage): Act[] {
  return file.everyBlock.flatMap((block): Act[] => {
    const name = /(?:^| )file=(\S+)/.exec(block.purpose)?.[1];
    const step = { command: "", printed: block.lines, lineNumber: block.lineNumber };
    if (name !== undefined) {
      const perform = async (reader: TranscriptRun): Promise<string[]> => {
        reader.writeFile(name, block.lines);
        return [...block.lines];
      };
      return [{ name: `the file ${name}`, step, perform }];
    }
    if (block.language === "text")
      return [{ name: `the help ${block.lines[0]}`, step, perform: async () => help(block) }];
    if (block.language !== "console") return [];
    return transcriptSteps(block.lines, block.lineNumber).map((each) => ({
      name: `$ ${each.command}`,
      step: each,
      perform: (reader) => reader.run(each),
    }));
  });
}

/** What `--help` prints for the product that the block is about. */
function help({ lines }: FencedBlock): string[] {
  const product = /^Usage: etcdproxy ([\w-]+)/.exec(lines[0] ?? "")?.[1] ?? "";
  const invocation = parseCommandLine([product, "--help"]);
  return invocation.command === "help" ? invocation.text.trimEnd().split("\n") : [];
}

const shown = docPages.map((page) => ({ page, acts: actsOf(page) })).filter(({ acts }) => acts.length > 0);

test("there are pages with transcripts", () => {
  expect(shown.length).toBeGreaterThan(0);
});

describe.each(shown.map((each) => [each.page.path, each] as const))("%s", (path, { page, acts }) => {
  const update = new TranscriptUpdate(page.file.text);
  let performed = 0;
  let reader: TranscriptRun;
  beforeAll(async () => {
    reader = await TranscriptRun.start(page.world, updating ? 1_500 : undefined);
  }, STEP_MAX_MS);
  afterAll(async () => {
    await reader[Symbol.asyncDispose]();
    // What failed, or was left out by a filter, has left others in another world than theirs.
    if (updating && performed === acts.length) writeFileSync(join(repository, path), update.text);
  });

  for (const { name, step, perform } of acts) {
    const isGo = step.command.startsWith("go ");
    const cannotRun = isGo && withoutGo !== "";
    const title = cannotRun ? `${name} (${withoutGo})` : name;
    const act = async (): Promise<void> => {
      const lines = await perform(reader);
      performed++;
      const comparable = lines.map((line) => reader.text.comparable(line));
      const documented = step.printed.map((line) => reader.text.comparable(line));
      if (updating && !Bun.deepEquals(comparable, documented)) {
        const printed = lines.map((line) => reader.text.documented(line));
        update.replace(step, printed);
        return;
      }
      expect(comparable).toEqual(documented);
    };
    test.skipIf(cannotRun)(title, act, isGo ? GO_BUILD_MAX_MS + STEP_MAX_MS : STEP_MAX_MS);
  }
});
