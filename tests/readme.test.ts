/**
 * The README says what is: its commands are understood, its flags exist and are in the state that it tells, its
 * help texts are the real ones, its links and scripts are there. That its transcripts come out as printed is shown
 * in tests/smoke, its version of glibc in tests/executable.
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
    expect(own.length).toBeGreaterThan(5);
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

describe("the README's flags", () => {
  /** Flags of programs other than etcdproxy: of scripts, and of what the unit file's caveat is about. */
  const foreign = new Set(["--preload", "--all", "--bench", "--name", "--help"]);

  test("are flags of a product, wherever they are mentioned", () => {
    expect(flagsIn(readme.prose).filter((flag) => !everyFlag.has(flag) && !foreign.has(flag))).toEqual([]);
  });

  describe.each(products)("in the table of %s", (name, table) => {
    const rows = readme.table(name);
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

  test("of the limits have the defaults that it tells", () => {
    const defaults = new Map<string, unknown>(grpcProxyFlags.map((flag) => [`--${flag.name}`, flag.default]));
    const MIB = 1024 * 1024;
    expect(defaults.get("--max-connections")).toBe(65_536);
    expect(defaults.get("--max-concurrent-streams")).toBe(4_294_967_295);
    expect(defaults.get("--max-send-bytes")).toBe(1.5 * MIB);
    expect(defaults.get("--max-recv-bytes")).toBe(2048 * MIB - 1);
    expect(defaults.get("--max-buffer-bytes")).toBe(512 * MIB);
    expect(readme.table("flag").map(([flag, value]) => [flag, value?.replace(/,.*/, "")])).toEqual([
      ["`--max-connections`", "65536"],
      ["`--max-concurrent-streams`", "4294967295"],
      ["`--max-send-bytes`", "1.5 MiB"],
      ["`--max-recv-bytes`", "2 GiB"],
      ["`--max-buffer-bytes`", "512 MiB"],
    ]);
  });

  test.each(products)("are explained by the real help of %s", (name) => {
    const invocation = parseCommandLine([name, "--help"]);
    const help = invocation.command === "help" ? invocation.text.trimEnd() : "";
    expect(readme.blocks("text").map(({ lines }) => lines.join("\n"))).toContain(help);
  });
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
