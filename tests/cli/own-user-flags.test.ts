/** `--user` and `--password-file`: what is refused at the start, and what is only warned of. */
import { chmodSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { runToEnd, startEtcdproxy } from "./program.ts";

const SERVING = ["grpc-proxy", "start", "--listen-addr=127.0.0.1:0", "--endpoints=127.0.0.1:1"];
const WARNING = "everybody on this machine can read --password-file: take that right away, as with chmod 600";

let folder: TemporaryFolder;
let file: string;

beforeEach(() => {
  folder = new TemporaryFolder("flags");
  file = folder.file("password");
  writeFileSync(file, "secret\n", { mode: 0o600 });
});
afterEach(() => folder[Symbol.dispose]());

describe("one line on stderr and exit status 1", () => {
  async function lineOf(...flags: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await runToEnd(...SERVING, ...flags);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    return stderr;
  }

  test("when one flag is given without the other", async () => {
    expect(await lineOf("--user=root:secret")).toBe(
      "etcdproxy: --user needs --password-file: name a file that holds the user's password\n",
    );
    expect(await lineOf(`--password-file=${file}`)).toBe(
      `etcdproxy: --password-file "${file}" needs --user: name the user that it is for\n`,
    );
  });

  test("when the password is given with the name, which is not repeated", async () => {
    expect(await lineOf("--user=root:secret", `--password-file=${file}`)).toBe(
      "etcdproxy: --user takes the name alone, without a colon: the password stands in --password-file\n",
    );
  });

  test("when the file cannot be read, or is empty", async () => {
    const missing = folder.file("missing");
    expect(await lineOf("--user=root", `--password-file=${missing}`)).toBe(
      `etcdproxy: --password-file "${missing}" cannot be used: there is no such file\n`,
    );
    writeFileSync(file, "\n");
    expect(await lineOf("--user=root", `--password-file=${file}`)).toBe(
      `etcdproxy: --password-file "${file}" is empty: write the password into its first line\n`,
    );
  });
});

describe("a proxy with a user of its own", () => {
  /** The log of a proxy from its start to its stop. */
  async function logOf(mode: number): Promise<string> {
    chmodSync(file, mode);
    const program = startEtcdproxy(...SERVING, "--user=root", `--password-file=${file}`);
    await program.logged("started gRPC proxy");
    program.kill("SIGTERM");
    const { exitCode, stderr } = await program.ended();
    expect(exitCode).toBe(0);
    return stderr;
  }

  test("serves without having reached etcd, and warns of nothing while only its owner can read the file", async () => {
    expect(await logOf(0o600)).not.toContain(WARNING);
  });

  test("warns when everybody can read the file", async () => {
    const log = await logOf(0o644);
    expect(log).toContain(WARNING);
    expect(log).toContain(file);
    expect(log).not.toContain("secret");
  });
});
