import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackDecoder } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { type HeaderField, headerField } from "../../src/hpack/header-field.ts";
import { decodeBlock, encodeBlock, toHex } from "./wire.ts";

function encodeHex(encoder: HpackEncoder, ...fields: HeaderField[]): string {
  return toHex(encodeBlock(encoder, fields));
}

describe("§6.1 indexed fields", () => {
  test("a field of the static table is one byte from the first time on", () => {
    expect(encodeHex(new HpackEncoder(), headerField(":method", "POST"))).toBe("83");
    expect(encodeHex(new HpackEncoder(), headerField(":status", "500"))).toBe("8e");
    expect(encodeHex(new HpackEncoder(), headerField("accept-encoding", "gzip, deflate"))).toBe("90");
    expect(encodeHex(new HpackEncoder(), headerField("accept", ""))).toBe("93");
  });

  test("a field sent before is an index, counted from the newest", () => {
    const encoder = new HpackEncoder();
    encodeHex(encoder, headerField(":path", "/a"), headerField("te", "trailers"));
    expect(encodeHex(encoder, headerField("te", "trailers"), headerField(":path", "/a"))).toBe("bebf");
  });

  test("several values of one name are all found", () => {
    const encoder = new HpackEncoder();
    const paths = ["/a", "/b", "/c"].map((path) => headerField(":path", path));
    encodeHex(encoder, ...paths);
    expect(encodeHex(encoder, ...paths)).toBe("c0bfbe");
  });

  test("an evicted field is sent as a literal again", () => {
    const encoder = new HpackEncoder({ tableBytesMax: 150 });
    const decoder = new HpackDecoder({ tableBytesMax: 150 });
    for (const value of ["1", "2", "3", "4", "5", "1", "2", "5", "5"]) {
      const fields = [headerField("a", value), headerField("b", value)];
      expect(decodeBlock(decoder, encodeBlock(encoder, fields))).toEqual(fields);
    }
  });
});

describe("§6.2 literals", () => {
  test("a name in a table is an index, a new one is written out", () => {
    const encoder = new HpackEncoder();
    expect(encodeHex(encoder, headerField(":path", "0"))).toBe("440130");
    expect(encodeHex(encoder, headerField("x", "0"))).toBe("4001780130");
    expect(encodeHex(encoder, headerField("x", "1"))).toBe("7e0131");
  });

  test("a string is Huffman-coded exactly when that is shorter", () => {
    const encoder = new HpackEncoder();
    expect(encodeHex(encoder, headerField(":path", "00"))).toBe("44023030");
    expect(encodeHex(encoder, headerField(":path", "000"))).toBe("44820001");
    expect(encodeHex(encoder, headerField(":path", "\u0000\u0001"))).toBe("44020001");
  });

  test.each([1, 126, 127, 128, 150, 158, 203, 204, 1000, 40_000])(
    "a value of %d octets arrives whole, whichever form is shorter",
    (valueBytes) => {
      for (const octet of ["0", "X", "\u00ff"]) {
        const fields = [headerField("a", octet.repeat(valueBytes))];
        const block = encodeBlock(new HpackEncoder(), fields);
        expect(decodeBlock(new HpackDecoder(), block)).toEqual(fields);
        // The kind, the name with its length, and a length of at most four octets.
        expect(block.length).toBeLessThanOrEqual(valueBytes + 7);
      }
    },
  );

  test("a unit outside Latin-1 is sent as a question mark and stays one in the table", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    for (let round = 0; round < 2; round++) {
      const block = encodeBlock(encoder, [headerField("a", "\u010a\u010d")]);
      expect(decodeBlock(decoder, block)).toEqual([headerField("a", "??")]);
    }
  });

  test("a block goes behind what the writer holds already", () => {
    const out = new ByteWriter();
    out.writeUint32(0xdeadbeef);
    new HpackEncoder().encode([headerField(":method", "GET")], out);
    expect(toHex(out.toBytes())).toBe("deadbeef82");
  });
});

describe("what is kept out of the table", () => {
  test.each(["authorization", "proxy-authorization", "cookie", "set-cookie", "token"])(
    "a credential in %s is a never-indexed literal each time (§7.1.3)",
    (name) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder();
      const blocks = [1, 2, 3].map(() => encodeHex(encoder, headerField(name, "secret")));
      expect(new Set(blocks).size).toBe(1);
      expect(decodeBlock(decoder, Buffer.from(blocks[0]!, "hex"))).toEqual([
        { name, value: "secret", neverIndexed: true },
      ]);
      expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond the last entry 61");
    },
  );

  test("a never-indexed field stays so from decoder to encoder to decoder, also when it equals an entry", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    decodeBlock(decoder, encodeBlock(encoder, [headerField("a", "1"), headerField(":method", "GET")]));
    const received = decodeBlock(new HpackDecoder(), "1001610131 1203474554");
    expect(received.map((field) => field.neverIndexed)).toEqual([true, true]);
    const block = encodeBlock(encoder, received);
    expect(block[0]! & 0xf0).toBe(0x10);
    expect(decodeBlock(decoder, block)).toEqual([...received]);
  });

  test.each(["content-length", "date"])(
    "%s never enters the table: its name is in the static one",
    (name) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder();
      decodeBlock(decoder, encodeBlock(encoder, [headerField(name, "1"), headerField(name, "1")]));
      expect(() => decodeBlock(decoder, "be")).toThrow("index 62 is beyond the last entry 61");
    },
  );

  test.each(["grpc-timeout", "traceparent", "tracestate", "grpc-trace-bin", "grpc-tags-bin", "x-request-id"])(
    "%s enters the table once, for its name; later values leave the table alone",
    (name) => {
      const encoder = new HpackEncoder();
      expect(encodeHex(encoder, headerField(name, "0"))).toStartWith("40");
      expect(encodeHex(encoder, headerField(name, "1"))).toBe("0f2f0131");
      expect(encodeHex(encoder, headerField(name, "2"))).toBe("0f2f0132");
      expect(encodeHex(encoder, headerField(name, "0"))).toBe("be");
    },
  );

  test("a field that would fill more than half of the table is a literal without indexing", () => {
    const encoder = new HpackEncoder();
    const half = 4096 / 2 - 32 - 1;
    expect(encodeHex(encoder, headerField("a", "v".repeat(half + 1)))).toStartWith("00");
    expect(encodeHex(encoder, headerField("a", "v".repeat(half)))).toStartWith("40");
  });
});

describe("§4.2 the table's size", () => {
  const field = headerField("a", "1");

  test("nothing is announced while the size is the initial one", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerTableBytesMax(4096);
    expect(encodeHex(encoder)).toBe("");
  });

  test("a smaller size is announced once, where the next block starts", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerTableBytesMax(0);
    expect(encodeHex(encoder, headerField(":method", "GET"))).toBe("2082");
    expect(encodeHex(encoder, headerField(":method", "GET"))).toBe("82");
  });

  test("with a table of zero nothing is indexed", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerTableBytesMax(0);
    expect(encodeHex(encoder, field)).toBe("200001610131");
    expect(encodeHex(encoder, field)).toBe("0001610131");
  });

  test("down and up between two blocks announces the smallest, then the final size", () => {
    const encoder = new HpackEncoder();
    encodeHex(encoder, field);
    encoder.setPeerTableBytesMax(100);
    encoder.setPeerTableBytesMax(0);
    encoder.setPeerTableBytesMax(200);
    expect(encodeHex(encoder, field)).toBe("203fa901" + "4001610131");
  });

  test("up and down between two blocks that ends where it began announces nothing", () => {
    const encoder = new HpackEncoder({ tableBytesMax: 8192 });
    encodeHex(encoder, field);
    encoder.setPeerTableBytesMax(8192);
    encoder.setPeerTableBytesMax(4096);
    expect(encodeHex(encoder, field)).toBe("be");
  });

  test("a larger size is used up to the encoder's own bound, and announced", () => {
    const encoder = new HpackEncoder({ tableBytesMax: 8192 });
    encoder.setPeerTableBytesMax(0xffff_ffff);
    expect(encodeHex(encoder)).toBe("3fe13f");
  });

  test("a larger size changes nothing when the encoder's own bound is the initial size", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerTableBytesMax(65_536);
    expect(encodeHex(encoder)).toBe("");
  });

  test("an own bound below the initial size is announced in the first block", () => {
    expect(encodeHex(new HpackEncoder({ tableBytesMax: 0 }))).toBe("20");
  });

  test("what a smaller size evicts is not referred to any more", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const fields = [headerField("a", "1"), headerField("b", "2"), headerField("c", "3")];
    decodeBlock(decoder, encodeBlock(encoder, fields));
    encoder.setPeerTableBytesMax(68);
    expect(decodeBlock(decoder, encodeBlock(encoder, [...fields]))).toEqual(fields);
    expect(decodeBlock(decoder, encodeBlock(encoder, [...fields]))).toEqual(fields);
  });
});

describe("the same array again", () => {
  const answer = [headerField(":status", "200"), headerField("content-type", "application/grpc")];

  test("its encoding is the same each time after the one that filled the table", () => {
    const encoder = new HpackEncoder();
    const blocks = Array.from({ length: 5 }, () => toHex(encodeBlock(encoder, answer)));
    expect(blocks[0]).toStartWith("885f");
    expect(blocks.slice(1)).toEqual(["88be", "88be", "88be", "88be"]);
  });

  test("its encoding follows the table when another list has changed it", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    for (let i = 0; i < 20; i++) {
      expect(decodeBlock(decoder, encodeBlock(encoder, answer))).toEqual(answer);
      if (i % 4 === 3) decodeBlock(decoder, encodeBlock(encoder, [headerField("x", String(i))]));
    }
  });

  test("its encoding follows the table when a new size has emptied it", () => {
    const encoder = new HpackEncoder();
    for (let i = 0; i < 4; i++) encodeBlock(encoder, answer);
    encoder.setPeerTableBytesMax(0);
    encoder.setPeerTableBytesMax(4096);
    expect(toHex(encodeBlock(encoder, answer))).toStartWith("203fe11f885f");
    expect(toHex(encodeBlock(encoder, answer))).toBe("88be");
  });

  test("a size update is not repeated with it", () => {
    const encoder = new HpackEncoder();
    const get = [headerField(":method", "GET")];
    encodeBlock(encoder, get);
    encoder.setPeerTableBytesMax(0);
    expect([1, 2, 3].map(() => toHex(encodeBlock(encoder, get)))).toEqual(["2082", "82", "82"]);
  });

  test("more lists than are remembered, short and long, all stay right", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const lists = Array.from({ length: 30 }, (_, i) =>
      Array.from({ length: i * 12 }, () => headerField("content-length", String(i))),
    );
    for (let round = 0; round < 4; round++) {
      for (const list of lists) {
        for (let again = 0; again < 3; again++) {
          expect(decodeBlock(decoder, encodeBlock(encoder, list))).toEqual(list);
        }
      }
    }
  });
});
