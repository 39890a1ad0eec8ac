/**
 * The three readers of gRPC's length-prefixed messages under damaged streams, against one that has all bytes at hand
 * (gRPC over HTTP2, "Length-Prefixed-Message").
 */
import { describe, expect } from "bun:test";
import { COMPRESSED_MESSAGE, MessageReader } from "../../src/grpc/message-reader.ts";
import { MessageScanner } from "../../src/grpc/message-scanner.ts";
import { EXTRA, RequestMessage } from "../../src/proxy/forward/request-message.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { concat, uint32 } from "../http2/frames.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated, pieces } from "./mutation.ts";

const PREFIX_BYTES = 5;
const INPUTS = { inputs: 5_000 };

interface Message {
  /** Where its prefix begins. */
  readonly start: number;
  readonly flag: number;
  readonly length: number;
  /** What has come of it. */
  readonly payload: Uint8Array;
}

/** All messages whose prefix is there, the last one perhaps cut short. */
function messagesIn(bytes: Uint8Array): Message[] {
  const messages: Message[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let start = 0; start + PREFIX_BYTES <= bytes.length;) {
    const length = view.getUint32(start + 1);
    const end = start + PREFIX_BYTES + length;
    messages.push({ start, flag: bytes[start]!, length, payload: bytes.slice(start + PREFIX_BYTES, end) });
    start = end;
  }
  return messages;
}

/** A stream of messages, damaged or not, and the limit that its reader has. */
function stream(random: SeededRandom): { bytes: Uint8Array; limit: number } {
  const limit = random.pick([0, 10, 40, 2 ** 31 - 1]);
  const message = (): Uint8Array => {
    const payload = garbage(random, random.pick([0, 5, 45, 300]));
    return concat([Uint8Array.of(random.chance(0.05) ? 1 : 0), uint32(payload.length), payload]);
  };
  let bytes = concat(Array.from({ length: random.below(6) }, message));
  if (random.chance(0.5)) bytes = mutated(bytes, random, [message()]);
  return { bytes, limit };
}

/** Each piece of `bytes` inside a larger chunk, which becomes nonsense once it was read. */
function* chunks(bytes: Uint8Array, random: SeededRandom): Generator<[Uint8Array, number, number]> {
  for (const piece of pieces(bytes, random)) {
    const chunk = concat([new Uint8Array(3).fill(0xee), piece, new Uint8Array(4).fill(0xee)]);
    yield [chunk, 3, 3 + piece.length];
  }
}

function isWhole({ payload, length }: Message): boolean {
  return payload.length === length;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("however a stream of messages is cut and damaged,", () => {
  fuzz("a message reader hands out every message until one cannot be read", INPUTS, (random) => {
    const { bytes, limit } = stream(random);
    const reader = new MessageReader(limit);
    const handedOut: string[] = [];
    let result = -1;
    let fed = 0;
    for (const [chunk, start, end] of chunks(bytes, random)) {
      result = reader.read(chunk, start, end, (message, from, to) => {
        handedOut.push(hex(message.subarray(from, to)));
      });
      chunk.fill(0xdd);
      fed += end - start;
      // What is announced costs nothing: only what has come.
      if (reader.heldBytes > 2 * fed + PREFIX_BYTES)
        throw new Error(`${reader.heldBytes} held of ${fed} bytes`);
      if (result !== -1) break;
    }
    const messages = messagesIn(bytes);
    const unreadable = messages.find(({ flag, length }) => length > limit || flag !== 0);
    const readable = unreadable === undefined ? messages : messages.slice(0, messages.indexOf(unreadable));
    expect(handedOut).toEqual(readable.filter(isWhole).map(({ payload }) => hex(payload)));
    if (unreadable === undefined) {
      expect(result).toBe(-1);
      const end = readable.reduce((sum, { length }) => sum + PREFIX_BYTES + length, 0);
      expect(reader.heldBytes === 0).toBe(end === bytes.length);
    } else expect(result).toBe(unreadable.length > limit ? unreadable.length : COMPRESSED_MESSAGE);
  });

  fuzz("a message scanner finds the first one that is too long, and the boundaries", INPUTS, (random) => {
    const { bytes, limit } = stream(random);
    const scanner = new MessageScanner(limit);
    let result = -1;
    for (const [chunk, start, end] of chunks(bytes, random)) {
      result = scanner.scan(chunk, start, end);
      if (result !== -1) break;
    }
    const messages = messagesIn(bytes);
    expect(result).toBe(messages.find(({ length }) => length > limit)?.length ?? -1);
    if (result !== -1) return;
    const end = messages.reduce((sum, { length }) => sum + PREFIX_BYTES + length, 0);
    expect(scanner.atBoundary).toBe(end === bytes.length);
  });

  fuzz("a request is the one message there is, too long, or not alone", INPUTS, (random) => {
    const { bytes, limit } = stream(random);
    const request = new RequestMessage(limit);
    let result = -1;
    let fed = 0;
    for (const piece of pieces(bytes, random)) {
      result = request.add(piece, 0, piece.length);
      fed += piece.length;
      if (request.keptBytes > 2 * fed + 256) throw new Error(`${request.keptBytes} kept of ${fed} bytes`);
      if (result !== -1) break;
    }
    const [first] = messagesIn(bytes);
    const end = first === undefined ? 0 : PREFIX_BYTES + first.length;
    if (first === undefined) expect([result, request.whole]).toEqual([-1, false]);
    else if (first.length > limit) expect(result).toBe(first.length);
    else if (bytes.length > end) expect(result).toBe(EXTRA);
    else {
      expect([result, request.whole]).toEqual([-1, bytes.length === end]);
      if (request.whole) expect(hex(request.framed)).toBe(hex(bytes));
    }
  });
});
