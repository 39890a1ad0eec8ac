/** Completions as the real shells make them of our scripts. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { commands, PRODUCT_NAMES, productTables, type Shell, SHELLS } from "../../src/cli/commands.ts";
import { completionScript } from "../../src/cli/completion.ts";
import { wordsOf } from "../../src/cli/flag-value.ts";
import { runCommand } from "../harness/child-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

/** It types every line as an operator does. */
const ZSH_DEADLINE_MS = 60_000;

let folder: TemporaryFolder;
/** A folder whose names are completed: `one.yaml`, `two words.yaml`, and the folder `sub`. */
let named: string;
const scriptOf = (shell: Shell): string =>
  folder.file(shell === "zsh" ? "_etcdproxy" : `completion.${shell}`);

beforeAll(() => {
  folder = new TemporaryFolder("completion");
  for (const shell of SHELLS) writeFileSync(scriptOf(shell), completionScript(shell));
  named = folder.file("named");
  mkdirSync(join(named, "sub"), { recursive: true });
  writeFileSync(join(named, "one.yaml"), "");
  writeFileSync(join(named, "two.yaml"), "");
});
afterAll(() => folder[Symbol.dispose]());

async function outputOf(command: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, {
    cwd: named,
    env: { HOME: folder.path, ...env },
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** What bash completes at the end of the line. It breaks words at `=`, as it does by default, unless told not to. */
async function inBash(line: string, breaks = true): Promise<string[]> {
  const words = line.split(" ").flatMap((word) => (breaks ? (word.match(/=|[^=]+/g) ?? [""]) : [word]));
  if (breaks && line.endsWith("=")) words[words.length - 1] = "=";
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _etcdproxy
    ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = await outputOf(["bash", "--norc", "-u", "-c", script, "bash", scriptOf("bash"), ...words]);
  return output.split("\n").filter((completed) => completed !== "");
}

async function inFish(line: string): Promise<string[]> {
  const script = "source $argv[1]; complete -C $argv[2]";
  const output = await outputOf(["fish", "--no-config", "-c", script, scriptOf("fish"), line]);
  return output
    .split("\n")
    .filter((completed) => completed !== "")
    .map((completed) => completed.replace(/\t.*/, ""));
}

/** The lines with all matches at their ends. */
async function inZsh(lines: readonly string[], sourced = ""): Promise<string[]> {
  const script = join(import.meta.dir, "inner-zsh.zsh");
  const fpath = sourced === "" ? folder.path : named;
  const output = await outputOf(["zsh", "-f", script, fpath, folder.file("notes"), ...lines], {
    SOURCED: sourced,
    TERM: "xterm",
  });
  return output
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd());
}

const commandNames = commands.map(({ name }) => name);
const flagNames = (product: (typeof PRODUCT_NAMES)[number]): string[] =>
  productTables[product].filter(({ since }) => since === "live").map(({ name }) => `--${name}`);
const fixed = PRODUCT_NAMES.flatMap((product) =>
  productTables[product]
    .filter((flag) => flag.since === "live" && wordsOf(flag) !== undefined)
    .map((flag) => [product, flag.name, [...wordsOf(flag)!].toSorted()] as const),
);

describe("bash", () => {
  test("completes commands and what follows them", async () => {
    expect(await inBash("etcdproxy ")).toEqual([...commandNames, "help", "--help", "--version"]);
    expect(await inBash("etcdproxy g")).toEqual(["gateway", "grpc-proxy"]);
    expect(await inBash("etcdproxy check-config ")).toEqual(["gateway", "grpc-proxy", "--help"]);
    expect(await inBash("etcdproxy completion ")).toEqual(["bash", "zsh", "fish", "--help"]);
    expect(await inBash("etcdproxy help ma")).toEqual(["man"]);
    expect(await inBash("etcdproxy unknown ")).toEqual([]);
  });

  test.each(PRODUCT_NAMES)("completes every flag of %s, and no other", async (product) => {
    const all = ["--help", ...flagNames(product)].toSorted();
    expect((await inBash(`etcdproxy ${product} --`)).toSorted()).toEqual(all);
    expect((await inBash(`etcdproxy check-config ${product} start --`)).toSorted()).toEqual(all);
    expect(await inBash(`etcdproxy ${product} --listen-addr :1 --debug st`)).toEqual(["start"]);
  });

  test.each(fixed)("completes the values of %s --%s", async (product, flag, words) => {
    expect((await inBash(`etcdproxy ${product} --${flag} `)).toSorted()).toEqual(words);
    expect((await inBash(`etcdproxy ${product} --${flag}=`)).toSorted()).toEqual(words);
    expect(await inBash(`etcdproxy ${product} --${flag}=${words[0]}`)).toEqual([words[0]!]);
    const glued = words.map((word) => `--${flag}=${word}`);
    expect((await inBash(`etcdproxy ${product} --${flag}=`, false)).toSorted()).toEqual(glued);
  });

  test("completes files and folders where they are meant, and nothing where any text is", async () => {
    expect((await inBash("etcdproxy gateway --config-file ")).toSorted()).toEqual([
      "one.yaml",
      "sub",
      "two.yaml",
    ]);
    expect(await inBash("etcdproxy gateway --config-file=o")).toEqual(["one.yaml"]);
    expect(await inBash("etcdproxy grpc-proxy --data-dir ")).toEqual(["sub"]);
    expect(await inBash("etcdproxy gateway --listen-addr ")).toEqual([]);
  });

  test("takes a boolean's value behind an equals sign only", async () => {
    expect(await inBash("etcdproxy gateway --debug=")).toEqual(["true", "false"]);
    expect(await inBash("etcdproxy gateway --debug sta")).toEqual(["start"]);
  });
});

describe("fish", () => {
  test("completes commands and what follows them", async () => {
    expect((await inFish("etcdproxy ")).toSorted()).toEqual([...commandNames, "help"].toSorted());
    expect(await inFish("etcdproxy check-config ")).toEqual(["gateway", "grpc-proxy"]);
    expect((await inFish("etcdproxy completion ")).toSorted()).toEqual(["bash", "fish", "zsh"]);
    expect(await inFish("etcdproxy help ma")).toEqual(["man"]);
  });

  test.each(PRODUCT_NAMES)("completes every flag of %s, and no other", async (product) => {
    const all = ["--help", ...flagNames(product)].toSorted();
    expect((await inFish(`etcdproxy ${product} --`)).toSorted()).toEqual(all);
    expect((await inFish(`etcdproxy check-config ${product} start --`)).toSorted()).toEqual(all);
    expect(await inFish(`etcdproxy ${product} --listen-addr :1 --debug st`)).toEqual(["start"]);
  });

  test.each(fixed)("completes the values of %s --%s", async (product, flag, words) => {
    expect((await inFish(`etcdproxy ${product} --${flag} `)).toSorted()).toEqual(words);
    const glued = words.map((word) => `--${flag}=${word}`);
    expect((await inFish(`etcdproxy ${product} --${flag}=`)).toSorted()).toEqual(glued);
  });

  test("completes files and folders where they are meant, and nothing where any text is", async () => {
    expect((await inFish("etcdproxy gateway --config-file ")).toSorted()).toEqual([
      "one.yaml",
      "sub/",
      "two.yaml",
    ]);
    expect(await inFish("etcdproxy grpc-proxy --data-dir ")).toEqual(["sub/"]);
    expect(await inFish("etcdproxy gateway --listen-addr ")).toEqual([]);
  });
});

describe("zsh", () => {
  /** The words behind `etcdproxy`, sorted; flags with a value have an equals sign behind them. */
  const wordsIn = (line: string): string[] =>
    line
      .split(/ +/)
      .slice(1)
      .map((word) => word.replace(/(?<=^--[a-z-]+)=$/, ""))
      .toSorted();

  test.each(["from fpath", "sourced"])(
    "completes commands, flags and values, %s",
    async (how) => {
      const lines = [
        "etcdproxy ",
        ...PRODUCT_NAMES.flatMap((product) => [
          `etcdproxy ${product} --`,
          `etcdproxy check-config ${product} --`,
        ]),
        ...fixed.flatMap(([product, flag]) => [
          `etcdproxy ${product} --${flag} `,
          `etcdproxy ${product} --${flag}=`,
        ]),
      ];
      const expected = [
        [...commandNames, "help"],
        ...PRODUCT_NAMES.flatMap((product) => {
          const all = ["--help", ...flagNames(product)];
          return [
            [product, ...all],
            ["check-config", product, ...all],
          ];
        }),
        ...fixed.flatMap(([product, flag, words]) => [
          [product, `--${flag}`, ...words],
          [product, ...words.map((word) => `--${flag}=${word}`)],
        ]),
      ];
      const completed = await inZsh(lines, how === "sourced" ? scriptOf("zsh") : "");
      expect(completed.map(wordsIn)).toEqual(expected.map((words) => words.toSorted()));
    },
    ZSH_DEADLINE_MS,
  );

  test(
    "completes what follows other commands, files, folders, and a boolean's value",
    async () => {
      const cases = {
        "etcdproxy check-config ": "etcdproxy check-config gateway grpc-proxy",
        "etcdproxy completion ": "etcdproxy completion bash fish zsh",
        "etcdproxy help ma": "etcdproxy help man",
        "etcdproxy gateway --listen-addr :1 --debug st": "etcdproxy gateway --listen-addr :1 --debug start",
        "etcdproxy gateway --config-file ": "etcdproxy gateway --config-file one.yaml sub two.yaml",
        "etcdproxy gateway --config-file=o": "etcdproxy gateway --config-file=one.yaml",
        "etcdproxy grpc-proxy --data-dir ": "etcdproxy grpc-proxy --data-dir sub",
        "etcdproxy gateway --debug=": "etcdproxy gateway --debug=false --debug=true",
      };
      // A folder may have its slash.
      const completed = (await inZsh(Object.keys(cases))).map((line) => line.replaceAll("sub/", "sub"));
      expect(completed).toEqual(Object.values(cases));
    },
    ZSH_DEADLINE_MS,
  );
});
