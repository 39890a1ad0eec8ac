/**
 * A thread that writes into its ring as fast as it can until it is told to stop: records of its number, a count
 * and bytes made of both, so that a torn one shows.
 */
import { BroadcastRings } from "../../src/base/broadcast-rings.ts";

/** What the thread is told at first. */
export interface WriterOrder {
  readonly memory: SharedArrayBuffer;
  readonly members: number;
  readonly member: number;
  /** One word: not 0 when the writers are to stop. */
  readonly stop: SharedArrayBuffer;
}

/** The count and the number of the member. */
export const HEAD_BYTES = 8;

/** How many bytes the record of this count has. */
export function recordBytes(count: number, recordBytesMax: number): number {
  return HEAD_BYTES + (count % (recordBytesMax - HEAD_BYTES));
}

/** What all further bytes of it are. */
export function recordFill(count: number, member: number): number {
  return (count * 2 + member) & 0xff;
}

declare const self: Worker;

if (!Bun.isMainThread) {
  self.addEventListener("message", ({ data }: MessageEvent<WriterOrder>) => {
    const { memory, members, member } = data;
    const rings = new BroadcastRings(memory, members, member);
    const stop = new Int32Array(data.stop);
    const record = new Uint8Array(rings.recordBytesMax);
    const view = new DataView(record.buffer);
    let count = 0;
    while (Atomics.load(stop, 0) === 0) {
      count++;
      const length = recordBytes(count, record.length);
      record.fill(recordFill(count, member), HEAD_BYTES, length);
      view.setInt32(0, count);
      view.setInt32(4, member);
      rings.setMark(0, count);
      rings.publish(record, length);
      rings.announce();
    }
    self.postMessage(count, []);
  });
}
