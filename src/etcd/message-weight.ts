/**
 * What a message takes in memory once it is decoded, about, without decoding it.
 *
 * Stands before Protobuf-ES where bytes come from a peer: a message of two bytes becomes an object a hundred times as
 * large, so the length of an answer alone bounds nothing. Broken bytes are not its business: it counts up to there.
 */
import type { DescMessage } from "@bufbuild/protobuf";
import { MalformedMessage, ProtobufCursor } from "./protobuf-cursor.ts";
import { methodPath, SERVICES } from "./services.ts";

/** What a message within a message takes besides its bytes, about; a field that nobody knows takes as much. */
const OBJECT_BYTES = 200;
/** etcd's messages go ten levels deep, transactions within transactions left aside. */
const DEPTH_MAX = 64;

/** Messages within a message by the number of their field, and the fields that are known. */
interface Shape {
  readonly messages: ReadonlyMap<number, DescMessage>;
  readonly known: ReadonlySet<number>;
}

const shapes = new Map<DescMessage, Shape>();

function shapeOf(type: DescMessage): Shape {
  let shape = shapes.get(type);
  if (shape === undefined) {
    const messages = new Map<number, DescMessage>();
    for (const field of type.fields)
      if (field.message !== undefined) messages.set(field.number, field.message);
    shape = { messages, known: new Set(type.fields.map(({ number }) => number)) };
    shapes.set(type, shape);
  }
  return shape;
}

/** What the message `bytes[start, end)` takes once it is decoded as a `type`. */
export function decodedBytes(type: DescMessage, bytes: Uint8Array, start: number, end: number): number {
  const cursor = new ProtobufCursor();
  cursor.at = start;
  try {
    return end - start + OBJECT_BYTES * objectsIn(type, cursor, bytes, end, 0);
  } catch (error) {
    if (error instanceof MalformedMessage) return end - start;
    throw error;
  }
}

function objectsIn(
  type: DescMessage,
  cursor: ProtobufCursor,
  bytes: Uint8Array,
  end: number,
  depth: number,
): number {
  if (depth > DEPTH_MAX) throw new MalformedMessage("messages within messages without end");
  const { messages, known } = shapeOf(type);
  let objects = 1;
  while (cursor.at < end) {
    const tag = cursor.tag(bytes, end);
    const number = Math.floor(tag / 8);
    const inner = (tag & 7) === 2 ? messages.get(number) : undefined;
    if (inner !== undefined) {
      objects += objectsIn(inner, cursor, bytes, cursor.payloadEnd(bytes, end), depth + 1);
    } else {
      if (!known.has(number)) objects++;
      cursor.skip(bytes, tag, end);
    }
  }
  return objects;
}

const outputs = new Map(
  SERVICES.flatMap(({ methods }) => methods.map((method) => [methodPath(method), method.output])),
);

/** What an answer of the method at `path` takes once it is decoded. */
export function decodedAnswerBytes(path: string, bytes: Uint8Array, start: number, end: number): number {
  const type = outputs.get(path);
  return type === undefined ? end - start : decodedBytes(type, bytes, start, end);
}
