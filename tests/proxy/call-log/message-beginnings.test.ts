/** Messages cut out of bytes that come in any pieces, of which only the beginnings are kept. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { KEPT_BYTES, MessageBeginnings } from "../../../src/proxy/call-log/message-beginnings.ts";
import { framed } from "../../grpc/stand-in-member.ts";

interface Seen {
  readonly beginning: string;
  readonly length: number;
  readonly compressed: boolean;
}

function beginningsOf(stream: Uint8Array, cuts: readonly number[]): { seen: Seen[]; atBoundary: boolean } {
  const seen: Seen[] = [];
  const beginnings = new MessageBeginnings((beginning, length, compressed) => {
    seen.push({ beginning: Buffer.from(beginning).toString("latin1"), length, compressed });
  });
  let at = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), stream.length]) {
    // A piece whose bytes are used again as soon as it was taken in.
    const piece = stream.slice(at, Math.max(at, cut));
    beginnings.add(piece, 0, piece.length);
    piece.fill(0);
    at = Math.max(at, cut);
  }
  return { seen, atBoundary: beginnings.atBoundary };
}

test("however the bytes are cut, each message comes with its beginning and its length", () => {
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.constant(new Uint8Array(KEPT_BYTES + 1).fill(7)),
  );
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 5 }),
      fc.array(fc.nat(1000), { maxLength: 10 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map((bytes) => framed(bytes)));
        const within = cuts.map((cut) => cut % (stream.length + 1));
        const { seen, atBoundary } = beginningsOf(stream, within);
        expect(atBoundary).toBe(true);
        expect(seen).toEqual(
          messages.map((bytes) => ({
            beginning: Buffer.from(bytes.subarray(0, KEPT_BYTES)).toString("latin1"),
            length: bytes.length,
            compressed: false,
          })),
        );
      },
    ),
  );
});

test("a compressed message says so, and one that is cut short is none", () => {
  const compressed = framed(Uint8Array.of(1, 2));
  compressed[0] = 1;
  const stream = Buffer.concat([compressed, framed(Uint8Array.of(3, 4)).subarray(0, 6)]);
  expect(beginningsOf(stream, [])).toEqual({
    seen: [{ beginning: "\u0001\u0002", length: 2, compressed: true }],
    atBoundary: false,
  });
});
