/** `--resolver-prefix`, `--resolver-ttl` and `--advertise-client-url`: what they say together, and what is refused at the start. */
import { describe, expect, test } from "bun:test";
import { parseCommandLine, type ProductInvocation } from "../../src/cli/command-line.ts";
import { leftUrlRemarks, registrationFlags } from "../../src/cli/registration-flags.ts";
import { settle } from "../../src/cli/settings.ts";
import { runToEnd, startEtcdproxy } from "./program.ts";

const advertiseClientUrl = "127.0.0.1:23790";

test("without a prefix and a time to live nothing is registered, whatever the address is", () => {
  expect(registrationFlags({ resolverPrefix: "", resolverTtl: 0, advertiseClientUrl })).toBeNull();
  expect(registrationFlags({ resolverPrefix: "", resolverTtl: 0, advertiseClientUrl: "" })).toBeNull();
});

test("with both the proxy is registered, under the prefix as it is written", () => {
  expect(registrationFlags({ resolverPrefix: "proxies/", resolverTtl: 1, advertiseClientUrl })).toEqual({
    prefix: "proxies/",
    ttlSeconds: 1,
  });
});

test.each(["http://root:secret@a:1", "root:secret@a:1"])(
  "an address with a password is refused without repeating it, registered or not: %s",
  (url) => {
    const flags = { resolverPrefix: "", resolverTtl: 0, advertiseClientUrl: url };
    expect(() => registrationFlags(flags)).toThrow(
      /^etcdproxy: --advertise-client-url "\S*…@a:1" carries a user name/,
    );
  },
);

describe("one line on stderr and exit status 1", () => {
  async function lineOf(...flags: string[]): Promise<string> {
    const serving = ["grpc-proxy", "start", "--listen-addr=127.0.0.1:0", "--endpoints=127.0.0.1:1"];
    const { exitCode, stdout, stderr } = await runToEnd(...serving, ...flags);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    return stderr;
  }

  test.each([
    [
      "a prefix without a time to live",
      ["--resolver-prefix=proxies"],
      '--resolver-prefix "proxies" needs --resolver-ttl of at least 1, in seconds, such as --resolver-ttl=60',
    ],
    [
      "a time to live of 0",
      ["--resolver-prefix=proxies", "--resolver-ttl=0"],
      '--resolver-prefix "proxies" needs --resolver-ttl of at least 1, in seconds, such as --resolver-ttl=60',
    ],
    [
      "a time to live without a prefix",
      ["--resolver-ttl=60"],
      "--resolver-ttl=60 needs --resolver-prefix: name what the proxies share",
    ],
    [
      "both without an address",
      ["--resolver-prefix=proxies", "--resolver-ttl=60", "--advertise-client-url="],
      '--resolver-prefix "proxies" and --resolver-ttl=60 need --advertise-client-url: name the address that clients reach this proxy at',
    ],
  ])("for %s", async (_, flags, line) => {
    expect(await lineOf(...flags)).toBe(`etcdproxy: ${line}\n`);
  });
});

describe("an address that clients are told, left at its default by who moved the proxy", () => {
  const remarksOn = async (words: readonly string[], environment = {}): Promise<string[]> => {
    const { serve, origins } = await settle(parseCommandLine(words) as ProductInvocation, environment);
    return serve.product === "grpc-proxy" ? leftUrlRemarks(serve.flags, origins) : [];
  };
  const told =
    "but clients that ask for the members are told 127.0.0.1:23790: name the address that they reach this proxy at " +
    "with --advertise-client-url, or leave that empty to tell them etcd's own members";

  test("is remarked on, by where it was moved", async () => {
    expect(await remarksOn(["grpc-proxy", "start", "--listen-addr=0.0.0.0:23790"])).toEqual([
      `--listen-addr is 0.0.0.0:23790, ${told}`,
    ]);
    expect(await remarksOn(["grpc-proxy", "start"], { ETCDPROXY_LISTEN_ADDR: ":1" })).toEqual([
      `ETCDPROXY_LISTEN_ADDR is :1, ${told}`,
    ]);
  });

  test.each([
    ["where both have their defaults", []],
    [
      "where the address is named, be it the default one",
      ["--listen-addr=:1", "--advertise-client-url=127.0.0.1:23790"],
    ],
    ["where the members are told", ["--listen-addr=:1", "--advertise-client-url="]],
  ])("is not remarked on %s", async (_where, flags) => {
    expect(await remarksOn(["grpc-proxy", "start", ...flags])).toEqual([]);
  });

  test.each(["1", "2"])("is told once, when clients are served: %s workers", async (workers) => {
    const program = startEtcdproxy(
      "grpc-proxy",
      "start",
      "--listen-addr=127.0.0.1:0",
      "--endpoints=127.0.0.1:1",
      `--workers=${workers}`,
    );
    await program.logged("started gRPC proxy");
    await program.loggedWith("--listen-addr is 127.0.0.1:0");
    program.kill("SIGTERM");
    const { exitCode, stderr } = await program.ended();
    expect(exitCode).toBe(0);
    const told = stderr.split("\n").filter((line) => line.includes("are told 127.0.0.1:23790"));
    expect(told.length).toBe(1);
    expect(JSON.parse(told[0]!)).toMatchObject({ level: "warn" });
  });
});
