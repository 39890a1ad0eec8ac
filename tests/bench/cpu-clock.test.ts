import { expect, test } from "bun:test";
import { cpuMicros, cpuMicrosOf, residentBytes } from "./cpu-clock.ts";

const fieldsBeforeTime = "S 1 77 77 0 -1 4194560 900 0 5 0";

test("processor time is user and system time, in ticks of 10 ms", () => {
  expect(cpuMicrosOf(`77 (etcd) ${fieldsBeforeTime} 150 50 0 0 20 0 9 0 1000`)).toBe(2_000_000);
});

test("a process may have spaces and parentheses in its name", () => {
  expect(cpuMicrosOf(`77 (a) S 1 (b) ${fieldsBeforeTime} 3 4 0 0 20 0 9 0 1000`)).toBe(70_000);
});

test("a text without processor time is an error", () => {
  expect(() => cpuMicrosOf("77 (etcd) Z")).toThrow("no processor time");
});

test("the processor time of a process that works grows, and it holds memory", () => {
  const before = cpuMicros(process.pid);
  let sum = 0;
  while (cpuMicros(process.pid) === before) sum += Math.sqrt(sum + 1);
  expect(cpuMicros(process.pid)).toBeGreaterThan(before);
  expect(residentBytes(process.pid)).toBeGreaterThan(1_000_000);
});
