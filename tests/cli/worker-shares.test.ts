import { expect, test } from "bun:test";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import type { ProductFlags } from "../../src/cli/worker-messages.ts";
import { shareOf } from "../../src/cli/worker-shares.ts";
import { connectionsWithinFileLimit } from "../../src/net/file-limit.ts";

function flagsOf(...words: string[]): ProductFlags {
  const invocation = parseCommandLine(words);
  if (invocation.command === "gateway") return { product: "gateway", flags: invocation.flags };
  if (invocation.command === "grpc-proxy") return { product: "grpc-proxy", flags: invocation.flags };
  throw new Error(`read as ${invocation.command}`);
}

const ADDRESS = "127.0.0.1:1234";

test("what the process may use is divided among its workers, rounded up", () => {
  const asked = ["--max-connections=10", "--max-buffer-bytes=100000000", "--cache-max-bytes=1000"];
  const { flags } = shareOf(flagsOf("grpc-proxy", ...asked, "--cache-max-entries=7"), 4, ADDRESS);
  expect(flags).toMatchObject({
    maxConnections: 3,
    maxBufferBytes: 25_000_000,
    cacheMaxBytes: 250,
    cacheMaxEntries: 2,
  });
});

test("a cache that is turned off is turned off at each", () => {
  const { flags } = shareOf(flagsOf("grpc-proxy", "--cache-max-bytes=0"), 4, ADDRESS);
  expect(flags).toMatchObject({ cacheMaxBytes: 0 });
});

test("the limit of open files is divided as well, less what workers and pages need", () => {
  for (const [words, filesElsewhere] of [
    [[], 16],
    [["--metrics-addr=http://127.0.0.1:1"], 64 + 16],
  ] as const) {
    const all = connectionsWithinFileLimit(2, filesElsewhere);
    const { flags } = shareOf(flagsOf("gateway", "--max-connections=0", ...words), 2, ADDRESS);
    expect(flags.maxConnections).toBe(Number.isFinite(all) ? Math.ceil(all / 2) : 0);
  }
});

test("workers listen where they are told, and have no further listener", () => {
  const own = ["--listen-addr=:9", "--metrics-addr=http://127.0.0.1:1"];
  const { flags } = shareOf(flagsOf("grpc-proxy", ...own), 2, ADDRESS);
  expect(flags).toMatchObject({ listenAddr: ADDRESS, metricsAddr: "" });
});

test("all else is as it was asked for", () => {
  for (const product of ["gateway", "grpc-proxy"]) {
    const given = flagsOf(product, "--workers=4", "--debug");
    const divided = [
      "listenAddr",
      "metricsAddr",
      "maxConnections",
      "maxBufferBytes",
      "cacheMaxBytes",
      "cacheMaxEntries",
    ];
    const rest = ({ flags }: ProductFlags): [string, unknown][] =>
      Object.entries(flags).filter(([name]) => !divided.includes(name));
    expect(rest(shareOf(given, 4, ADDRESS))).toEqual(rest(given));
  }
});

test("more workers than the limit of open files allows are refused, and the operator is told what they need", async () => {
  const module = new URL("../../src/cli/worker-shares.ts", import.meta.url).href;
  const program = `const { refuseTooManyWorkers } = await import("${module}");
    for (const workers of [33, 34]) {
      try {
        refuseTooManyWorkers(workers);
      } catch (error) {
        console.log(error.line);
      }
    }`;
  const limited = ["sh", "-c", `ulimit -n 300; exec "$0" -e "$1"`, process.execPath, program];
  expect(await new Response(Bun.spawn(limited).stdout).text()).toBe(
    "etcdproxy: --workers=34 needs 304 open files at the least, and the limit is 300; " +
      "raise it (ulimit -n) or start fewer workers\n",
  );
});
