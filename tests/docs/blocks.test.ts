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

/** `go` programs are built and run by the transcripts. */
const LANGUAGES = ["console", "sh", "ini", "yaml", "go", "text", ""];

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
    const words = command.match(/"[^"]*"|\S+/g) ?? [];
    const program = words.shift() ?? "";
    if (program.startsWith("scripts/")) {
      expect(() => accessSync(join(repository, program), constants.X_OK)).not.toThrow();
      return;
    }
    if (!(program in readers)) throw new Error(`nobody here knows ${program}`);
    readers[program]!(words);
  });

  /** What is known of programs that cannot be run here in earnest: whom they name, and what etcdproxy is told by them. */
  const readers: Readonly<Record<string, (words: readonly string[]) => void>> = {
    etcdproxy: expectProduct,
    install: (words) => expectFiles(words.filter((word) => word.includes("/")).slice(0, 1)),
    systemctl: (words) => {
      const unit = words.filter((word) => !word.startsWith("--"))[1];
      if (unit !== undefined) expectFiles([`deploy/systemd/${unit}.service`]);
    },
    docker: (words) => {
      const file = words[words.indexOf("-f") + 1] ?? "";
      if (words[0] === "build") expectFiles([file, words.at(-1)!]);
      else expectProduct(words.slice(words.indexOf("etcdproxy") + 1));
    },
    kubectl: (words) => {
      const manifest = words[words.indexOf("-f") + 1] ?? "";
      if (words.includes("apply")) expectFiles([manifest]);
      else expect(words.join(" ")).toMatch(/\bcreate (namespace|secret generic) /);
    },
  };

  test("the secret of Kubernetes has the files that the manifest's flags name", async () => {
    const named = commands.map(([, command]) => command).find((command) => command.includes("create secret"));
    const files = [...(named ?? "").matchAll(/--from-file=(\S+)/g)].map(([, file]) => file);
    const manifest = await Bun.file(join(repository, "deploy/kubernetes/etcdproxy.yaml")).text();
    const mounted = [...manifest.matchAll(/=\/etc\/etcdproxy\/tls\/(\S+)/g)].map(([, file]) => file);
    expect(new Set(files)).toEqual(new Set(mounted));
    expect(named).toContain(/secretName: ([\w-]+)/.exec(manifest)?.[1]);
  });

  function expectProduct(words: readonly string[]): void {
    expect(parseCommandLine(words).command).toBeOneOf(["gateway", "grpc-proxy", "version", "help"]);
  }

  function expectFiles(paths: readonly string[]): void {
    expect(paths).not.toEqual([]);
    // What is built stands where scripts/build puts it.
    const missing = paths.filter((path) => path !== "dist/etcdproxy" && !existsSync(join(repository, path)));
    expect(missing).toEqual([]);
  }
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

describe("files in YAML", () => {
  const withPurpose = (key: string): (readonly [name: string, purpose: string, text: string])[] =>
    ofLanguage("yaml").flatMap(([name, { purpose, lines }]) => {
      const value = new RegExp(`(?:^| )${key}=(\\S+)`).exec(purpose)?.[1];
      return value === undefined ? [] : [[name, value, `${lines.join("\n")}\n`] as const];
    });

  test("tell who reads them", () => {
    expect(withPurpose("config").length).toBeGreaterThan(0);
    expect(withPurpose("promtool").length).toBeGreaterThan(0);
    expect(withPurpose("config").length + withPurpose("promtool").length).toBe(ofLanguage("yaml").length);
  });

  test.each(withPurpose("config"))("%s starts a %s", async (_, product, text) => {
    await ensureBuilt();
    using folder = new TemporaryFolder("documented");
    const file = folder.file("documented.yaml");
    writeFileSync(file, text);
    const checked = await runCommand([executable, "check-config", product, `--config-file=${file}`]);
    expect(checked).toMatchObject({ code: 0, stderr: "" });
    // Every key that it has is one that the product was given: at the top, or in its own section.
    const {
      gateway: _gateway,
      "grpc-proxy": _grpcProxy,
      ...atTop
    } = Bun.YAML.parse(text) as Record<string, unknown>;
    for (const key of Object.keys(atTop))
      expect(checked.stdout).toMatch(new RegExp(`^${key}: .*# \\S*documented\\.yaml:\\d+$`, "m"));
  });

  const promtool = Bun.which("promtool");
  test.skipIf(promtool === null).each(withPurpose("promtool"))(
    "%s passes promtool check %s",
    async (_, kind, text) => {
      using folder = new TemporaryFolder("documented");
      const file = folder.file("documented.yaml");
      writeFileSync(file, text);
      const { code, stdout, stderr } = await runCommand([promtool!, "check", kind, file]);
      expect({ code, output: stdout + stderr }).toMatchObject({ code: 0 });
    },
  );
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
