/**
 * The README says what is: its commands are understood, its flags exist, its figures are those of docs/comparison.md, its links
 * and scripts are there. So do the pages of docs/ that hold what is too long for it: which flags are there, the help texts, the
 * defaults of limits. That its transcripts come out as printed is shown in tests/smoke, its version of glibc in
 * tests/executable, all else about docs/ in tests/docs.
 */
import { describe, expect, test } from "bun:test";
import { accessSync, constants, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { parseCommandLine } from "../src/cli/command-line.ts";
import type { FlagDefinition } from "../src/cli/flag-definition.ts";
import { gatewayFlags } from "../src/cli/gateway-flags.ts";
import { grpcProxyFlags } from "../src/cli/grpc-proxy-flags.ts";
import { ReadmeFile } from "./readme-file.ts";

const repository = join(import.meta.dir, "..");
const readme = await ReadmeFile.read("README.md");
const features = await ReadmeFile.read("docs/features.md");
const configuration = await ReadmeFile.read("docs/configuration.md");
const limits = await ReadmeFile.read("docs/limits.md");
const comparison = await ReadmeFile.read("docs/comparison.md");
const products: readonly (readonly [name: string, table: readonly FlagDefinition[]])[] = [
  ["gateway", gatewayFlags],
  ["grpc-proxy", grpcProxyFlags],
];
const everyFlag = new Set(products.flatMap(([, table]) => table.map(({ name }) => `--${name}`)));

function flagsIn(text: string): string[] {
  return [...text.matchAll(/(?<![\w-])--[a-z][\w-]*/g)].map(([flag]) => flag);
}

describe("the README's commands", () => {
  const own = readme.commands().filter((command) => /^\S*etcdproxy\b/.test(command));

  test("are found by this test", () => {
    expect(own.length).toBeGreaterThanOrEqual(2);
  });

  test.each(own)("%s is a command line that starts a product", (command) => {
    const words = command.replace(/ &$/, "").split(" ").slice(1);
    expect(parseCommandLine(words).command).toBeOneOf(["gateway", "grpc-proxy"]);
  });

  test("name scripts that are there and can be run", () => {
    const scripts = new Set(readme.text.match(/(?<![\w/])scripts\/[a-z]\w*/g));
    expect([...scripts]).toContain("scripts/demo");
    for (const script of scripts) {
      expect(() => accessSync(join(repository, script), constants.X_OK)).not.toThrow();
    }
  });

  test("name package scripts that exist", () => {
    const names = [...readme.text.matchAll(/bun run ([\w:-]+)/g)].map(([, name]) => name ?? "");
    expect(names).toContain("build");
    expect(names.filter((name) => !(name in packageJson.scripts))).toEqual([]);
  });

  test("name test folders that exist", () => {
    const folders = new Set(readme.text.match(/tests\/[\w-]+(?![\w.-])/g));
    expect([...folders]).toContain("tests/smoke");
    expect([...folders].filter((folder) => !existsSync(join(repository, folder)))).toEqual([]);
  });
});

describe("flags", () => {
  /** Flags of programs other than etcdproxy: of scripts, and of what the unit file's caveat is about. */
  const foreign = new Set(["--preload", "--all", "--bench", "--name", "--help"]);

  test("are flags of a product, wherever they are mentioned", () => {
    const mentioned = [readme, features].flatMap(({ prose }) => flagsIn(prose));
    expect(mentioned.filter((flag) => !everyFlag.has(flag) && !foreign.has(flag))).toEqual([]);
  });

  test("that are known and refused are those that the README names", () => {
    const later = products.flatMap(([, table]) => table.filter(({ since }) => since === "later"));
    const [, told = ""] = /Not yet: ([^;]*);/.exec(readme.prose) ?? [];
    expect(flagsIn(told).sort()).toEqual([...new Set(later.map(({ name }) => `--${name}`))].sort());
  });

  describe.each(products)("in the table of %s in docs/features.md", (name, table) => {
    const rows = features.table(name);
    const listed = (state: string): string[] =>
      rows.filter((cells) => cells[2] === state).flatMap(([, flags = ""]) => flagsIn(flags));

    test("each row is of now or planned", () => {
      expect(rows.map((cells) => cells[2]).filter((state) => state !== "now" && state !== "planned")).toEqual(
        [],
      );
    });

    test.each([
      ["now", "live"],
      ["planned", "later"],
    ] as const)("those of %s are all that are %s", (state, since) => {
      const expected = table.filter((flag) => flag.since === since).map((flag) => `--${flag.name}`);
      expect(listed(state).sort()).toEqual(expected.sort());
    });
  });

  test("of the limits have the defaults that docs/limits.md tells", () => {
    const defaults = new Map<string, unknown>(grpcProxyFlags.map((flag) => [`--${flag.name}`, flag.default]));
    const MIB = 1024 * 1024;
    expect(defaults.get("--max-connections")).toBe(65_536);
    expect(defaults.get("--max-concurrent-streams")).toBe(4_294_967_295);
    expect(defaults.get("--max-send-bytes")).toBe(1.5 * MIB);
    expect(defaults.get("--max-recv-bytes")).toBe(2048 * MIB - 1);
    expect(defaults.get("--max-buffer-bytes")).toBe(512 * MIB);
    expect(limits.table("flag").map(([flag, value]) => [flag, value?.replace(/,.*/, "")])).toEqual([
      ["`--max-connections`", "65536"],
      ["`--max-concurrent-streams`", "4294967295"],
      ["`--max-send-bytes`", "1.5 MiB"],
      ["`--max-recv-bytes`", "2 GiB"],
      ["`--max-buffer-bytes`", "512 MiB"],
      ["`--idle-timeout` (gateway)", "off"],
    ]);
    expect(gatewayFlags.find(({ name }) => name === "idle-timeout")?.default).toBe(0);
  });

  test.each(products)("are explained in docs/configuration.md by the real help of %s", (name) => {
    const invocation = parseCommandLine([name, "--help"]);
    const help = invocation.command === "help" ? invocation.text.trimEnd() : "";
    expect(configuration.blocks("text").map(({ lines }) => lines.join("\n"))).toContain(help);
  });
});

describe("the README's figures", () => {
  /** Of the tables of outages, which tell reads, writes and events in one cell; the second row is the grpc-proxy's. */
  const outage = "a follower stands still: the longest wait of a read through the grpc-proxy";
  const rows = readme.table("measured");
  const shown = new Set(comparison.text.split("\n").filter((line) => line.startsWith("| ")));

  test("are there", () => {
    expect(rows.length).toBeGreaterThan(6);
  });

  test("of an outage are those of docs/comparison.md", () => {
    const [, , ours, theirs] = comparison.table("what happens")[1]!.map((cell) => cell.split(", ")[0]);
    expect(rows.filter(([what]) => what === outage)).toEqual([[outage, theirs!, ours!, "", ""]]);
    expect(comparison.table("what happens")[0]![0]).toBe("a follower stands still");
  });

  test.each(rows.filter(([what]) => what !== outage).map((row) => [row[0] ?? "", row] as const))(
    "of %s are those of docs/comparison.md",
    (what, [, theirs = "", ours = "", ratio = ""]) => {
      const name = what.replace(/^gateway: |: grpc-proxy$/g, "");
      const measured = [...shown].filter((line) => line.startsWith(`| ${name} |`));
      const cells = measured.map((line) => line.split("|").map((cell) => cell.trim()));
      const equal = cells.filter((cell) => cell.includes(theirs) && cell.includes(ours));
      expect(equal.length).toBe(1);
      // Where the tables tell no ratio, it is that of the two.
      const told = equal[0]!.map((cell) => /^[\d.]+/.exec(cell)?.[0]);
      const made = (Number(ours.replace(" ", "")) / Number(theirs.replace(" ", ""))).toFixed(2);
      expect([...told, made]).toContain(ratio);
    },
  );
});

describe.each(["README.md", "CHANGELOG.md", "SECURITY.md", "src/README.md"])("%s", (path) => {
  test("links only to files that exist", async () => {
    const links = (await ReadmeFile.read(path)).links().filter((link) => !/^(https?:|#)/.test(link));
    const missing = links.filter(
      (link) => !existsSync(join(repository, dirname(path), link.replace(/#.*/, ""))),
    );
    expect(missing).toEqual([]);
  });

  test("names only files of ours that exist", async () => {
    const { text } = await ReadmeFile.read(path);
    const named = new Set(text.match(/(?<![\w/.-])(src|tests|scripts|proto)\/[\w./-]*\w/g));
    expect([...named].filter((file) => !existsSync(join(repository, file)))).toEqual([]);
  });
});

test("src/README.md names every folder of src/, and only files that are in them", async () => {
  const { text } = await ReadmeFile.read("src/README.md");
  const sources = [...new Bun.Glob("**/*.ts").scanSync({ cwd: join(repository, "src") })];
  const folders = new Set(
    sources.filter((path) => path.includes("/")).map((path) => path.split("/")[0] ?? ""),
  );
  expect([...folders].filter((folder) => !text.includes(`${folder}/`))).toEqual([]);
  const named = new Set([...text.matchAll(/`((?:[\w-]+\/)*[\w-]+\.ts)`/g)].map(([, file]) => file ?? ""));
  const known = (file: string): boolean => sources.some((path) => path === file || path.endsWith(`/${file}`));
  expect([...named].filter((file) => !known(file))).toEqual([]);
});
