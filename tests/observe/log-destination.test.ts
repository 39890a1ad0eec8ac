/** Lines on their way to whoever reads them, slowly, later, or never. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BoundedLines, type LineSink, type SinkAnswer } from "../../src/observe/log-destination.ts";

/** A reader that takes as much as it is told to. */
class Reader implements LineSink {
  text = "";
  /** How much the next writes take; everything when there is nothing more. */
  readonly answers: SinkAnswer[] = [];

  write(bytes: Uint8Array): SinkAnswer {
    const answer = this.answers.shift() ?? bytes.length;
    if (typeof answer !== "number") return answer;
    const taken = Math.min(answer, bytes.length);
    this.text += Buffer.from(bytes.subarray(0, taken)).toString();
    return taken;
  }
}

function linesTo(reader: LineSink, unwrittenBytesMax = 100) {
  const retries: (() => void)[] = [];
  const leftOut: number[] = [];
  const lines = new BoundedLines({
    sink: reader,
    unwrittenBytesMax,
    onLeftOut: (count) => leftOut.push(count),
    later: (retry) => retries.push(retry),
  });
  return { lines, leftOut, retry: () => retries.shift()?.(), pending: () => retries.length };
}

describe("a line", () => {
  test("is written at once where that is possible", () => {
    const reader = new Reader();
    const { lines, pending } = linesTo(reader);
    lines.write("one\n");
    expect({ text: reader.text, pending: pending() }).toEqual({ text: "one\n", pending: 0 });
  });

  test("waits for a reader that takes nothing, and comes before what is written later", () => {
    const reader = new Reader();
    const { lines, retry } = linesTo(reader);
    reader.answers.push("full");
    lines.write("one\n");
    lines.write("two\n");
    expect(reader.text).toBe("");
    retry();
    expect(reader.text).toBe("one\ntwo\n");
  });

  test("that was begun is finished, though it is longer than all that may wait", () => {
    const reader = new Reader();
    const { lines, retry, leftOut } = linesTo(reader, 10);
    reader.answers.push(3);
    lines.write("a long, long line\n");
    retry();
    expect({ text: reader.text, leftOut }).toEqual({ text: "a long, long line\n", leftOut: [] });
  });

  test("that does not fit is left out, and counted when there is room", () => {
    const reader = new Reader();
    const { lines, retry, leftOut, pending } = linesTo(reader, 10);
    reader.answers.push("full", "full");
    for (let line = 0; line < 5; line++) lines.write(`${line}234\n`);
    retry();
    expect({ text: reader.text, leftOut, pending: pending() }).toEqual({ text: "", leftOut: [], pending: 1 });
    retry();
    expect({ text: reader.text, leftOut, pending: pending() }).toEqual({
      text: "0234\n1234\n",
      leftOut: [3],
      pending: 0,
    });
  });

  test("for a reader that has gone is dropped, and costs nothing", () => {
    const reader = new Reader();
    const { lines, pending } = linesTo(reader);
    reader.answers.push("gone");
    lines.write("one\n");
    expect(pending()).toBe(0);
    reader.answers.push("full", "gone");
    lines.write("two\n");
    lines.write("three\n");
    expect(lines.flush()).toBe(true);
    lines.write("four\n");
    expect(reader.text).toBe("four\n");
  });
});

test("whatever a reader takes when, lines come whole and in order, and all others are counted", () => {
  const answer = fc.oneof(fc.constant<SinkAnswer>("full"), fc.integer({ min: 1, max: 30 }));
  const step = fc.oneof(fc.constant("write" as const), fc.constant("retry" as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(answer, { maxLength: 60 }), (steps, answers) => {
      const reader = new Reader();
      reader.answers.push(...answers);
      const { lines, leftOut, retry } = linesTo(reader, 40);
      let written = 0;
      for (const what of steps) {
        if (what === "retry") retry();
        else lines.write(`line ${String(written++).padStart(3, "0")}\n`);
      }
      reader.answers.length = 0;
      expect(lines.flush()).toBe(true);
      const numbers = [...reader.text.matchAll(/^line (\d{3})\n/gm)].map(([, digits]) => Number(digits));
      expect(reader.text).toHaveLength(numbers.length * "line 000\n".length);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      expect(numbers.length + leftOut.reduce((sum, count) => sum + count, 0)).toBe(written);
    }),
  );
});
