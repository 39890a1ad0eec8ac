/** Rings between threads that run at the same time: no record is torn, lost or doubled unless the reader is told. */
import { expect, test } from "bun:test";
import { BroadcastRings } from "../../src/base/broadcast-rings.ts";
import { HEAD_BYTES, recordBytes, recordFill, type WriterOrder } from "./ring-writer.ts";

const WRITERS = 2;
const READER = WRITERS;
const DURATION_MS = 1500;

test.each([256, 64 * 1024])(
  "what threads write into rings of %d bytes is received whole and in order, or overtaken",
  async (ringBytes) => {
    const members = WRITERS + 1;
    const memory = BroadcastRings.memory(members, ringBytes);
    const stop = new SharedArrayBuffer(4);
    const reader = new BroadcastRings(memory, members, READER);
    const threads = Array.from(
      { length: WRITERS },
      () => new Worker(new URL("ring-writer.ts", import.meta.url).href),
    );
    const written = threads.map(
      (thread) =>
        new Promise<number>((resolve) => {
          thread.addEventListener("message", ({ data }: MessageEvent<number>) => resolve(data));
        }),
    );
    for (const [member, thread] of threads.entries()) {
      const order: WriterOrder = { memory, members, member, stop };
      thread.postMessage(order, []);
    }

    const last = Array.from({ length: WRITERS }, () => 0);
    const wasOvertaken = Array.from({ length: WRITERS }, () => false);
    const problems: string[] = [];
    let records = 0;
    let overtaken = 0;
    const receiver = {
      onRecord(bytes: Uint8Array, start: number, end: number): void {
        const view = new DataView(bytes.buffer, start, end - start);
        const [count, member] = [view.getInt32(0), view.getInt32(4)];
        const fill = recordFill(count, member);
        const whole = bytes.subarray(start + HEAD_BYTES, end).every((byte) => byte === fill);
        const length = end - start;
        if (!whole || length !== recordBytes(count, reader.recordBytesMax)) problems.push(`torn: ${count}`);
        // Behind an overtaking the next record is any later one.
        else if (wasOvertaken[member] === true ? count <= last[member]! : count !== last[member]! + 1)
          problems.push(`${count} of ${member} behind ${last[member]}`);
        last[member] = count;
        wasOvertaken[member] = false;
        records++;
      },
      onOvertaken(member: number): void {
        if (member === READER) return;
        overtaken++;
        wasOvertaken[member] = true;
        if (reader.mark(member, 0) < last[member]!) problems.push("a mark that goes back");
      },
    };
    const untilMs = performance.now() + DURATION_MS;
    while (performance.now() < untilMs) {
      if (reader.news) reader.receive(receiver);
      await new Promise((resolve) => setImmediate(resolve));
    }
    Atomics.store(new Int32Array(stop), 0, 1);
    const counts = await Promise.all(written);
    reader.receive(receiver);
    for (const thread of threads) thread.terminate();

    expect(problems.slice(0, 5)).toEqual([]);
    expect(records).toBeGreaterThan(0);
    expect(overtaken).toBeGreaterThan(0);
    for (const [member, count] of counts.entries()) expect(reader.mark(member, 0)).toBe(count);
  },
  30_000,
);
