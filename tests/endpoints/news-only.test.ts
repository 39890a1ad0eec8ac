/** Warnings that are made again and again, some of a member's words. */
import { expect, test } from "bun:test";
import { NewsOnly } from "../../src/endpoints/news-only.ts";

function newsOnly(): { news: NewsOnly; told: string[] } {
  const told: string[] = [];
  return { news: new NewsOnly({ info() {}, warn: (message) => void told.push(message) }), told };
}

test("a warning is told when it comes up, and again when it comes back", () => {
  const { news, told } = newsOnly();
  news.tell(["a"]);
  news.tell(["a", "b"]);
  news.tell([]);
  news.tell(["a"]);
  expect(told).toEqual(["a", "b", "a"]);
});

test("of very many few are told, and the others counted", () => {
  const { news, told } = newsOnly();
  news.tell(Array.from({ length: 5000 }, (_, index) => `warning ${index}`));
  expect(told).toHaveLength(21);
  expect(told.at(-1)).toBe("4980 further warnings are left out");
});

test("a very long one is cut", () => {
  const { news, told } = newsOnly();
  news.tell(["x".repeat(1_000_000)]);
  expect(told[0]?.length).toBeLessThan(600);
});
