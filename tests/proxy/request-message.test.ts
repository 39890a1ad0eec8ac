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
    expect(Buffer.from(gathered(MESSAGE).request.framed!).equals(MESSAGE)).toBe(true);
  });

  test("byte by byte is whole with the last one", () => {
    const request = new RequestMessage(10);
    for (let i = 0; i < MESSAGE.length; i++) {
      expect(request.framed).toBeNull();
      expect(request.add(MESSAGE, i, i + 1)).toBe(-1);
    }
    expect(Buffer.from(request.framed!).equals(MESSAGE)).toBe(true);
  });

  test("of no bytes is whole", () => {
    expect(gathered(framed("")).request.framed).toHaveLength(5);
  });

  test("does not change with the chunk it came in", () => {
    const chunk = Uint8Array.from(MESSAGE);
    const { request } = gathered(chunk);
    chunk.fill(0);
    expect(Buffer.from(request.framed!).equals(MESSAGE)).toBe(true);
  });

  test("that is cut short is not whole", () => {
    expect(gathered(MESSAGE.subarray(0, 8)).request.framed).toBeNull();
    expect(gathered().request.framed).toBeNull();
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
