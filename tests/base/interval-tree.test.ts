import { describe, expect, test } from "bun:test";
import { inserted, type IntervalNode, nodesOf, removed } from "../../src/base/interval-tree.ts";

const KEYS = 4096;
/** An AVL tree of n nodes has at most 1.45 log2(n + 2) levels. */
const levelsMax = (nodes: number): number => 1.45 * Math.log2(nodes + 2);

const key = (number: number): string => number.toString().padStart(5, "0");

function treeOf(numbers: readonly number[]): IntervalNode<number> | null {
  let tree: IntervalNode<number> | null = null;
  for (const number of numbers) tree = inserted(tree, key(number), null, number);
  return tree;
}

const ascending = Array.from({ length: KEYS }, (_, i) => i);

describe("the tree of intervals", () => {
  test.each([
    ["in order", ascending],
    ["against the order", ascending.toReversed()],
    ["from both ends", ascending.map((i) => (i % 2 === 0 ? i : KEYS - i))],
  ])("stays low when keys come %s", (_, numbers) => {
    expect(treeOf(numbers)?.height).toBeLessThanOrEqual(levelsMax(KEYS));
  });

  test("stays low when one side goes", () => {
    let tree = treeOf(ascending);
    for (let i = 0; i < KEYS - 64; i++) tree = removed(tree, key(i), null);
    expect([...nodesOf(tree)]).toHaveLength(64);
    expect(tree?.height).toBeLessThanOrEqual(levelsMax(64));
  });

  test("is left as it was by a change", () => {
    const before = treeOf([1, 2, 3]);
    const added = inserted(before, key(4), null, 4);
    const emptied = removed(removed(removed(before, key(1), null), key(2), null), key(3), null);
    expect([...nodesOf(before)].map(({ value }) => value)).toEqual([1, 2, 3]);
    expect([...nodesOf(added)].map(({ value }) => value)).toEqual([1, 2, 3, 4]);
    expect(emptied).toBeNull();
  });

  test("is itself when what is removed is not in it", () => {
    const tree = treeOf([1, 2, 3]);
    expect(removed(tree, key(2), key(9))).toBe(tree);
  });
});
