/** How many files are open, and may be: by processes whose limits a shell has set. */
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { openFiles } from "../../src/net/file-limit.ts";

/** What an expression of the module is in a process with this limit of open files. */
async function valueWith(filesMax: number | "unlimited", expression: string): Promise<number> {
  const module = new URL("../../src/net/file-limit.ts", import.meta.url).href;
  const program = `const files = await import("${module}"); console.log(files.${expression});`;
  const child = Bun.spawn([
    "sh",
    "-c",
    `ulimit -n ${filesMax}; exec "$0" -e "$1"`,
    process.execPath,
    program,
  ]);
  return Number(await new Response(child.stdout).text());
}

const connectionsWith = (filesMax: number, filesPerConnection: number, filesElsewhere = 0): Promise<number> =>
  valueWith(filesMax, `connectionsWithinFileLimit(${filesPerConnection}, ${filesElsewhere})`);

test("the limit of open files, less those for other uses, bounds the connections", async () => {
  expect(await connectionsWith(1_128, 2)).toBe(500);
  expect(await connectionsWith(1_128, 1)).toBe(1_000);
  expect(await connectionsWith(1_128, 1, 64)).toBe(936);
});

test("a very low limit still allows one", async () => {
  expect(await connectionsWith(100, 2)).toBe(1);
  expect(await connectionsWith(150, 1, 64)).toBe(1);
});

test("the limit is the process's own, also where Linux does not tell it", async () => {
  expect(await valueWith(777, "openFilesMax()")).toBe(777);
  // A stand-in for macOS.
  expect(await valueWith(777, 'openFilesMax("/nowhere/limits")')).toBe(777);
});

test("files that are opened are counted, and no longer once they are closed", () => {
  const before = openFiles();
  expect(before).toBeGreaterThan(2);
  const opened = Array.from({ length: 20 }, () => openSync("/dev/null", "r"));
  expect(openFiles()).toBe(before + 20);
  for (const descriptor of opened) closeSync(descriptor);
  expect(openFiles()).toBe(before);
});
