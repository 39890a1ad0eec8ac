import { expect, test } from "bun:test";
import type { Call, CallSource } from "../load/unary-connection.ts";
import { CallMix, type MixPlan } from "./call-mix.ts";

const plan: MixPlan = {
  keys: 100,
  exponent: 0.99,
  putPercent: 10,
  valueBytes: 256,
  serializable: false,
  seed: 1,
};

function all(source: CallSource): Call[] {
  const calls: Call[] = [];
  for (let call = source.next(); call !== null; call = source.next()) calls.push(call);
  return calls;
}

function bytesOf(calls: readonly Call[]): string[] {
  return calls.map(({ template }) => Buffer.from(template.bytes).toString("latin1"));
}

test("a tenth of the calls are puts, and reads are told which key must come back", () => {
  const calls = all(new CallMix("127.0.0.1:1", plan).drawn(10_000));
  expect(calls).toHaveLength(10_000);
  const puts = calls.filter(({ readKey }) => readKey === null);
  expect(puts.length).toBeGreaterThan(850);
  expect(puts.length).toBeLessThan(1150);
  for (const { template } of puts) expect(template.dataBytes).toBeGreaterThan(256);
  for (const { template, readKey } of calls) {
    if (readKey !== null) expect(Buffer.from(template.bytes).includes(readKey)).toBe(true);
  }
});

test("the same seed draws the same calls", () => {
  const drawn = (seed: number): string[] =>
    bytesOf(all(new CallMix("127.0.0.1:1", { ...plan, seed }).drawn(50)));
  expect(drawn(5)).toEqual(drawn(5));
  expect(drawn(5)).not.toEqual(drawn(6));
});

test("every key is put once before the load", () => {
  const puts = bytesOf(all(new CallMix("127.0.0.1:1", plan).everyPut()));
  expect(new Set(puts).size).toBe(100);
});

test("serializable reads differ from linearizable ones by that flag", () => {
  const first = (serializable: boolean): number =>
    new CallMix("127.0.0.1:1", { ...plan, putPercent: 0, serializable }).drawn(1).next()!.template.dataBytes;
  expect(first(true)).toBe(first(false) + 2);
});
