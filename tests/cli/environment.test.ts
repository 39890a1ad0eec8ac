/** Which variables are read, which are left to others, and how those are refused that nobody knows. */
import { describe, expect, test } from "bun:test";
import { PRODUCT_NAMES, productTables } from "../../src/cli/commands.ts";
import { type Environment, isOfOthers, readEnvironment } from "../../src/cli/environment.ts";
import { variableOf } from "../../src/cli/value-origin.ts";

const read = (environment: Environment): Record<string, unknown> =>
  Object.fromEntries(
    [...readEnvironment("gateway", environment).values].map(([name, { value }]) => [name, value]),
  );

test("a variable is named after its flag, in upper case and with underscores", () => {
  expect(
    read({
      ETCDPROXY_LISTEN_ADDR: ":1",
      ETCDPROXY_RETRY_DELAY: "5s",
      ETCDPROXY_DEBUG: "1",
      PATH: "/bin",
      HOME: "/",
    }),
  ).toEqual({ "listen-addr": ":1", "retry-delay": 5_000, debug: true });
});

test("an empty variable is an empty value", () => {
  expect(read({ ETCDPROXY_METRICS_ADDR: "" })).toEqual({ "metrics-addr": "" });
  expect(() => read({ ETCDPROXY_WORKERS: "" })).toThrow(
    'etcdproxy: ETCDPROXY_WORKERS "": not a whole number',
  );
});

test("a flag of the other product alone is not read, and told", () => {
  const { values, ofOthers } = readEnvironment("gateway", {
    ETCDPROXY_CERT_FILE: "a",
    ETCDPROXY_DEBUG: "true",
  });
  expect([...values.keys()]).toEqual(["debug"]);
  expect(ofOthers).toEqual(["ETCDPROXY_CERT_FILE"]);
});

describe("is refused", () => {
  test.each([
    [
      "ETCDPROXY_LISTEN_ADR",
      "a",
      "unknown environment variable ETCDPROXY_LISTEN_ADR: did you mean ETCDPROXY_LISTEN_ADDR?",
    ],
    [
      "ETCDPROXY_listen_addr",
      "a",
      "unknown environment variable ETCDPROXY_listen_addr: did you mean ETCDPROXY_LISTEN_ADDR?",
    ],
    [
      "ETCDPROXY_LISTEN-ADDR",
      "a",
      'unknown environment variable "ETCDPROXY_LISTEN-ADDR": did you mean ETCDPROXY_LISTEN_ADDR?',
    ],
    [
      "ETCDPROXY_TOKEN",
      "a",
      "unknown environment variable ETCDPROXY_TOKEN: variables are named after flags, see etcdproxy <command> --help",
    ],
    ["ETCDPROXY_PORT", "2379", "unknown environment variable ETCDPROXY_PORT: "],
    ["ETCDPROXY_", "", "unknown environment variable ETCDPROXY_: "],
    ["ETCDPROXY_RETRY_DELAY", "soon", 'ETCDPROXY_RETRY_DELAY "soon": not a duration'],
    ["ETCDPROXY_WORKERS", "0", 'ETCDPROXY_WORKERS "0": out of range: use 1 to 64'],
    ["ETCDPROXY_DEBUG", "yes", 'ETCDPROXY_DEBUG "yes": write true or false'],
    ["ETCDPROXY_BALANCER", "stiky", 'ETCDPROXY_BALANCER "stiky" is unknown: did you mean sticky?'],
    ["ETCDPROXY_ENDPOINTS", "root:secret@a,", "ETCDPROXY_ENDPOINTS: an item of the list is empty"],
  ])("%s=%s", (variable, text, line) => {
    expect(() => read({ [variable]: text })).toThrow(`etcdproxy: ${line}`);
  });
});

describe("is left to others", () => {
  test.each([
    ["ETCDPROXY_TEST_LONG", "1"],
    ["ETCDPROXY_FUZZ_SEED", "7"],
    // As Kubernetes names them for Services "etcdproxy" and "etcdproxy-gateway".
    ["ETCDPROXY_SERVICE_HOST", "10.96.0.7"],
    ["ETCDPROXY_SERVICE_PORT", "23790"],
    ["ETCDPROXY_SERVICE_PORT_CLIENT", "23790"],
    ["ETCDPROXY_PORT", "tcp://10.96.0.7:23790"],
    ["ETCDPROXY_PORT_23790_TCP", "tcp://10.96.0.7:23790"],
    ["ETCDPROXY_PORT_23790_TCP_PROTO", "tcp"],
    ["ETCDPROXY_PORT_23790_TCP_PORT", "23790"],
    ["ETCDPROXY_PORT_23790_TCP_ADDR", "10.96.0.7"],
    ["ETCDPROXY_GATEWAY_SERVICE_HOST", "10.96.0.8"],
    ["ETCDPROXY_GATEWAY_PORT", "tcp://10.96.0.8:23790"],
  ])("%s=%s", (variable, text) => {
    expect(readEnvironment("gateway", { [variable]: text })).toEqual({ values: new Map(), ofOthers: [] });
  });

  test("and none of those names is a flag's", () => {
    const variables = PRODUCT_NAMES.flatMap((name) =>
      productTables[name].map((flag) => variableOf(flag.name)),
    );
    expect(variables.filter((variable) => isOfOthers(variable, "tcp://10.96.0.7:23790"))).toEqual([]);
  });
});
