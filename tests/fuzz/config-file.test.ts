/**
 * Configuration files that nobody meant: each becomes values inside their flags' ranges, or one line that can be shown as it
 * is, names the file and repeats no password.
 */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { PRODUCT_NAMES, productTables } from "../../src/cli/commands.ts";
import { CommandLineError } from "../../src/cli/command-line-error.ts";
import { readConfigFile } from "../../src/cli/config-file.ts";
import { parseFlagValue, formatFlagValue } from "../../src/cli/flag-value.ts";
import { TemporaryFolder } from "../harness/temporary-folder.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated } from "./mutation.ts";

const SECRET = "s3cr3tPassw0rd";
const SAMPLES = [
  `listen-addr: 127.0.0.1:23790
endpoints: # of the cluster
  - http://10.0.1.10
  - "10.0.1.11:2379"
retry-delay: 1m30s
workers: 4
debug: true
`,
  `gateway: {listen-addr: ":1", endpoint-weights: [a=1, 'b=2']}
grpc-proxy:
  listen-addr: |-
    :2
  cache: false
  max-send-bytes: 1000
  endpoints: >-
    a,
    b
`,
  `endpoints: ["http://root:${SECRET}@a", &x b, *x]\n`,
  `? discovery-srv\n: !!str ${SECRET}\n--- # another\n...\n`,
  "{a: [[[{b: *c}]]], <<: &c {}}",
].map((text) => Buffer.from(text));

let folder: TemporaryFolder;
beforeAll(() => {
  folder = new TemporaryFolder("fuzz");
});
afterAll(() => folder[Symbol.dispose]());

describe("any file", () => {
  fuzz("has values that are in range, or is refused in one line", { inputs: 3_000 }, (random) => {
    const bytes = random.chance(0.95) ? mutated(random.pick(SAMPLES), random, SAMPLES) : garbage(random, 400);
    const file = folder.file("p.yaml");
    writeFileSync(file, bytes);
    const product = random.pick(PRODUCT_NAMES);
    try {
      for (const [name, { value, origin }] of readConfigFile(product, file, { from: "flag" })) {
        const flag = productTables[product].find((candidate) => candidate.name === name)!;
        expect(origin.from).toBe("file");
        if (flag.kind === "list") expect(value).toBeArray();
        else expect(parseFlagValue(flag, formatFlagValue(flag, value))).toEqual(value);
      }
    } catch (error) {
      if (!(error instanceof CommandLineError)) throw error;
      expect(error.line).toMatch(/^(etcdproxy|not supported yet): /);
      expect(error.line).toContain(file);
      expect(error.line).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
      // The name of a key is told; a value is not, where it may hold a password.
      if (!/unknown key|is a flag of|stands on line/.test(error.line))
        expect(error.line).not.toContain(SECRET);
    }
  });
});
