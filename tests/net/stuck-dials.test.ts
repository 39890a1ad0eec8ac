import { expect, test } from "bun:test";
import { StuckDials } from "../../src/net/stuck-dials.ts";

const ADDRESS = "member:2379";

test("an address with a stuck dial is dialled again once per retry delay", () => {
  const stuck = new StuckDials(1_000);
  expect(stuck.admit(ADDRESS, 0)).toBe(true);
  stuck.add(ADDRESS, 0);
  expect([500, 1_000, 1_500, 2_000].map((nowMs) => stuck.admit(ADDRESS, nowMs))).toEqual([
    false,
    true,
    false,
    true,
  ]);
  stuck.remove(ADDRESS);
  expect(stuck.admit(ADDRESS, 2_001)).toBe(true);
});

test("an address that has answered since is dialled as ever, until another dial gets stuck", () => {
  const stuck = new StuckDials(1_000);
  stuck.add(ADDRESS, 0);
  stuck.answered(ADDRESS);
  expect([1, 2, 3].map((nowMs) => stuck.admit(ADDRESS, nowMs))).toEqual([true, true, true]);
  expect(stuck.pending).toBe(1);
  stuck.add(ADDRESS, 4_000);
  expect([4_001, 4_999, 5_000].map((nowMs) => stuck.admit(ADDRESS, nowMs))).toEqual([false, false, true]);
  expect(stuck.pending).toBe(2);
});

test("a name that answers somebody else is dialled at all of its addresses, others are not", () => {
  const stuck = new StuckDials(1_000);
  const [ours, other] = [`${ADDRESS} at 10.0.0.1:2379`, `${ADDRESS}0 at 10.0.0.1:2379`];
  for (const address of [ADDRESS, ours, other]) stuck.add(address, 0);
  stuck.nameAnswered(ADDRESS);
  expect([ADDRESS, ours, other].map((address) => stuck.admit(address, 1))).toEqual([true, true, false]);
});
