/**
 * Every fenced block of docs/ is something that a test knows how to prove: transcripts are run, and help texts compared, in
 * transcripts.test.ts; anything else is read here by what would read it in earnest. A block that is neither fails.
 */
import { describe, expect, test } from "bun:test";
import { accessSync, constants, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { runCommand } from "../harness/child-process.ts";
import { ensureBuilt, executable } from "../harness/etcdproxy-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import type { FencedBlock } from "../readme-file.ts";
import { docPages, repository } from "./doc-pages.ts";

const LANGUAGES = ["console", "sh", "ini", "yaml", "text", ""];

const blocks = docPages.flatMap(({ path, file }) =>
  file.everyBlock.map((block) => ({ name: `${path}:${block.lineNumber}`, path, block })),
);

function ofLanguage(language: string): (readonly [name: string, block: FencedBlock])[] {
  return blocks
    .filter(({ block }) => block.language === language)
    .map(({ name, block }) => [name, block] as const);
}

test("every block is of a language that is proven", () => {
  expect(blocks.length).toBeGreaterThan(20);
  const others = blocks.filter(({ block }) => !LANGUAGES.includes(block.language));
  expect(others.map(({ name, block }) => `${name}: ${block.language}`)).toEqual([]);
});

describe("commands that need more than this machine", () => {
  const commands = docPages.flatMap(({ path, file }) =>
    file.typedCommands.map((command) => [`${path}: ${command}`, command] as const),
  );

  test.each(commands)("%s", (_, command) => {
    const [program = "", ...words] = command.split(/ +/);
    if (program === "etcdproxy") {
      expect(parseCommandLine(words).command).toBeOneOf(["gateway", "grpc-proxy", "version", "help"]);
      return;
    }
    expect(program).toMatch(/^scripts\//);
    expect(() => accessSync(join(repository, program), constants.X_OK)).not.toThrow();
  });
});

describe("transcripts", () => {
  test.each(ofLanguage("console"))("%s begins with a command", (_, block) => {
    expect(block.lines[0]).toStartWith("$ ");
  });
});

describe("drawings", () => {
  test.each(ofLanguage(""))("%s is a drawing, and no command", (_, block) => {
    expect(block.lines.join("\n")).toMatch(/[─│┌└┐┘├┤]/);
    expect(block.lines.filter((line) => /^ *[$#] /.test(line))).toEqual([]);
  });
});

describe("unit files", () => {
  const systemdAnalyze = Bun.which("systemd-analyze");

  test.each(ofLanguage("ini"))("%s starts a product of its program", (_, block) => {
    const starts = block.lines.filter((line) => line.startsWith("ExecStart="));
    expect(starts.length).toBe(1);
    const [program = "", ...words] = (starts[0] ?? "").replace("ExecStart=", "").split(" ");
    // A unit of etcd's own has to be one that etcdproxy takes with only its first word changed.
    expect(program).toBeOneOf(["/usr/local/bin/etcdproxy", "/usr/bin/etcd"]);
    expect(parseCommandLine(words).command).toBeOneOf(["gateway", "grpc-proxy"]);
  });

  const judged = test.skipIf(systemdAnalyze === null).each(ofLanguage("ini"));
  judged("%s holds only what systemd-analyze knows", async (_, block) => {
    await ensureBuilt();
    using folder = new TemporaryFolder("unit");
    const unit = folder.file("documented.service");
    writeFileSync(unit, block.lines.join("\n").replace(/^ExecStart=\S+/m, `ExecStart=${executable}`) + "\n");
    const { stderr } = await runCommand([systemdAnalyze!, "verify", "--man=no", unit]);
    expect(stderr.split("\n").filter((line) => line.includes("documented.service"))).toEqual([]);
  });
});

describe("alerting rules", () => {
  const promtool = Bun.which("promtool");

  test.each(ofLanguage("yaml"))("%s is a file of rules", (_, block) => {
    const text = block.lines.join("\n");
    const { groups } = Bun.YAML.parse(text) as { groups: { rules: { alert: string; expr: string }[] }[] };
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.length).toBeGreaterThan(0);
    for (const { alert, expr } of rules) {
      expect(alert).toMatch(/^Etcdproxy[A-Z]\w+$/);
      expect(expr).toMatch(/_/);
    }
  });

  test.skipIf(promtool === null).each(ofLanguage("yaml"))("%s passes promtool", async (_, block) => {
    using folder = new TemporaryFolder("rules");
    const file = folder.file("rules.yaml");
    writeFileSync(file, block.lines.join("\n"));
    const { code, stdout, stderr } = await runCommand([promtool!, "check", "rules", file]);
    expect({ code, output: stdout + stderr }).toMatchObject({ code: 0 });
  });
});

describe("pictures", () => {
  const pictures = docPages.flatMap(({ path, file }) =>
    file
      .links()
      .filter((link) => link.endsWith(".svg"))
      .map((link) => [path, join(repository, "docs", link)] as const),
  );

  test.each(pictures)("of %s is there, and needs nothing from elsewhere: %s", async (_, picture) => {
    expect(existsSync(picture)).toBe(true);
    const text = await Bun.file(picture).text();
    expect(text).toMatch(/<title>[^<]+<\/title>/);
    expect(text.match(/(?:href|src|url)\s*[=(]\s*["']?https?:/g) ?? []).toEqual([]);
    expect(text).toContain("prefers-color-scheme: dark");
  });
});
