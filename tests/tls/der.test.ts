import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DerError, derObjectIdentifier, DerReader, DerTag, derTimeMs } from "../../src/tls/der.ts";
import { encodeDer } from "./der-encoding.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("DER", () => {
  test("is read element by element, whatever the length's form", () => {
    const contents = [0, 1, 127, 128, 255, 256, 65_535, 65_536].map((length) => Buffer.alloc(length, 7));
    const reader = new DerReader(
      Buffer.concat(contents.map((content) => encodeDer(DerTag.INTEGER, content))),
    );
    for (const content of contents) expect(reader.next(DerTag.INTEGER).content.equals(content)).toBe(true);
    expect([reader.atEnd, reader.nextTag]).toEqual([true, -1]);
  });

  test.each([
    ["", "cut short"],
    ["30", "cut short"],
    ["30 05 01", "cut short"],
    ["30 82 01", "cut short"],
    ["30 80 00 00", "a length that is none"],
    ["30 85 00 00 00 00 01 00", "a length that is none"],
    ["30 84 ff ff ff ff 00", "cut short"],
    ["1f 01 00", "a tag of several bytes"],
    ["02 01 00", "tag 2 where 48 is expected"],
  ])("%j is refused: %s", (bytes, problem) => {
    expect(() => new DerReader(hex(bytes)).sequence()).toThrow(new DerError(problem));
  });

  test("of any bytes is read or refused, within them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new DerReader(Buffer.from(bytes));
        let readBytes = 0;
        try {
          while (!reader.atEnd) readBytes += reader.any().encoded.length;
          expect(readBytes).toBe(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(DerError);
        }
      }),
    );
  });

  test("times have four digits of a year, or two that mean 1950 to 2049", () => {
    const utc = (text: string): number =>
      derTimeMs(new DerReader(encodeDer(DerTag.UTC_TIME, Buffer.from(text))).any());
    expect(utc("491231235959Z")).toBe(Date.UTC(2049, 11, 31, 23, 59, 59));
    expect(utc("500101000000Z")).toBe(Date.UTC(1950, 0, 1));
    const general = encodeDer(DerTag.GENERALIZED_TIME, Buffer.from("20500601120000Z"));
    expect(derTimeMs(new DerReader(general).any())).toBe(Date.UTC(2050, 5, 1, 12));
    expect(() => utc("2611251200Z")).toThrow(DerError);
    expect(() => utc("261125120000+0100")).toThrow(DerError);
  });

  test.each([
    ["06 03 2b 65 70", "1.3.101.112"],
    ["06 09 2a 86 48 86 f7 0d 01 01 0b", "1.2.840.113549.1.1.11"],
    ["06 09 60 86 48 01 65 03 04 02 01", "2.16.840.1.101.3.4.2.1"],
    ["06 02 88 37", "2.999"],
  ])("%s is %s", (bytes, text) => {
    expect(derObjectIdentifier(new DerReader(hex(bytes)).any())).toBe(text);
  });
});
