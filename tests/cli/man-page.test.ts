/** The man page: it holds every flag, and the formatters of Debian have nothing to say against it. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { commands, PRODUCT_NAMES, productTables } from "../../src/cli/commands.ts";
import { manPage } from "../../src/cli/man-page.ts";
import { type CommandResult, runCommand } from "../harness/child-process.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let file: string;
beforeAll(() => {
  folder = new TemporaryFolder("man");
  file = folder.file("etcdproxy.1");
  writeFileSync(file, manPage());
});
afterAll(() => folder[Symbol.dispose]());

/** What a formatter makes of it in an environment where lines are not broken. */
async function formatted(...command: readonly string[]): Promise<CommandResult> {
  return runCommand([...command, file], {
    env: { MANWIDTH: "4000", MAN_KEEP_FORMATTING: undefined, LC_ALL: "C.UTF-8" },
  });
}

describe("is formatted without a warning", () => {
  test.each([
    ["mandoc -Tlint", ["mandoc", "-Tlint"]],
    ["groff -man -ww", ["groff", "-man", "-ww", "-Tutf8", "-z"]],
  ])("by %s", async (_, command) => {
    const { code, stdout, stderr } = await formatted(...command);
    expect({ code, said: stdout + stderr }).toEqual({ code: 0, said: "" });
  });

  test("by man -l", async () => {
    const { code, stdout, stderr } = await formatted("man", "--warnings=all", "-l");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("etcdproxy - etcd's gateway and grpc-proxy in one program");
  });
});

test("holds every command and every flag, with its default", async () => {
  const { stdout } = await formatted("man", "-l");
  for (const { name } of commands) expect(stdout).toMatch(new RegExp(`^ +etcdproxy ${name}\\b`, "m"));
  const headings = PRODUCT_NAMES.map((product) => `FLAGS OF ${product.toUpperCase()}\n`);
  for (const [index, product] of PRODUCT_NAMES.entries()) {
    const from = stdout.indexOf(headings[index]!);
    const to = stdout.indexOf(headings[index + 1] ?? "VALUES\n", from);
    const listed = [...stdout.slice(from, to).matchAll(/^ +--([a-z-]+)/gm)].map(([, name]) => name ?? "");
    const live = productTables[product].filter(({ since }) => since === "live").map(({ name }) => name);
    expect(listed.toSorted()).toEqual(live.toSorted());
  }
  expect(stdout).toContain("(default: 127.0.0.1:23790)");
});

test("dashes are those of the command line, which can be copied and searched for", () => {
  const [, ...lines] = manPage().split("\n");
  expect(lines.filter((line) => /(?<!\\)-/.test(line))).toEqual([]);
});
