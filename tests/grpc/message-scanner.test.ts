import { describe, expect, test } from "bun:test";
import { MessageScanner } from "../../src/grpc/message-scanner.ts";
import { framed } from "./stand-in-member.ts";

function scan(scanner: MessageScanner, bytes: Uint8Array): number {
  return scanner.scan(bytes, 0, bytes.length);
}

describe("a message scanner", () => {
  test("lets messages up to the limit pass", () => {
    const scanner = new MessageScanner(5);
    expect(scan(scanner, Buffer.concat([framed(""), framed("12345"), framed("1")]))).toBe(-1);
    expect(scanner.atBoundary).toBe(true);
  });

  test("tells a message that is too long by its prefix alone", () => {
    expect(scan(new MessageScanner(5), framed("123456").subarray(0, 5))).toBe(6);
  });

  test("reads lengths of four bytes", () => {
    expect(scan(new MessageScanner(0x7fff_ffff), Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff))).toBe(0xffff_ffff);
  });

  test("does not take a compressed message's flag for length", () => {
    expect(scan(new MessageScanner(5), Uint8Array.of(1, 0, 0, 0, 1, 9))).toBe(-1);
  });

  test("knows a message that is cut short", () => {
    const scanner = new MessageScanner(10);
    scan(scanner, framed("1234").subarray(0, 7));
    expect(scanner.atBoundary).toBe(false);
    scan(scanner, framed("1234").subarray(7));
    expect(scanner.atBoundary).toBe(true);
    scan(scanner, Uint8Array.of(0, 0));
    expect(scanner.atBoundary).toBe(false);
  });
});
