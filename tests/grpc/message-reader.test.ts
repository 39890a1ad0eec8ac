import { describe, expect, test } from "bun:test";
import { COMPRESSED_MESSAGE, MessageReader } from "../../src/grpc/message-reader.ts";
import { framed } from "./stand-in-member.ts";

interface Message {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly start: number;
}

/** A reader with all the messages that it has handed out. */
function recording(messageBytesMax = 1000) {
  const reader = new MessageReader(messageBytesMax);
  const messages: Message[] = [];
  const read = (bytes: Uint8Array, start = 0, end = bytes.length): number =>
    reader.read(bytes, start, end, (bytes, start, end) => {
      messages.push({ text: Buffer.from(bytes.subarray(start, end)).toString(), bytes, start });
    });
  return { reader, messages, read, texts: () => messages.map(({ text }) => text) };
}

const joined = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);

describe("a message reader", () => {
  test("hands out the messages of a chunk where they lie", () => {
    const { read, messages, texts, reader } = recording();
    const chunk = joined(framed("one"), framed(""), framed("two"));
    expect(read(chunk)).toBe(-1);
    expect(texts()).toEqual(["one", "", "two"]);
    expect(messages.map(({ bytes, start }) => [bytes === chunk, start])).toEqual([
      [true, 5],
      [true, 13],
      [true, 18],
    ]);
    expect(reader.heldBytes).toBe(0);
  });

  test("reads only the part of the bytes that it is given", () => {
    const { read, texts } = recording();
    const around = joined(framed("no"), framed("yes"), framed("no"));
    read(around, 7, 15);
    expect(texts()).toEqual(["yes"]);
  });

  test("puts together a message that is cut anywhere", () => {
    const bytes = joined(framed("first"), framed("second"));
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { read, texts, reader } = recording();
      read(bytes, 0, cut);
      read(bytes, cut);
      expect(texts()).toEqual(["first", "second"]);
      expect(reader.heldBytes).toBe(0);
    }
  });

  test("puts together a message that comes byte by byte", () => {
    const { read, texts } = recording();
    for (const byte of joined(framed("first"), framed("second"))) expect(read(Uint8Array.of(byte))).toBe(-1);
    expect(texts()).toEqual(["first", "second"]);
  });

  test("keeps no view of a chunk", () => {
    const { read, texts } = recording();
    const chunk = framed("message").slice(0, 8);
    read(chunk);
    chunk.fill(0);
    read(framed("message"), 8);
    expect(texts()).toEqual(["message"]);
  });

  test("leaves a message that was put together to whoever was handed it", () => {
    const { read, messages } = recording();
    for (const text of ["first", "other"]) {
      read(framed(text), 0, 7);
      read(framed(text), 7);
    }
    expect(messages.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["first", "other"]);
  });

  test("tells how much it holds of an unfinished message", () => {
    const { read, reader } = recording();
    const held = [0, 3, 5, 6, 11].map((end, i, ends) => {
      read(framed("message"), ends[i - 1] ?? 0, end);
      return reader.heldBytes;
    });
    expect(held).toEqual([0, 3, 5, 6, 11]);
  });

  test("holds no more for a message because of the length that it announces", () => {
    const { read, reader } = recording(2 ** 32);
    read(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3));
    expect(reader.heldBytes).toBe(8);
  });

  test("holds at most twice of what came, and never more than the message", () => {
    const { read, reader } = recording();
    const bytes = framed("x".repeat(900));
    for (let at = 0; at < bytes.length - 1; at++) {
      read(bytes, at, at + 1);
      expect(reader.heldBytes).toBeGreaterThan(at);
      expect(reader.heldBytes).toBeLessThanOrEqual(Math.min(2 * (at + 1), bytes.length));
    }
  });

  test("is ready for the next chunk after a visit that threw", () => {
    const reader = new MessageReader(100);
    const broken = (): void => {
      throw new Error("broken");
    };
    expect(() => reader.read(framed("one"), 0, 8, broken)).toThrow("broken");
    const texts: number[] = [];
    reader.read(framed("next"), 0, 9, (_, start, end) => texts.push(end - start));
    expect(texts).toEqual([4]);
  });
});

describe("a message that cannot be read", () => {
  test("is one above the limit, told by its prefix alone", () => {
    const { read, texts } = recording(5);
    expect(read(joined(framed("12345"), framed("123456").subarray(0, 5)))).toBe(6);
    expect(texts()).toEqual(["12345"]);
  });

  test("may announce a length of four bytes", () => {
    expect(recording().read(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff))).toBe(0xffff_ffff);
  });

  test("is one that is compressed", () => {
    expect(recording().read(Uint8Array.of(1, 0, 0, 0, 1, 9))).toBe(COMPRESSED_MESSAGE);
    expect(recording().read(Uint8Array.of(1, 0, 0, 0, 0))).toBe(COMPRESSED_MESSAGE);
  });
});
