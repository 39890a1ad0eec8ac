import { describe, expect, test } from "bun:test";
import { HpackError } from "../../src/hpack/hpack-error.ts";
import { CODE_BITS, CODES } from "../../src/hpack/huffman-code.ts";
import { decodeHuffman, encodeHuffman } from "../../src/hpack/huffman.ts";
import { fromHex, toHex } from "./wire.ts";

function decode(hex: string): string {
  const bytes = fromHex(hex);
  return decodeHuffman(bytes, 0, bytes.length);
}

function encode(text: string): string {
  const bytes = new Uint8Array(text.length * 4);
  return toHex(bytes.subarray(0, encodeHuffman(text, bytes, 0, bytes.length)));
}

describe("RFC 7541 Appendix B, the code", () => {
  test("the code is complete: no bit string is left without a meaning", () => {
    expect(CODE_BITS.reduce((sum, bits) => sum + 2 ** -bits, 0)).toBe(1);
  });

  test.each([
    [0x00, 0x1ff8, 13],
    [0x0a, 0x3ffffffc, 30],
    [0x20, 0x14, 6],
    [0x30, 0x0, 5],
    [0x3a, 0x5c, 7],
    [0x41, 0x21, 6],
    [0x5c, 0x7fff0, 19],
    [0x7a, 0x7b, 7],
    [0x7f, 0xffffffc, 28],
    [0x80, 0xfffe6, 20],
    [0xff, 0x3ffffee, 26],
    [256, 0x3fffffff, 30],
  ])("symbol %d has the code %d in %d bits", (symbol, code, bits) => {
    expect([CODES[symbol], CODE_BITS[symbol]]).toEqual([code, bits]);
  });
});

describe("RFC 7541 §5.2 Huffman-coded strings", () => {
  test.each([
    ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
    ["no-cache", "a8eb10649cbf"],
    ["custom-key", "25a849e95ba97d7f"],
    ["302", "6402"],
    ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
  ])("%s is %s, both ways", (text, hex) => {
    expect(encode(text)).toBe(hex);
    expect(decode(hex)).toBe(text);
  });

  test("an empty string is no bytes", () => {
    expect(encode("")).toBe("");
    expect(decode("")).toBe("");
  });

  test("every octet survives, next to any other", () => {
    let text = "";
    for (let octet = 0; octet < 256; octet++)
      text += String.fromCharCode(octet) + String.fromCharCode(255 - octet);
    expect(decode(encode(text))).toBe(text);
  });

  test("a string longer than the decoder's own storage is decoded whole", () => {
    const text = "0123456789".repeat(10_000);
    expect(decode(encode(text))).toBe(text);
    expect(decode(encode("after"))).toBe("after");
  });

  test("a unit outside Latin-1 is written as a question mark, never as its low byte", () => {
    expect(decode(encode("a\u010a\u{1f600}b"))).toBe("a???b");
  });

  test("writing stops where the room ends", () => {
    const bytes = new Uint8Array(16);
    expect(encodeHuffman("no-cache", bytes, 0, 6)).toBe(6);
    expect(encodeHuffman("no-cache", bytes, 0, 5)).toBe(-1);
    expect(encodeHuffman("\n", bytes, 0, 3)).toBe(-1);
    expect(encodeHuffman("\n\n\n", bytes, 0, 4)).toBe(-1);
    expect(encodeHuffman("\n\n", bytes, 0, 4)).toBe(-1);
    expect([...bytes.subarray(6)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  // "0" is 00000, a space 010100 and "&" 11111000.
  test("up to seven bits of padding are accepted when all are ones", () => {
    expect(decode("f8")).toBe("&");
    expect(decode("07")).toBe("0");
    expect(decode("028a7f")).toBe("0  ");
  });

  test.each([
    ["eight bits of padding", "ff", "padded with more than 7 bits"],
    ["eight bits of padding behind a symbol", "f8ff", "padded with more than 7 bits"],
    ["eleven bits of padding behind a symbol", "07ff", "padded with more than 7 bits"],
    ["sixteen bits of padding", "ffff", "padded with more than 7 bits"],
    ["three octets of padding", "ffffff", "padded with more than 7 bits"],
    ["padding of zeroes where no symbol is", "f8f0", "padding is not all ones"],
    ["padding that ends in a zero", "06", "padding is not all ones"],
    ["a long code that is cut off", "fffe", "padding is not all ones"],
    ["the end-of-string symbol", "ffffffff", "end-of-string symbol"],
    ["the end-of-string symbol behind other symbols", "07ffffffffff", "end-of-string symbol"],
  ])("%s is an error", (_, hex, message) => {
    expect(() => decode(hex)).toThrow(HpackError);
    expect(() => decode(hex)).toThrow(message);
  });
});
