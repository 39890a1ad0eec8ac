import { describe, expect, test } from "bun:test";
import { EXTRA, RequestMessage } from "../../src/proxy/forward/request-message.ts";
import { framed } from "../grpc/stand-in-member.ts";

const MESSAGE = framed("request");

function gathered(...pieces: Uint8Array[]): { request: RequestMessage; results: number[] } {
  const request = new RequestMessage(10);
  return { request, results: pieces.map((piece) => request.add(piece, 0, piece.length)) };
}

describe("a request message", () => {
  test("in one piece is whole", () => {
    expect(Buffer.from(gathered(MESSAGE).request.framed).equals(MESSAGE)).toBe(true);
  });

  test("byte by byte is whole with the last one", () => {
    const request = new RequestMessage(10);
    for (let i = 0; i < MESSAGE.length; i++) {
      expect(request.whole).toBe(false);
      expect(request.add(MESSAGE, i, i + 1)).toBe(-1);
    }
    expect(Buffer.from(request.framed).equals(MESSAGE)).toBe(true);
  });

  test("of no bytes is whole", () => {
    expect(gathered(framed("")).request.framed).toHaveLength(5);
  });

  test("out of a small chunk stays where it lies, and the chunk is what it keeps", () => {
    const chunk = Buffer.concat([new Uint8Array(100), MESSAGE]);
    const request = new RequestMessage(10);
    expect(request.add(chunk, 100, chunk.length)).toBe(-1);
    expect(request.bytes).toBe(chunk);
    expect(Buffer.from(request.framed).equals(MESSAGE)).toBe(true);
    expect(request.keptBytes).toBe(chunk.length);
  });

  test("out of a large chunk is copied, and keeps only itself", () => {
    const chunk = Buffer.concat([new Uint8Array(20_000), MESSAGE]);
    const request = new RequestMessage(10);
    expect(request.add(chunk, 20_000, chunk.length)).toBe(-1);
    expect(Buffer.from(request.framed).equals(MESSAGE)).toBe(true);
    expect(request.keptBytes).toBe(MESSAGE.length);
    expect(request.bytes.buffer.byteLength).toBe(MESSAGE.length);
  });

  test("that is cut short is not whole", () => {
    expect(gathered(MESSAGE.subarray(0, 8)).request.whole).toBe(false);
    expect(gathered().request.whole).toBe(false);
  });

  test("above the limit is told by its length, before its bytes have come", () => {
    const long = framed("eleven byte");
    expect(gathered(long).results).toEqual([11]);
    expect(gathered(long.subarray(0, 5)).results).toEqual([11]);
    expect(gathered(long.subarray(0, 3), long.subarray(3, 5)).results).toEqual([-1, 11]);
  });

  test("with bytes behind it is told, in one piece or two", () => {
    expect(gathered(Buffer.concat([MESSAGE, framed("")])).results).toEqual([EXTRA]);
    expect(gathered(MESSAGE, Uint8Array.of(0)).results).toEqual([-1, EXTRA]);
    expect(gathered(MESSAGE.subarray(0, 6), Buffer.concat([MESSAGE.subarray(6), MESSAGE])).results).toEqual([
      -1,
      EXTRA,
    ]);
  });
});
