/**
 * The engine against h2spec, an independent judge of RFC 7540, RFC 7541 and what servers get wrong.
 *
 * `scripts/h2spec` prints where its program is; it exits with 3 where there is no Go to build it with.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startH2specServer } from "./h2spec-server.ts";

const NO_GO = 3;

const found = Bun.spawnSync([`${import.meta.dir}/../../scripts/h2spec`], { stderr: "pipe" });
const program = found.stdout.toString().trim();
const said = found.stderr.toString().trim();
const withoutGo = found.exitCode === NO_GO;

describe.skipIf(withoutGo)(withoutGo ? `h2spec (skipped: ${said})` : "h2spec", () => {
  let server: ReturnType<typeof startH2specServer>;
  beforeAll(() => {
    server = startH2specServer();
  });
  afterAll(() => server.stop());

  test("its program is there", () => {
    // What a build prints on its way is no fault; what a failed one prints says why.
    expect(found.exitCode === 0 ? "" : said).toBe("");
    expect(program).not.toBe("");
  });

  for (const suite of ["generic", "http2", "hpack"]) {
    test(`finds no fault with ${suite}, strict cases included`, async () => {
      const run = Bun.spawn(
        [program, suite, "--strict", "--host", "127.0.0.1", "--port", String(server.port), "--timeout", "5"],
        { stdout: "pipe", stderr: "pipe" },
      );
      const report = await new Response(run.stdout).text();
      expect(report).toMatch(/\d+ tests, [1-9]\d* passed, 0 skipped, 0 failed/);
      expect(await run.exited).toBe(0);
    }, 120_000);
  }
});
