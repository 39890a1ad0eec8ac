/** What a configuration file may hold, and where its mistakes are told to stand. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ProductName } from "../../src/cli/commands.ts";
import { CommandLineError } from "../../src/cli/command-line-error.ts";
import { readConfigFile } from "../../src/cli/config-file.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";

let folder: TemporaryFolder;
let file: string;
beforeAll(() => {
  folder = new TemporaryFolder("config-file");
  file = folder.file("p.yaml");
});
afterAll(() => folder[Symbol.dispose]());

function read(text: string | Uint8Array, product: ProductName = "gateway"): Record<string, unknown> {
  writeFileSync(file, text);
  const values = [...readConfigFile(product, file, { from: "flag" })];
  return Object.fromEntries(values.map(([name, { value }]) => [name, value]));
}

function complaint(text: string | Uint8Array, product: ProductName = "gateway"): string {
  try {
    read(text, product);
  } catch (error) {
    if (error instanceof CommandLineError) return error.line.replaceAll(file, "p.yaml");
    throw error;
  }
  throw new Error("accepted");
}

describe("values", () => {
  test("are scalars of the flag's type, and sequences or comma-separated text for lists", () => {
    expect(
      read(`# of every kind
listen-addr: 127.0.0.1:23790
metrics-addr: "http://127.0.0.1:2381" # quoted, and explained
endpoints:
  - 10.0.1.10
  - https://10.0.1.11:2379
endpoint-weights: [a=1, 'b=2']
retry-delay: 1m30s
health-check-interval: 0
debug: true
workers: 4
`),
    ).toEqual({
      "listen-addr": "127.0.0.1:23790",
      "metrics-addr": "http://127.0.0.1:2381",
      endpoints: ["10.0.1.10", "https://10.0.1.11:2379"],
      "endpoint-weights": ["a=1", "b=2"],
      "retry-delay": 90_000,
      "health-check-interval": 0,
      debug: true,
      workers: 4,
    });
    expect(read("endpoints: a,b\nlisten-addr: :23790")).toEqual({
      endpoints: ["a", "b"],
      "listen-addr": ":23790",
    });
    expect(read("endpoint-weights: []")).toEqual({ "endpoint-weights": [] });
    expect(read('advertise-client-url: ""', "grpc-proxy")).toEqual({ "advertise-client-url": "" });
  });

  test.each(["", "# nothing\n", "---\n", "{}", "\ufeff# with a byte order mark\n", "gateway:\n"])(
    "%j has none",
    (text) => {
      expect(read(text)).toEqual({});
    },
  );

  test("below a product are for that one, and go before those at the top", () => {
    const text = `listen-addr: ":1"
workers: 2
gateway:
  listen-addr: ":2"
grpc-proxy:
  listen-addr: ":3"
  max-send-bytes: 1000
`;
    expect(read(text)).toEqual({ "listen-addr": ":2", workers: 2 });
    expect(read(text, "grpc-proxy")).toEqual({ "listen-addr": ":3", workers: 2, "max-send-bytes": 1_000 });
  });

  test("know the line of their key", () => {
    writeFileSync(file, "\n# one\nlisten-addr:\n  :1\nendpoints:\n  - a\n");
    const lines = [...readConfigFile("gateway", file, { from: "flag" })].map(([name, { origin }]) => [
      name,
      origin.from === "file" && origin.line,
    ]);
    expect(lines).toEqual([
      ["listen-addr", 3],
      ["endpoints", 5],
    ]);
  });
});

describe("is refused, with its place:", () => {
  test.each([
    ["listen-adr: a", "p.yaml:1:1: unknown key listen-adr: did you mean listen-addr?"],
    ["debug: true\n--workers: 2", "p.yaml:2:1: unknown key --workers: did you mean workers?"],
    ["listen_addr: a", "p.yaml:1:1: unknown key listen_addr: did you mean listen-addr?"],
    ["gatewy:\n  debug: true", "p.yaml:1:1: unknown key gatewy: did you mean gateway?"],
    ["something: else", "p.yaml:1:1: unknown key something: see etcdproxy gateway --help"],
    ["__proto__: 1", "p.yaml:1:1: unknown key __proto__: see etcdproxy gateway --help"],
    ["debug: true\nworkers: 1\ndebug: false", "p.yaml:3:1: debug stands on line 1 already: write it once"],
    ["gateway:\n  debug: true\n  debug: true", "p.yaml:3:3: debug stands on line 2 already: write it once"],
    ["gateway: {}\ngateway: {}", "p.yaml:2:1: gateway stands on line 1 already: write it once"],
    [
      "max-send-bytes: 1",
      "p.yaml:1:1: max-send-bytes is a flag of grpc-proxy only: write it below grpc-proxy:, indented",
    ],
    [
      "gateway:\n  max-send-bytes: 1",
      "p.yaml:2:3: max-send-bytes is a flag of grpc-proxy only: not of gateway",
    ],
    [
      "grpc-proxy:\n  max-send-byte: 1",
      "p.yaml:2:3: unknown key max-send-byte: did you mean max-send-bytes?",
    ],
    ["grpc-proxy:\n  max-send-bytes: 0", 'p.yaml:2: max-send-bytes "0": out of range: use 1 to 2147483647'],
    ["gateway: 1", "p.yaml:1:1: gateway is a section: write flags of gateway below it, indented"],
    [
      "gateway:\n  gateway:\n    debug: true",
      "p.yaml:2:3: unknown key gateway: see etcdproxy gateway --help",
    ],
    ["config-file: b.yaml", "p.yaml:1: config-file: a configuration file cannot name another one"],
    ["1: a", "p.yaml:1:1: a key is expected that is the name of a flag"],
    ["[a]: b", "p.yaml:1:1: a key is expected that is the name of a flag"],
    ["? \n: b", "p.yaml:1:3: a key is expected that is the name of a flag"],
    ["- debug", "p.yaml:1:1: keys and values are expected, such as listen-addr: :23790"],
    ["debug", "p.yaml:1:1: keys and values are expected, such as listen-addr: :23790"],
  ])("the key in %j", (text, line) => {
    expect(complaint(text)).toBe(`etcdproxy: ${line}`);
  });

  test.each([
    ["workers: 65", 'workers "65": out of range: use 1 to 64'],
    ["workers: four", 'workers "four": not a whole number: use 1 to 64'],
    ["workers: 0x4", 'workers "0x4": not a whole number: use 1 to 64'],
    ["workers: 4.0", 'workers "4.0": not a whole number: use 1 to 64'],
    ['workers: "4"', "workers: a number is expected, without quotes"],
    ["workers: [4]", "workers: one value is expected, and this is several"],
    ["workers: {a: 4}", "workers: one value is expected, and this is several"],
    ["workers:", 'workers: there is no value: write one, or "" for an empty text'],
    ["debug: yes", "debug: true or false is expected"],
    ["debug: 1", "debug: true or false is expected"],
    ["debug: 'true'", "debug: true or false is expected, without quotes"],
    ["retry-delay: soon", 'retry-delay "soon": not a duration: write it like 1m30s, 500ms or 2h'],
    ["retry-delay: 5", 'retry-delay "5": not a duration: write it like 1m30s, 500ms or 2h'],
    ["retry-delay: 600h", 'retry-delay "600h": out of range: use 0 to 596h31m23s647ms'],
    ["balancer: stiky", 'balancer "stiky" is unknown: did you mean sticky?'],
    ["discovery-srv: 1.5", "discovery-srv: text is expected, and this is a number: write it in quotes"],
    ["discovery-srv: true", "discovery-srv: text is expected, and this is a boolean: write it in quotes"],
    ["discovery-srv: ~", 'discovery-srv: there is no value: write one, or "" for an empty text'],
    ["discovery-srv: !!str a", "discovery-srv: a value without a tag is expected"],
    ["endpoints: [a, 2379]", "endpoints: text is expected, and this is a number: write it in quotes"],
    ["endpoints: [a, [b]]", "endpoints: a list of texts is expected"],
    ["endpoints: {a: b}", "endpoints: a list of texts is expected"],
    ["endpoints: [a, '']", "endpoints: an item of the list is empty: write it, or drop the comma"],
  ])("the value in %j", (text, line) => {
    expect(complaint(text)).toBe(`etcdproxy: p.yaml:1: ${line}`);
  });

  test("an alias, so that none can multiply", () => {
    expect(complaint("listen-addr: &a x\nmetrics-addr: *a")).toBe(
      "etcdproxy: p.yaml:2: metrics-addr: text that begins with * has to be in quotes: aliases are not followed",
    );
    expect(complaint("gateway: &g {debug: true}\ngrpc-proxy:\n  <<: *g")).toStartWith(
      'etcdproxy: p.yaml:3:3: unknown key "<<"',
    );
  });

  test.each([
    [
      "debug: true\nendpoints: [http://root:secret@a",
      "2:33: this is not indented as what it belongs to, or a bracket is not closed",
    ],
    ['discovery-srv: "secret', "1:23: a closing bracket or quote is missing"],
    ["discovery-srv: secret: b", "1:16: a colon and a space are in the value: write it in quotes"],
    ["discovery-srv: @secret", "1:16: text that begins with this character has to be in quotes"],
    [
      "discovery-srv: *secret",
      "1: discovery-srv: text that begins with * has to be in quotes: aliases are not followed",
    ],
    ["discovery-srv: !secret a", "1:16: text that begins with ! has to be in quotes"],
    ["%secret\n---\n", "1:1: text that begins with % has to be in quotes"],
    ["gateway:\n\tdebug: true", "2:1: a tab indents this line: use spaces"],
    [
      "gateway:\n  debug: true\n workers: 1",
      "3:1: this is not indented as what it belongs to, or a bracket is not closed",
    ],
    ["discovery-srv: [a] secret", "1:20: this is not YAML"],
  ])("what is not YAML, without repeating what it says: %j", (text, line) => {
    expect(complaint(text)).toBe(`etcdproxy: p.yaml:${line}`);
  });

  test("a second document", () => {
    expect(complaint("debug: true\n---\ndebug: false")).toBe(
      "etcdproxy: p.yaml:2:1: a second document begins here: write one",
    );
  });

  test("what is nested so deeply that reading it would take all of the stack", () => {
    expect(complaint("[".repeat(200_000))).toMatch(/^etcdproxy: p\.yaml:(?:\d+:\d+:)? this is/);
    expect(complaint("a:".repeat(100_000))).toMatch(/^etcdproxy: p\.yaml:(?:\d+:\d+:)? this is/);
  });

  test("what is no text, too large, a folder, or not there", () => {
    const named = 'etcdproxy: --config-file "p.yaml": ';
    expect(complaint(new Uint8Array([0x64, 0xff, 0x3a]))).toBe(`${named}this is not UTF-8 text`);
    expect(complaint(`#${" ".repeat(256 * 1024)}`)).toBe(`${named}larger than 262144 bytes`);
    expect(() => readConfigFile("gateway", folder.path, { from: "environment" })).toThrow(
      `etcdproxy: ETCDPROXY_CONFIG_FILE "${folder.path}": this is a folder, not a file`,
    );
    expect(() => readConfigFile("gateway", folder.file("absent"), { from: "flag" })).toThrow(
      "there is no such file",
    );
  });
});
