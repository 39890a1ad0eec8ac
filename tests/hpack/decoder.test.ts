import { describe, expect, test } from "bun:test";
import { HpackDecoder, HpackError } from "../../src/hpack/decoder.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { decodeBlock, fromHex, lines } from "./wire.ts";

/** A literal with indexing: name and value of fewer than 127 octets, raw. */
function inserting(name: string, value: string): Uint8Array {
  const octets = new TextEncoder();
  return Uint8Array.of(0x40, name.length, ...octets.encode(name), value.length, ...octets.encode(value));
}

/** A literal with indexing of name "big" and `valueBytes` octets "v", raw, with a three-octet length. */
function insertingBig(valueBytes: number): Uint8Array {
  const rest = valueBytes - 127;
  const head = [0x40, 3, 0x62, 0x69, 0x67, 0x7f, 0x80 | (rest & 0x7f), rest >>> 7];
  const block = new Uint8Array(head.length + valueBytes).fill(0x76);
  block.set(head);
  return block;
}

function expectError(block: string, message: string): void {
  const decode = (): unknown => decodeBlock(new HpackDecoder(), block);
  expect(decode).toThrow(HpackError);
  expect(decode).toThrow(message);
}

describe("§2.3.3 indexes", () => {
  test("index 0 is an error", () => expectError("80", "index 0"));

  test("an index beyond an empty dynamic table is an error", () => {
    expectError("be", "index 62 is beyond the last entry 61");
  });

  test("an index that fits 31 bits but no table is an error", () => {
    expectError("ff80ffffff07", "index 2147483647 is beyond");
  });

  test("a literal's name index beyond the tables is an error, for each kind of literal", () => {
    expectError("7e0161", "index 62 is beyond");
    expectError("0f2f0161", "index 62 is beyond");
    expectError("1f2f0161", "index 62 is beyond");
  });

  test("index 61 is the last static field", () => {
    expect(lines(decodeBlock(new HpackDecoder(), "bd"))).toEqual(["www-authenticate: "]);
  });

  test("index 62 is the newest dynamic field, and higher ones are older", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, inserting("a", "1"));
    decodeBlock(decoder, inserting("b", "2"));
    expect(lines(decodeBlock(decoder, "bebf"))).toEqual(["b: 2", "a: 1"]);
  });

  test("a field entered by a block can be used later in that block", () => {
    const block = Uint8Array.of(...inserting("a", "1"), 0xbe, 0x7e, 1, 0x32, 0xbf);
    expect(lines(decodeBlock(new HpackDecoder(), block))).toEqual(["a: 1", "a: 1", "a: 2", "a: 1"]);
  });
});

describe("§6.2 literals", () => {
  test("only a never-indexed literal sets neverIndexed", () => {
    const [withIndexing, without, never] = decodeBlock(new HpackDecoder(), "40016101310001610132 1001610133");
    expect(withIndexing).toEqual({ name: "a", value: "1", neverIndexed: false });
    expect(without).toEqual({ name: "a", value: "2", neverIndexed: false });
    expect(never).toEqual({ name: "a", value: "3", neverIndexed: true });
  });

  test("octets above 127 arrive as Latin-1 units", () => {
    expect(decodeBlock(new HpackDecoder(), "00016103e280ff")[0]!.value).toBe("\u00e2\u0080\u00ff");
  });

  test("a block inside a larger buffer is read within its bounds", () => {
    const bytes = fromHex("ffffff 82 86 ffffff");
    expect(lines(new HpackDecoder().decode(bytes, 3, 5, 4096))).toEqual([":method: GET", ":scheme: http"]);
  });

  test("an empty block has no fields", () => {
    const decoder = new HpackDecoder();
    expect(decodeBlock(decoder, "")).toEqual([]);
    expect(decoder.lastListBytes).toBe(0);
  });

  test.each([
    ["its index", "7f", "ends inside an integer"],
    ["the length of its name", "40", "ends where an integer should start"],
    ["its name", "400361", "string of 3 octets reaches beyond"],
    ["the length of its value", "400161", "ends where an integer should start"],
    ["its value", "4001610262", "string of 2 octets reaches beyond"],
    ["its Huffman-coded value", "4001618262", "string of 2 octets reaches beyond"],
    ["a length that would wrap", "40016 17f80ffffff07", "string of 2147483647 octets reaches beyond"],
  ])("a block that ends inside a literal, in %s, is an error", (_, block, message) => {
    expectError(block, message);
  });

  test("a block that ends inside its bounds is not helped by the bytes behind them", () => {
    const bytes = fromHex("4001610162");
    expect(() => new HpackDecoder().decode(bytes, 0, 4, 4096)).toThrow("reaches beyond its header block");
  });

  test("wrong Huffman padding is an error in a name and in a value", () => {
    expectError("4081060162", "padding is not all ones");
    expectError("40016182ffff", "padded with more than 7 bits");
    expectError("40016184ffffffff", "end-of-string symbol");
  });
});

describe("§4.3 and §6.3 dynamic table size updates", () => {
  test("a size update where a block starts shrinks the table at once", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, inserting("a", "1"));
    decodeBlock(decoder, inserting("b", "2"));
    // To 34 bytes: room for one of these.
    expect(lines(decodeBlock(decoder, "3f03be"))).toEqual(["b: 2"]);
    expect(() => decodeBlock(decoder, "bf")).toThrow("index 63 is beyond the last entry 62");
  });

  test("an update to zero and back empties the table", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, inserting("a", "1"));
    expect(lines(decodeBlock(decoder, "203fe11f82"))).toEqual([":method: GET"]);
    expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond the last entry 61");
  });

  test("after an update to zero literals with indexing are not kept", () => {
    const decoder = new HpackDecoder();
    expect(lines(decodeBlock(decoder, Uint8Array.of(0x20, ...inserting("a", "1"))))).toEqual(["a: 1"]);
    expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond the last entry 61");
  });

  test("an update up to the advertised size is accepted, one above it is an error", () => {
    expect(decodeBlock(new HpackDecoder(), "3fe11f")).toEqual([]);
    expectError("3fe21f", "size update to 4097 is above the advertised 4096");
  });

  test("the advertised size is the limit, not what an earlier update chose", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 100 });
    decodeBlock(decoder, "20");
    expect(decodeBlock(decoder, "3f45")).toEqual([]);
    expect(() => decodeBlock(decoder, "3f46")).toThrow("size update to 101 is above the advertised 100");
  });

  test("a larger advertised size is used only once the peer says so", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 8192 });
    decodeBlock(decoder, insertingBig(5000));
    expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond");
    const grown = new HpackDecoder({ tableBytesMax: 8192 });
    decodeBlock(grown, Uint8Array.of(...fromHex("3fe13f"), ...insertingBig(5000)));
    expect(decodeBlock(grown, "be")[0]!.value.length).toBe(5000);
  });

  test("a size update behind a field is an error", () => {
    expectError("823fe11f", "allowed only where a header block starts");
    expectError("4001610131 20", "allowed only where a header block starts");
  });
});

describe("§4.4 eviction", () => {
  test("a new field evicts the oldest until it fits", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 3 * 34 });
    for (const name of ["a", "b", "c", "d"]) decodeBlock(decoder, inserting(name, "1"));
    expect(lines(decodeBlock(decoder, "bebfc0"))).toEqual(["d: 1", "c: 1", "b: 1"]);
    expect(() => decodeBlock(decoder, "c1")).toThrow("beyond the last entry 64");
  });

  test("a field larger than the table empties it and is still delivered", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, inserting("a", "1"));
    expect(decodeBlock(decoder, insertingBig(4096))[0]!.value.length).toBe(4096);
    expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond the last entry 61");
  });

  test("a literal may take its name from the very entry that it evicts", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 34 });
    decodeBlock(decoder, inserting("a", "1"));
    expect(lines(decodeBlock(decoder, "7e0132be"))).toEqual(["a: 2", "a: 2"]);
  });

  test("entries stay in order while the table fills, wraps and empties many times", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 20 * 35 });
    for (let i = 0; i < 200; i++) {
      decodeBlock(decoder, inserting("a", String(i).padStart(2, "0")));
      const kept = Math.min(i + 1, i < 100 ? 20 : 19);
      expect(decodeBlock(decoder, Uint8Array.of(0xbe))[0]!.value).toBe(String(i).padStart(2, "0"));
      expect(decodeBlock(decoder, Uint8Array.of(0xbe + kept - 1))[0]!.value).toBe(
        String(i - kept + 1).padStart(2, "0"),
      );
    }
  });
});

describe("the list's size limit (RFC 9113 §6.5.2)", () => {
  test("the size counts name, value and 32 for each field", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, "8286");
    expect(decoder.lastListBytes).toBe(":methodGET".length + ":schemehttp".length + 64);
  });

  test("a list exactly as large as the limit is complete", () => {
    const decoder = new HpackDecoder();
    expect(decodeBlock(decoder, "8286", 85)).toHaveLength(2);
    expect(decoder.lastListBytes).toBe(85);
  });

  test("fields beyond the limit are counted, not collected", () => {
    const decoder = new HpackDecoder();
    expect(lines(decodeBlock(decoder, "8286", 84))).toEqual([":method: GET"]);
    expect(decoder.lastListBytes).toBe(85);
  });

  test("a small field behind one that was too large is not collected either", () => {
    const decoder = new HpackDecoder();
    const block = Uint8Array.of(0x82, ...insertingBig(1000), 0x82);
    expect(lines(decodeBlock(decoder, block, 500))).toEqual([":method: GET"]);
  });

  test("fields that are not collected still enter the table", () => {
    const decoder = new HpackDecoder();
    expect(decodeBlock(decoder, inserting("a", "1"), 0)).toEqual([]);
    expect(lines(decodeBlock(decoder, "be"))).toEqual(["a: 1"]);
  });

  test("thousands of references to one 4 KiB entry give a list no larger than the limit", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, insertingBig(4000));
    const bomb = new Uint8Array(16_000).fill(0xbe);
    const fields = decodeBlock(decoder, bomb, 16_384);
    expect(fields).toHaveLength(4);
    expect(decoder.lastListBytes).toBe(16_000 * 4035);
    expect(new Set(fields).size).toBe(1);
  });

  test("an error behind the limit is still an error", () => {
    expect(() => decodeBlock(new HpackDecoder(), "8280", 0)).toThrow(HpackError);
  });
});

describe("repeated blocks", () => {
  test("the same bytes give the same array while the table stands still", () => {
    const decoder = new HpackDecoder();
    const first = decodeBlock(decoder, "828684");
    const size = decoder.lastListBytes;
    expect(decodeBlock(decoder, "8286")).toHaveLength(2);
    expect(decodeBlock(decoder, "828684")).toBe(first);
    expect(decoder.lastListBytes).toBe(size);
  });

  test("a repeated reference follows the table when it has changed", () => {
    const decoder = new HpackDecoder();
    for (const value of ["1", "2", "3"]) {
      decodeBlock(decoder, inserting("a", value));
      expect(lines(decodeBlock(decoder, "be"))).toEqual([`a: ${value}`]);
      expect(lines(decodeBlock(decoder, "be"))).toEqual([`a: ${value}`]);
    }
  });

  test("a repeated reference is an error when a size update has emptied the table", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, inserting("a", "1"));
    decodeBlock(decoder, "be");
    decodeBlock(decoder, "20");
    expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond");
  });

  test("a repeated block that changes the table changes it each time", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, inserting("a", "1"));
    decodeBlock(decoder, inserting("a", "1"));
    expect(lines(decodeBlock(decoder, "bebf"))).toEqual(["a: 1", "a: 1"]);
  });

  test("a repeated block is cut when the limit has become smaller", () => {
    const decoder = new HpackDecoder();
    expect(decodeBlock(decoder, "8286")).toHaveLength(2);
    expect(decodeBlock(decoder, "8286", 84)).toHaveLength(1);
    expect(decodeBlock(decoder, "8286")).toHaveLength(2);
  });

  test("a block that was cut is decoded whole when the limit has become larger", () => {
    const decoder = new HpackDecoder();
    expect(decodeBlock(decoder, "8286", 84)).toHaveLength(1);
    expect(decodeBlock(decoder, "8286")).toHaveLength(2);
  });

  test("what was decoded does not change when the received buffer is used again", () => {
    const decoder = new HpackDecoder();
    const bytes = fromHex("0001610131");
    const first = decodeBlock(decoder, bytes);
    bytes.fill(0x82);
    expect(first).toEqual([headerField("a", "1")]);
    expect(lines(decodeBlock(decoder, bytes))).toEqual(Array(5).fill(":method: GET"));
  });

  test("a block of 256 bytes is remembered, one of 257 is decoded each time", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, "82");
    for (const [blockBytes, remembered] of [
      [256, true],
      [257, false],
    ] as const) {
      const block = new Uint8Array(blockBytes).fill(0x82);
      const first = decodeBlock(decoder, block);
      expect(decodeBlock(decoder, block) === first).toBe(remembered);
    }
  });

  test("a remembered short block can give way to one of 256 bytes", () => {
    const decoder = new HpackDecoder();
    for (let size = 1; size <= 8; size++) decodeBlock(decoder, new Uint8Array(size).fill(0x82));
    const long = new Uint8Array(256).fill(0x83);
    expect(decodeBlock(decoder, long)).toBe(decodeBlock(decoder, long));
  });

  test("eight blocks are remembered, and a ninth takes the place of the oldest", () => {
    const decoder = new HpackDecoder();
    const block = (size: number): Uint8Array => new Uint8Array(size).fill(0x82);
    const first = [1, 2, 3, 4, 5, 6, 7, 8].map((size) => decodeBlock(decoder, block(size)));
    for (const fields of first) expect(decodeBlock(decoder, block(fields.length))).toBe(fields);
    decodeBlock(decoder, block(9));
    expect(decodeBlock(decoder, block(2))).toBe(first[1]!);
    expect(decodeBlock(decoder, block(1))).not.toBe(first[0]!);
  });

  test("more different blocks than are remembered, short and long, all stay right", () => {
    const decoder = new HpackDecoder();
    for (let round = 0; round < 3; round++) {
      for (let size = 1; size <= 300; size += 13) {
        expect(decodeBlock(decoder, new Uint8Array(size).fill(0x82))).toHaveLength(size);
        expect(decodeBlock(decoder, new Uint8Array(size).fill(0x83))[size - 1]!.value).toBe("POST");
      }
    }
  });
});
