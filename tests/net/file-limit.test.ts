import { expect, test } from "bun:test";

/** What a process with this limit of open files answers. */
async function connectionsWith(
  filesMax: number,
  filesPerConnection: number,
  filesElsewhere = 0,
): Promise<number> {
  const module = new URL("../../src/net/file-limit.ts", import.meta.url).href;
  const program = `const { connectionsWithinFileLimit } = await import("${module}");
    console.log(connectionsWithinFileLimit(${filesPerConnection}, ${filesElsewhere}));`;
  const child = Bun.spawn([
    "sh",
    "-c",
    `ulimit -n ${filesMax}; exec "$0" -e "$1"`,
    process.execPath,
    program,
  ]);
  return Number(await new Response(child.stdout).text());
}

test("the limit of open files, less those for other uses, bounds the connections", async () => {
  expect(await connectionsWith(1_128, 2)).toBe(500);
  expect(await connectionsWith(1_128, 1)).toBe(1_000);
  expect(await connectionsWith(1_128, 1, 64)).toBe(936);
});

test("a very low limit still allows one", async () => {
  expect(await connectionsWith(100, 2)).toBe(1);
  expect(await connectionsWith(150, 1, 64)).toBe(1);
});
