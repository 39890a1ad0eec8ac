import { describe, expect, test } from "bun:test";
import { attributeOf, type FlagDefinition } from "../../src/cli/flag-definition.ts";
import { formatDefault } from "../../src/cli/flag-value.ts";
import { gatewayFlags } from "../../src/cli/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";

const tables: readonly (readonly [string, readonly FlagDefinition[]])[] = [
  ["gateway", gatewayFlags],
  ["grpc-proxy", grpcProxyFlags],
];

/** Names and defaults of etcd's own commands; an empty default is "". */
const etcdGatewayFlags: Readonly<Record<string, string>> = {
  "listen-addr": "127.0.0.1:23790",
  endpoints: "127.0.0.1:2379",
  "discovery-srv": "",
  "discovery-srv-name": "",
  "insecure-discovery": "",
  "trusted-ca-file": "",
  "retry-delay": "1m",
};

const etcdGrpcProxyFlags: Readonly<Record<string, string>> = {
  "listen-addr": "127.0.0.1:23790",
  endpoints: "127.0.0.1:2379",
  "endpoints-auto-sync-interval": "0",
  "discovery-srv": "",
  "discovery-srv-name": "",
  "insecure-discovery": "",
  "metrics-addr": "",
  "dial-keepalive-time": "0",
  "dial-keepalive-timeout": "20s",
  "permit-without-stream": "",
  "advertise-client-url": "127.0.0.1:23790",
  "resolver-prefix": "",
  "resolver-ttl": "0",
  namespace: "",
  "enable-pprof": "",
  "data-dir": "default.proxy",
  "max-send-bytes": "1572864",
  "max-recv-bytes": "2147483647",
  "grpc-keepalive-min-time": "5s",
  "grpc-keepalive-interval": "2h",
  "grpc-keepalive-timeout": "20s",
  "max-concurrent-streams": "4294967295",
  cert: "",
  key: "",
  cacert: "",
  "insecure-skip-tls-verify": "",
  "cert-file": "",
  "key-file": "",
  "trusted-ca-file": "",
  "client-crl-file": "",
  "auto-tls": "",
  "self-signed-cert-validity": "1",
  "listen-cipher-suites": "",
  "tls-min-version": "TLS1.2",
  "tls-max-version": "",
  "experimental-serializable-ordering": "",
  "experimental-leasing-prefix": "",
  "experimental-enable-grpc-logging": "",
  debug: "",
};

describe("the flag tables", () => {
  test.each(Object.entries(etcdGatewayFlags))(
    "etcd gateway's --%s is known, with the default %j",
    (name, expected) => {
      const flag = gatewayFlags.find((candidate) => candidate.name === name);
      expect(flag && (formatDefault(flag) ?? "")).toBe(expected);
    },
  );

  test.each(Object.entries(etcdGrpcProxyFlags))(
    "etcd grpc-proxy's --%s is known, with the default %j",
    (name, expected) => {
      const flag = grpcProxyFlags.find((candidate) => candidate.name === name);
      expect(flag && (formatDefault(flag) ?? "")).toBe(expected);
    },
  );

  test("what is not built yet, and refused", () => {
    expect(laterNames(gatewayFlags)).toEqual([]);
    expect(laterNames(grpcProxyFlags)).toEqual([
      "experimental-leasing-prefix",
      "experimental-serializable-ordering",
    ]);
  });

  test.each(tables)("names and properties of %s are unique", (_, table) => {
    expect(new Set(table.map(({ name }) => name)).size).toBe(table.length);
    expect(new Set(table.map(attributeOf)).size).toBe(table.length);
  });

  test.each(tables)("defaults of %s lie inside their ranges", (_, table) => {
    for (const flag of table) {
      if (flag.kind !== "integer") continue;
      expect(flag.default).toBeWithin(flag.min, flag.max + 1);
    }
  });

  test("the property of a duration says that it holds milliseconds", () => {
    const durations = gatewayFlags.filter(({ kind }) => kind === "duration").map(attributeOf);
    expect(durations).toContain("retryDelayMs");
    for (const attribute of durations) expect(attribute).toEndWith("Ms");
  });
});

function laterNames(table: readonly FlagDefinition[]): string[] {
  return table
    .filter(({ since }) => since === "later")
    .map(({ name }) => name)
    .toSorted();
}
