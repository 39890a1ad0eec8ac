import { describe, expect, test } from "bun:test";
import { metricsAddressFlag } from "../../src/cli/address-flags.ts";
import { CommandLineError } from "../../src/cli/command-line-error.ts";

function lineOf(text: string): string {
  try {
    metricsAddressFlag(text);
  } catch (error) {
    if (error instanceof CommandLineError) return error.line;
    throw error;
  }
  return expect.unreachable(`${text} was read`);
}

describe("--metrics-addr", () => {
  test("is a URL of scheme, host and port", () => {
    const address = { hostname: "127.0.0.1", port: 2381 };
    expect(metricsAddressFlag("http://127.0.0.1:2381")).toEqual({ scheme: "http", address });
    expect(metricsAddressFlag("https://127.0.0.1:2381/")).toEqual({ scheme: "https", address });
    expect(metricsAddressFlag("HTTP://[::1]:0")?.address).toEqual({ hostname: "::1", port: 0 });
    expect(metricsAddressFlag("http://:2381")?.address).toEqual({ hostname: "", port: 2381 });
  });

  test("is nothing when it is empty", () => {
    expect(metricsAddressFlag("")).toBeUndefined();
  });

  const write = "such as http://127.0.0.1:2381";
  test.each([
    ["127.0.0.1:2381", `"127.0.0.1:2381" has no scheme: write a URL, ${write}`],
    [" ", `" " has no scheme: write a URL, ${write}`],
    ["unix:///run/metrics", `"unix:///run/metrics" has the scheme unix: write http:// or https://, ${write}`],
    ["http://a:1,http://b:1", `"http://a:1,http://b:1" names several URLs: write one, ${write}`],
    ["http://a", '"a" has no port: write host:port, such as 127.0.0.1:2381'],
    [
      "http://a:port",
      '"a:port" has a bad port "port": write a number from 0 to 65535, such as 127.0.0.1:2381',
    ],
    [
      "http://a:1/metrics",
      '"http://a:1/metrics" has something behind the address: the pages have fixed paths, write only http://127.0.0.1:2381',
    ],
    [
      "http://a:1?b",
      '"http://a:1?b" has something behind the address: the pages have fixed paths, write only http://127.0.0.1:2381',
    ],
  ])("%p is refused", (text, line) => {
    expect(lineOf(text)).toBe(`etcdproxy: --metrics-addr ${line}`);
  });

  test.each([
    "http://root:secret@a:1",
    "root:secret@a:1",
    "ftp://root:secret@a:1/x",
    "http://root:a/secret@a:1",
  ])("with a password is refused without repeating it: %s", (text) => {
    expect(lineOf(text)).not.toContain("secret");
  });
});
