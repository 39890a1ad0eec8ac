/** Errors name the place where a value stands. */
import { describe, expect, test } from "bun:test";
import { usageError } from "../../src/cli/command-line-error.ts";
import { shownOrigin, type ValueOrigin, ValueOrigins } from "../../src/cli/value-origin.ts";

const inFile: ValueOrigin = { from: "file", path: "/etc/p.yaml", line: 7 };
const origins = new ValueOrigins(
  new Map<string, ValueOrigin>([
    ["listen-addr", inFile],
    ["workers", { from: "environment" }],
    ["cert-file", { from: "flag" }],
    ["tls-min-version", { from: "file", path: "p.yaml", line: 2 }],
    ["tls-max-version", { ...inFile, line: 8 }],
  ]),
);

describe("an error about a value", () => {
  test.each([
    ['--listen-addr "foo" has no port', '/etc/p.yaml:7: listen-addr "foo" has no port'],
    ["--workers=64 needs 544 open files", "ETCDPROXY_WORKERS=64 needs 544 open files"],
    ["--cert-file /a needs --key-file: the private key", "--cert-file /a needs --key-file: the private key"],
    ["--auto-tls contradicts --cert-file: leave it", "--auto-tls contradicts --cert-file: leave it"],
    [
      "--tls-min-version TLS1.3 is above --tls-max-version TLS1.2: no client could connect",
      "p.yaml:2: tls-min-version TLS1.3 is above tls-max-version (/etc/p.yaml:8) TLS1.2: no client could connect",
    ],
    [
      "endpoint a:1 is here (--workers, --listen-addr)",
      "endpoint a:1 is here (ETCDPROXY_WORKERS, listen-addr (/etc/p.yaml:7))",
    ],
    ['--cert-file "--workers" and "a \\" --workers "', '--cert-file "--workers" and "a \\" --workers "'],
    ["--cert-file /a/--workers/b: --workers-x", "--cert-file /a/--workers/b: --workers-x"],
  ])("%s", (told, expected) => {
    expect(origins.explain(usageError(told)).line).toBe(`etcdproxy: ${expected}`);
  });
});

test("an origin stands beside a name", () => {
  expect(
    ["listen-addr", "workers", "cert-file", "key-file"].map((name) => shownOrigin(name, origins.of(name))),
  ).toEqual(["/etc/p.yaml:7", "ETCDPROXY_WORKERS", "--cert-file", "default"]);
});
