/** What a new start helps against: buffers that stay full, a loop that does not turn. */
import { expect, test } from "bun:test";
import { buffersCheck, EVENT_LOOP_CHECK } from "../../src/observe/liveness.ts";

test("the event loop turns while somebody can ask whether it does", async () => {
  expect(await EVENT_LOOP_CHECK.problem()).toBe("");
});

test("buffers may be full for a while, and not for long", () => {
  const buffers = { heldBytes: 10, bytesMax: 10 };
  let nowMs = 0;
  const check = buffersCheck(buffers, () => nowMs);
  const problemAt = (timeMs: number, heldBytes: number): string | Promise<string> => {
    nowMs = timeMs;
    buffers.heldBytes = heldBytes;
    return check.problem();
  };
  expect(problemAt(1_000, 10)).toBe("");
  expect(problemAt(60_000, 11)).toBe("");
  expect(problemAt(80_000, 12)).toBe("");
  // Once they fit the time begins anew.
  expect(problemAt(85_000, 10)).toBe("");
  expect(problemAt(95_000, 11)).toBe("");
  expect(problemAt(124_000, 11)).toBe("");
  expect(problemAt(125_000, 13)).toBe("13 bytes are held where there is room for 10");
  expect(problemAt(126_000, 0)).toBe("");
});
