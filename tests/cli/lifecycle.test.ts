import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { startProgram } from "./program.ts";

const lifecycleProgram = fileURLToPath(new URL("lifecycle-program.ts", import.meta.url));

describe("the life of a product", () => {
  test("goes on after an error that nobody caught, which is logged with its stack", async () => {
    const program = startProgram(lifecycleProgram, "throws");
    await program.logged("still alive");
    program.kill("SIGTERM");
    const { exitCode, stderr } = await program.ended();
    const errors = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === "unexpected error");
    expect(errors).toContainEqual(
      expect.objectContaining({
        level: "error",
        error: "nobody caught this",
        stack: expect.stringContaining("lifecycle-program"),
      }),
    );
    expect(errors).toContainEqual(expect.objectContaining({ level: "error", error: "nor that" }));
    expect(exitCode).toBe(0);
  });

  test("does not fill the log with an error that repeats", async () => {
    const program = startProgram(lifecycleProgram, "throws");
    await program.logged("still alive");
    program.kill("SIGTERM");
    const { stderr } = await program.ended();
    const repeats = stderr.split("\n").filter((line) => line.includes('"error":"again and again"'));
    expect(repeats.length).toBeGreaterThan(0);
    expect(repeats.length).toBeLessThan(100);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("ends at once on a second signal: %s", async (signal, exitCode) => {
    const program = startProgram(lifecycleProgram, "closes-never");
    await program.logged("ready");
    program.kill("SIGTERM");
    await program.logged("stopping");
    program.kill(signal);
    const { exitCode: met, stderr } = await program.ended();
    expect(met).toBe(exitCode);
    expect(JSON.parse(stderr.trimEnd().split("\n").at(-1)!)).toMatchObject({
      msg: "ended at once by a second signal: what clients have open is cut",
      signal,
    });
  });

  test("does not end on SIGHUP, while it starts as little as later", async () => {
    const starting = startProgram(lifecycleProgram, "starts-never");
    await starting.logged("starting");
    starting.kill("SIGHUP");
    await starting.logged("SIGHUP: nothing is read anew while the product starts");
    const serving = startProgram(lifecycleProgram, "closes-never");
    await serving.logged("ready");
    serving.kill("SIGHUP");
    await serving.logged("SIGHUP: there is no file to read anew");
    starting.kill("SIGTERM");
    expect((await starting.ended()).exitCode).toBe(0);
  });

  test("ends on a signal while it still starts", async () => {
    const program = startProgram(lifecycleProgram, "starts-never");
    await program.logged("starting");
    program.kill("SIGTERM");
    expect((await program.ended()).exitCode).toBe(0);
  });
});
