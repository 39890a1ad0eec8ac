/**
 * The transcripts of the README, run again: each command prints what the README says that it prints.
 *
 * What may differ, such as ports, is stated in tests/harness/transcript-text.ts. The pages of docs/ are run in the same way in
 * tests/docs; these are here so that they meet every etcd that the smoke tests meet.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TranscriptRun } from "../harness/transcript-run.ts";
import { ReadmeFile } from "../readme-file.ts";

const steps = (await ReadmeFile.read("README.md")).transcripts().flat();

/** With a build, where there is none of this commit. */
const START_MAX_MS = 60_000;

let reader: TranscriptRun;
beforeAll(async () => {
  reader = await TranscriptRun.start();
}, START_MAX_MS);
afterAll(async () => {
  await reader[Symbol.asyncDispose]();
});

describe("the README's transcripts", () => {
  test("show both products and a call in JSON", () => {
    expect(steps.map(({ command }) => command.split(" ", 2).join(" "))).toEqual(
      expect.arrayContaining(["dist/etcdproxy gateway", "dist/etcdproxy grpc-proxy", "curl -s"]),
    );
  });

  test.each(steps.map((step) => [step.command, step] as const))("$ %s", async (_, step) => {
    expect(step.command).toMatch(
      /^(dist\/etcdproxy .* &|etcdctl --endpoints=127\.0\.0\.1:23790 .*|curl .*|kill %\d)$/,
    );
    const lines = await reader.run(step);
    expect(lines.map((line) => reader.text.comparable(line))).toEqual(
      step.printed.map((line) => reader.text.comparable(line)),
    );
  });
});
