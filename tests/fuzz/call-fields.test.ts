/** The fields of gRPC calls whose values come from peers: any text is read, and what is written is read back (gRPC over HTTP2). */
import { describe, expect } from "bun:test";
import { decodeMessage, encodeMessage, readStatus, statusTrailers } from "../../src/grpc/status.ts";
import { formatTimeout, parseTimeout } from "../../src/grpc/timeout.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated } from "./mutation.ts";

const INPUTS = { inputs: 4_000 };
const UNITS_MS: ReadonlyMap<string, number> = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1_000],
  ["m", 1],
  ["u", 1e-3],
  ["n", 1e-6],
]);

/** A field's value near one of `texts`, one character for each byte. */
function near(texts: readonly string[], random: SeededRandom): string {
  const bytes = random.chance(0.1) ? garbage(random, 20) : Buffer.from(random.pick(texts), "latin1");
  return Buffer.from(random.chance(0.6) ? mutated(bytes, random) : bytes).toString("latin1");
}

/** Text of any characters, whole ones only. */
function text(random: SeededRandom): string {
  return Array.from({ length: random.below(20) }, () =>
    random.pick(["%", "a", " ", "\u0000", "\n", "\u00e4", "\u9375", "\u{1f511}", "%41", "~"]),
  ).join("");
}

describe("any text", () => {
  fuzz("in grpc-timeout is a time of at most eight digits, or none", INPUTS, (random) => {
    const value = near(["5S", "99999999H", "0n", "100m", "1u"], random);
    const unitMs = UNITS_MS.get(value.slice(-1));
    const digits = value.slice(0, -1);
    const isNumber = digits.length > 0 && digits.length <= 8 && !/[^0-9]/.test(digits);
    expect(parseTimeout(value)).toBe(isNumber && unitMs !== undefined ? Number(digits) * unitMs : undefined);
  });

  fuzz("in grpc-message is read, and in grpc-status at least as an unknown code", INPUTS, (random) => {
    const status = near(["0", "14", "999", "1000", "-1"], random);
    const message = near(["etcdserver: no leader", "%E9%8D%B5", "100%", "%4"], random);
    const read = readStatus([headerField("grpc-message", message), headerField("grpc-status", status)]);
    expect(read!.code).toBeWithin(0, 1_000);
    // It can be sent on.
    const [, sent] = statusTrailers(read!);
    if (read!.message !== "") expect(sent!.value).toMatch(/^[\x20-\x7e]*$/);
    expect(decodeMessage(encodeMessage(read!.message))).toBe(read!.message);
  });
});

fuzz("any message is written in printable ASCII and read back", INPUTS, (random) => {
  const message = text(random);
  const encoded = encodeMessage(message);
  expect(encoded).toMatch(/^[\x20-\x7e]*$/);
  expect(decodeMessage(encoded)).toBe(message);
});

fuzz("any time is written as no shorter one, and hardly a longer one", INPUTS, (random) => {
  const timeoutMs = random.fraction() * 10 ** (random.below(14) - 3);
  const written = formatTimeout(timeoutMs);
  expect(written).toMatch(/^[0-9]{1,8}[HMSmun]$/);
  const read = parseTimeout(written)!;
  // Rounded up to the unit; one millionth for the arithmetic of fractions.
  expect(read).toBeGreaterThanOrEqual(Math.min(timeoutMs, 99_999_999_000) * (1 - 1e-6));
  expect(read).toBeLessThanOrEqual(timeoutMs * 1.001 + 1);
});
