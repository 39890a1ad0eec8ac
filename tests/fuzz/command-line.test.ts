/**
 * Command lines that nobody meant: each becomes an invocation whose values are inside their flags' ranges, or one line
 * that can be shown as it is. And the texts in flags: what was read is written back as something that reads the same.
 */
import { describe, expect, test } from "bun:test";
import { type Invocation, parseCommandLine } from "../../src/cli/command-line.ts";
import { CommandLineError } from "../../src/cli/command-line-error.ts";
import { formatDuration, parseDuration } from "../../src/cli/duration.ts";
import { attributeOf, type FlagDefinition } from "../../src/cli/flag-definition.ts";
import { gatewayFlags } from "../../src/cli/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/cli/grpc-proxy-flags.ts";
import { listenAddressFlag, nameServerFlag } from "../../src/cli/address-flags.ts";
import { EndpointError, parseEndpoints } from "../../src/endpoints/endpoint.ts";
import { AddressError, formatAddress, parseAddress } from "../../src/net/address.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { runEtcdproxy } from "../harness/etcdproxy-process.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated } from "./mutation.ts";

const TABLES: Readonly<Record<string, readonly FlagDefinition[]>> = {
  gateway: gatewayFlags,
  "grpc-proxy": grpcProxyFlags,
};
const COMMANDS = [
  "gateway",
  "grpc-proxy",
  "check-config",
  "completion",
  "man",
  "version",
  "help",
  "--help",
  "-h",
  "--version",
  "start",
  "",
  "--",
  "-",
];
const VALUES = [
  "",
  "true",
  "false",
  "T",
  "0",
  "1",
  "-1",
  "+5",
  "65536",
  "99999999999999999999999",
  "1m30s",
  "0s",
  "-2h",
  "9999999h",
  "a,b",
  "a,,b",
  " 127.0.0.1:2379 ",
  "[::1]:2379",
  "::1",
  "http://user:password@example.com:2379",
  "https://example.com/path?query#part",
  "host:65536",
  ":0",
  "start",
  "--",
  "--debug",
  "-h",
  "=",
  "__proto__",
  "constructor",
];
/** Control characters, of which a terminal makes something, and the separators that end a line for some. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029]/u;

/** Text near `valid`, as bytes of it are damaged; never with a NUL, which no argument can hold. */
function damaged(valid: string, random: SeededRandom): string {
  const bytes = mutated(
    new TextEncoder().encode(valid),
    random,
    VALUES.map((value) => Buffer.from(value)),
  );
  return new TextDecoder().decode(bytes).replaceAll("\0", "");
}

function value(random: SeededRandom): string {
  if (random.chance(0.6)) return random.pick(VALUES);
  if (random.chance(0.8)) return damaged(random.pick(VALUES), random);
  return Buffer.from(garbage(random, 60)).toString("latin1").replaceAll("\0", "");
}

function words(random: SeededRandom): string[] {
  const command = random.chance(0.9) ? random.pick(["gateway", "grpc-proxy"]) : random.pick(COMMANDS);
  const flags = TABLES[command] ?? grpcProxyFlags;
  const list: string[] = random.chance(0.97) ? [command] : [];
  for (let left = random.below(5); left > 0; left--) {
    // Mostly of one that is there: others end the reading.
    const live = random.chance(0.9) ? flags.filter(({ since }) => since === "live") : flags;
    const flag = random.pick(live);
    const name = random.chance(0.95) ? `--${flag.name}` : damaged(`--${flag.name}`, random);
    switch (random.below(6)) {
      case 0:
        list.push(name, value(random));
        break;
      case 1:
        list.push(name);
        break;
      case 2:
        list.push(random.chance(0.8) ? "start" : value(random));
        break;
      default:
        list.push(`${name}=${random.chance(0.6) ? likelyValue(flag, random) : value(random)}`);
    }
  }
  return list;
}

function likelyValue(flag: FlagDefinition, random: SeededRandom): string {
  switch (flag.kind) {
    case "boolean":
      return random.pick(["true", "false", "1", "F"]);
    case "integer":
      return String(random.pick([flag.min, flag.max, flag.default]) + random.pick([-1, 0, 0, 1]));
    case "duration":
      return random.pick(["1s", "500ms", "2h", "0", "1ns", "596h31m23s647ms", "596h31m23s648ms"]);
    default:
      return random.pick(["a:1", "a,b", "[::1]:2379", "10.0.0.1:2379"]);
  }
}

/** The invocation, or the error's line. Any other error is a fault. */
function outcome(list: readonly string[]): Invocation | string {
  try {
    return parseCommandLine(list, 80);
  } catch (error) {
    if (error instanceof CommandLineError) return error.line;
    throw error;
  }
}

function isInRange(flag: FlagDefinition, read: unknown): boolean {
  switch (flag.kind) {
    case "boolean":
      return typeof read === "boolean";
    case "text":
      return typeof read === "string";
    case "list":
      return Array.isArray(read) && read.every((item) => typeof item === "string" && item === item.trim());
    case "integer":
      return Number.isInteger(read) && Number(read) >= flag.min && Number(read) <= flag.max;
    case "duration":
      return Number.isInteger(read) && Number(read) >= (flag.min ?? 0) && Number(read) < 2 ** 31;
  }
}

function expectOneLine(line: string): void {
  expect(line).toMatch(/^(etcdproxy: |not supported yet: )./);
  expect(line).not.toMatch(UNPRINTABLE);
  expect(line).not.toContain("    at ");
}

describe("any command line", () => {
  fuzz("is an invocation with values in their ranges, or one line", { inputs: 3_000 }, (random) => {
    const list = words(random);
    const read = outcome(list);
    if (typeof read === "string") return expectOneLine(read);
    if (read.command !== "gateway" && read.command !== "grpc-proxy") return;
    const flags: Readonly<Record<string, unknown>> = { ...read.flags };
    const live = TABLES[read.command]!.filter(({ since }) => since === "live");
    expect(Object.keys(flags).toSorted()).toEqual(live.map(attributeOf).toSorted());
    for (const flag of live) {
      if (!isInRange(flag, flags[attributeOf(flag)])) throw new Error(`--${flag.name} is out of its range`);
    }
  });

  test("of noise ends the compiled program with status 1 and one line", async () => {
    for (const noise of [
      "\u001b[31m",
      "--\u001b]0;x\u0007",
      "--endpoints=\u001b[2J",
      "\u2028",
      "--max\nconnections",
    ]) {
      const { code, stdout, stderr } = await runEtcdproxy(["gateway", noise]);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toEndWith("\n");
      expectOneLine(stderr.slice(0, -1));
    }
  }, 60_000);
});

const HOSTS = [
  "",
  "localhost",
  "example.com",
  "a.b-c.d_e",
  "10.0.0.1",
  "[::1]",
  "[2001:db8::1]",
  "[::ffff:1.2.3.4]",
  "1.2.3",
];
const PORTS = ["", ":", ":0", ":1", ":2379", ":65535", ":65536", ":-1", ":02379"];

function address(random: SeededRandom): string {
  const text = random.pick(HOSTS) + random.pick(PORTS);
  return random.chance(0.5) ? damaged(text, random) : text;
}

/** What `read` returns; undefined for an error of `Refusal`, whose message is one line. */
function readOrRefused<Result>(
  read: () => Result,
  Refusal: new (...rest: never[]) => Error,
): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

describe("any text", () => {
  const INPUTS = { inputs: 5_000 };

  fuzz("that is an address is written back as one that reads the same", INPUTS, (random) => {
    const text = address(random);
    const read = readOrRefused(() => parseAddress(text), AddressError);
    const flag = readOrRefused(() => listenAddressFlag(text), CommandLineError);
    if (read === undefined) {
      expect(flag).toBeUndefined();
      return;
    }
    expect(flag).toEqual(read);
    expect(read.port).toBeWithin(0, 65_536);
    expect(parseAddress(formatAddress(read))).toEqual(read);
  });

  fuzz("that is a name server has an IP address and a port", INPUTS, (random) => {
    const read = readOrRefused(() => nameServerFlag(address(random)), CommandLineError);
    if (read === undefined) return;
    expect(nameServerFlag(read)).toBe(read);
    expect(parseAddress(read).port).toBeGreaterThan(0);
  });

  fuzz("that is a list of endpoints is written back as one that reads the same", INPUTS, (random) => {
    const item = (): string =>
      random.pick(["", "", "http://", "https://", "HTTPS://", "ftp://", "u:p@"]) + address(random);
    const text = Array.from({ length: 1 + random.below(3) }, item).join(random.pick([",", ", "]));
    const read = readOrRefused(() => parseEndpoints(text), EndpointError);
    if (read === undefined) return;
    expect(read.length).toBeGreaterThan(0);
    const names = read.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const written = read.map(({ scheme, name }) => (scheme === "unstated" ? name : `${scheme}://${name}`));
    expect(parseEndpoints(written.join(","))).toEqual(read);
  });

  fuzz("that is a duration is written back as one that reads the same", INPUTS, (random) => {
    const part = (): string =>
      random.pick(["0", "1", "90", "1.5", ".001", "9223372036", ""]) +
      random.pick(["ns", "us", "\u00b5s", "ms", "s", "m", "h", ""]);
    const text = Array.from({ length: 1 + random.below(3) }, part).join("");
    const milliseconds = parseDuration(random.chance(0.4) ? damaged(text, random) : text);
    if (milliseconds === undefined) return;
    expect(Number.isSafeInteger(milliseconds)).toBe(true);
    const magnitude = Math.abs(milliseconds);
    expect(parseDuration(formatDuration(magnitude))).toBe(magnitude);
    expect(parseDuration(`-${formatDuration(magnitude)}`)).toBe(magnitude === 0 ? 0 : -magnitude);
  });
});
