/** Message boundaries under any cutting of the bytes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MESSAGE_PREFIX_BYTES, MessageScanner } from "../../src/grpc/message-scanner.ts";
import { EXTRA, RequestMessage } from "../../src/proxy/forward/request-message.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(100) });

const LIMIT = 40;
const lengths = fc.array(fc.nat(60), { maxLength: 12 });
const cuts = fc.array(fc.nat(1000), { maxLength: 30 });

function encode(messageLengths: readonly number[]): Uint8Array {
  return Buffer.concat(
    messageLengths.map((length) => {
      const message = new Uint8Array(MESSAGE_PREFIX_BYTES + length).fill(0xff);
      message[0] = 0;
      new DataView(message.buffer).setUint32(1, length);
      return message;
    }),
  );
}

/** `bytes` in pieces, each inside a larger chunk as it comes from a socket. */
function* pieces(bytes: Uint8Array, at: readonly number[]): Generator<[Uint8Array, number, number]> {
  const edges = [...new Set([0, ...at.map((cut) => cut % (bytes.length + 1)), bytes.length])].toSorted(
    (a, b) => a - b,
  );
  for (let i = 0; i + 1 < edges.length; i++) {
    const chunk = new Uint8Array(edges[i + 1]! - edges[i]! + 7).fill(0xee);
    chunk.set(bytes.subarray(edges[i], edges[i + 1]), 3);
    yield [chunk, 3, chunk.length - 4];
  }
}

describe("a scanner, however the bytes are cut,", () => {
  test("finds the first message above the limit and tells its length", () => {
    fc.assert(
      fc.property(lengths, cuts, (messageLengths, at) => {
        const scanner = new MessageScanner(LIMIT);
        let found = -1;
        for (const [chunk, start, end] of pieces(encode(messageLengths), at)) {
          found = scanner.scan(chunk, start, end);
          if (found !== -1) break;
        }
        expect(found).toBe(messageLengths.find((length) => length > LIMIT) ?? -1);
      }),
    );
  });

  test("stands at a boundary between messages, and nowhere else", () => {
    fc.assert(
      fc.property(lengths, fc.nat(1000), (messageLengths, at) => {
        const bytes = encode(messageLengths);
        const cut = at % (bytes.length + 1);
        const boundaries = new Set([0]);
        let end = 0;
        for (const length of messageLengths) boundaries.add((end += MESSAGE_PREFIX_BYTES + length));
        const scanner = new MessageScanner(60);
        expect(scanner.scan(bytes, 0, cut)).toBe(-1);
        expect(scanner.atBoundary).toBe(boundaries.has(cut));
      }),
    );
  });
});

describe("a request message, however its bytes are cut,", () => {
  test("is gathered whole", () => {
    fc.assert(
      fc.property(fc.nat(300), cuts, (length, at) => {
        const bytes = encode([length]);
        const request = new RequestMessage(1000);
        for (const [chunk, start, end] of pieces(bytes, at)) {
          expect(request.whole).toBe(false);
          expect(request.add(chunk, start, end)).toBe(-1);
        }
        expect(Buffer.from(request.framed).equals(bytes)).toBe(true);
      }),
    );
  });

  test("is refused when it is too long or not alone", () => {
    fc.assert(
      fc.property(fc.nat(60), fc.boolean(), cuts, (length, followed, at) => {
        const bytes = encode(followed ? [length, 0] : [length]);
        const request = new RequestMessage(LIMIT);
        const results = new Set<number>();
        for (const [chunk, start, end] of pieces(bytes, at)) {
          const result = request.add(chunk, start, end);
          results.add(result);
          if (result !== -1) break;
        }
        results.delete(-1);
        const expected = length > LIMIT ? [length] : followed ? [EXTRA] : [];
        expect([...results]).toEqual(expected);
      }),
    );
  });
});
