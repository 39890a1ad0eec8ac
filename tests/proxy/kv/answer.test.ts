/** What is kept of an answer keeps nothing else alive. */
import { describe, expect, test } from "bun:test";
import { ownedAnswer } from "../../../src/proxy/kv/answer.ts";

function answerOf(bytes: Uint8Array, start: number, end: number): Parameters<typeof ownedAnswer>[0] {
  return { head: [], bytes, start, end, trailers: [] };
}

describe("an answer with bytes of its own", () => {
  test.each([
    ["out of a socket's chunk", Buffer.alloc(70_000, 7), 100, 160],
    [
      "that is all of a chunk, which may be part of another",
      Buffer.from(new ArrayBuffer(70_000), 50, 60),
      0,
      60,
    ],
    ["that was gathered in more storage than it needs", new Uint8Array(256).fill(7), 0, 60],
  ])("%s is a copy", (_what, bytes, start, end) => {
    const owned = ownedAnswer(answerOf(bytes, start, end));
    expect([owned.start, owned.end, owned.bytes.buffer.byteLength]).toEqual([0, 60, 60]);
    expect([...owned.bytes]).toEqual([...bytes.subarray(start, end)]);
  });

  test("that has them already is the same", () => {
    const answer = answerOf(new Uint8Array(60), 0, 60);
    expect(ownedAnswer(answer)).toBe(answer);
  });
});
