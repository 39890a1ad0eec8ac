import { describe, expect, test } from "bun:test";
import { POOLED_BLOCK_BYTES } from "../../src/base/buffer-pool.ts";
import { ByteWriter } from "../../src/base/byte-writer.ts";

const sequence = (length: number, from = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (from + i) & 0xff);

describe("a byte writer", () => {
  test("holds no storage before its first byte", () => {
    expect(new ByteWriter().bytes).toHaveLength(0);
  });

  test("appends bytes, numbers and runs in order", () => {
    const writer = new ByteWriter();
    writer.writeByte(0x01);
    writer.writeUint32(0xfedc_ba98);
    writer.write(Uint8Array.of(2, 3));
    expect([...writer.toBytes()]).toEqual([0x01, 0xfe, 0xdc, 0xba, 0x98, 2, 3]);
  });

  // 48 is where copying by hand ends; 256 is the smallest storage.
  test.each([0, 1, 47, 48, 49, 255, 256, 257, 5000])("takes a run of %i bytes whole", (length) => {
    const writer = new ByteWriter();
    writer.writeByte(9);
    writer.write(sequence(length));
    expect(writer.toBytes()).toEqual(Uint8Array.of(9, ...sequence(length)));
  });

  test.each([10, 1000])("takes %i bytes out of the middle of a source", (length) => {
    const writer = new ByteWriter();
    writer.write(sequence(length + 20), 7, 7 + length);
    expect(writer.toBytes()).toEqual(sequence(length, 7));
  });

  test("keeps what it has when it grows", () => {
    const writer = new ByteWriter();
    const all: number[] = [];
    for (let i = 0; i < 3000; i++) {
      writer.writeByte(i);
      all.push(i & 0xff);
    }
    expect([...writer.toBytes()]).toEqual(all);
  });

  test("drops bytes from the front", () => {
    const writer = new ByteWriter();
    writer.write(sequence(10));
    writer.discard(4);
    expect(writer.toBytes()).toEqual(sequence(6, 4));
    writer.discard(6);
    expect(writer.length).toBe(0);
  });

  test("gives out copies that later writes do not change", () => {
    const writer = new ByteWriter();
    writer.write(sequence(3));
    const copy = writer.toBytes();
    writer.clear();
    writer.writeByte(77);
    expect(copy).toEqual(sequence(3));
  });

  test("keeps its storage when cleared and gives it back when released", () => {
    const writer = new ByteWriter();
    writer.writeByte(1);
    const storage = writer.bytes;
    writer.clear();
    expect([writer.length, writer.bytes]).toEqual([0, storage]);
    writer.release();
    expect([writer.length, writer.bytes.length]).toEqual([0, 0]);
  });
});

describe("a pooled byte writer", () => {
  test("takes a whole block for its first byte", () => {
    const writer = new ByteWriter({ pooled: true });
    writer.writeByte(1);
    expect(writer.bytes).toHaveLength(POOLED_BLOCK_BYTES);
    writer.release();
  });

  test("gets the block that another has released", () => {
    const first = new ByteWriter({ pooled: true });
    first.writeByte(1);
    const block = first.bytes;
    first.release();
    const second = new ByteWriter({ pooled: true });
    second.writeByte(2);
    expect(second.bytes).toBe(block);
    second.release();
  });

  test("outgrows its block without losing a byte, and gives the block back", () => {
    const writer = new ByteWriter({ pooled: true });
    const half = sequence(POOLED_BLOCK_BYTES / 2 + 1);
    writer.write(half);
    const block = writer.bytes;
    writer.write(half);
    expect(writer.toBytes()).toEqual(Uint8Array.of(...half, ...half));
    const other = new ByteWriter({ pooled: true });
    other.writeByte(1);
    expect(other.bytes).toBe(block);
    writer.release();
    other.release();
  });
});
