import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { frame, FrameType } from "../floors/frames.ts";
import { FRAME_HEADER_BYTES, FrameCutter } from "./frame-cutter.ts";
import { MessageCutter } from "./message-cutter.ts";

/** `bytes` in pieces; the lengths repeat until all is there. */
function pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const end = at + lengths[index % lengths.length]!;
    cut.push(bytes.slice(at, end));
    at = end;
  }
  return cut;
}

const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
const lengths = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 });

describe("frames", () => {
  test("are the same however the chunks fall", () => {
    fc.assert(
      fc.property(payloads, lengths, (sent, chunkLengths) => {
        const bytes = Buffer.concat(sent.map((payload) => frame(FrameType.data, 0, 1, payload)));
        const got: Uint8Array[] = [];
        const cutter = new FrameCutter((chunk, at, end) =>
          got.push(chunk.slice(at + FRAME_HEADER_BYTES, end)),
        );
        for (const chunk of pieces(bytes, chunkLengths)) cutter.push(chunk);
        expect(got.map((payload) => [...payload])).toEqual(sent.map((payload) => [...payload]));
      }),
    );
  });

  test("longer than allowed are refused, in one chunk or in several", () => {
    const long = frame(FrameType.data, 0, 1, new Uint8Array(16_385)).subarray(0, 100);
    for (const cut of [100, 4]) {
      const cutter = new FrameCutter(() => {});
      expect(() => {
        cutter.push(long.subarray(0, cut));
        cutter.push(long.subarray(cut));
      }).toThrow("a frame of 16385 bytes");
    }
  });
});

describe("messages", () => {
  test("are the same however the frames fall", () => {
    fc.assert(
      fc.property(payloads, lengths, (sent, frameLengths) => {
        const bytes = Buffer.concat(sent.map(prefixed));
        const got: number[][] = [];
        const cutter = new MessageCutter((chunk, start, end) => got.push([...chunk.subarray(start, end)]));
        for (const piece of pieces(bytes, frameLengths)) cutter.push(piece, 0, piece.length);
        expect(got).toEqual(sent.map((message) => [...message]));
      }),
    );
  });

  test("may be far longer than a frame", () => {
    const message = new Uint8Array(300_000).fill(7);
    const got: number[] = [];
    const cutter = new MessageCutter((_chunk, start, end) => got.push(end - start));
    for (const piece of pieces(prefixed(message), [16_384])) cutter.push(piece, 0, piece.length);
    expect(got).toEqual([message.length]);
  });
});

function prefixed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
