import { expect, test } from "bun:test";
import { POOLED_BLOCK_BYTES, returnBlock, takeBlock } from "../../src/base/buffer-pool.ts";

test("a block that was given back is handed out again", () => {
  const block = takeBlock();
  returnBlock(block);
  expect(takeBlock()).toBe(block);
});

test("two takers never share a block", () => {
  const blocks = [takeBlock(), takeBlock(), takeBlock()];
  expect(new Set(blocks).size).toBe(3);
  blocks.forEach(returnBlock);
});

test("a block of another size is not kept", () => {
  const odd = new Uint8Array(10);
  returnBlock(odd);
  const block = takeBlock();
  expect(block).toHaveLength(POOLED_BLOCK_BYTES);
  returnBlock(block);
});

test("no more than four MiB are kept", () => {
  const blocks = Array.from({ length: 100 }, takeBlock);
  blocks.forEach(returnBlock);
  const known = new Set(blocks);
  const again = Array.from({ length: 100 }, takeBlock);
  expect(again.filter((block) => known.has(block))).toHaveLength(64);
  again.slice(0, 64).forEach(returnBlock);
});
