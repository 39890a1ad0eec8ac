/** The worked examples of RFC 7541 Appendix C, as they stand there. */

import { describe, expect, test } from "bun:test";
import { HpackDecoder } from "../../src/hpack/decoder.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { decodeBlock, encodeBlock, lines, toHex } from "./wire.ts";

interface Example {
  readonly block: string;
  readonly list: readonly string[];
  /** The dynamic table afterwards, newest first. */
  readonly table: readonly string[];
}

/** Decodes the examples on one connection and looks at the dynamic table after each. */
function expectDecoded(decoder: HpackDecoder, examples: readonly Example[]): void {
  for (const { block, list, table } of examples) {
    expect(lines(decodeBlock(decoder, block))).toEqual([...list]);
    const references = Uint8Array.from(table, (_, position) => 0x80 | (62 + position));
    expect(lines(decodeBlock(decoder, references))).toEqual([...table]);
  }
  const beyond = Uint8Array.of(0x80 | (62 + examples.at(-1)!.table.length));
  expect(() => decodeBlock(decoder, beyond)).toThrow("beyond the last entry");
}

describe("C.2 header field representations", () => {
  test("C.2.1 a literal with indexing enters the table", () => {
    expectDecoded(new HpackDecoder(), [
      {
        block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        list: ["custom-key: custom-header"],
        table: ["custom-key: custom-header"],
      },
    ]);
  });

  test("C.2.2 a literal without indexing leaves the table empty", () => {
    expectDecoded(new HpackDecoder(), [
      { block: "040c 2f73 616d 706c 652f 7061 7468", list: [":path: /sample/path"], table: [] },
    ]);
  });

  test("C.2.3 a never-indexed literal leaves the table empty and says so", () => {
    const block = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    expectDecoded(new HpackDecoder(), [{ block, list: ["password: secret"], table: [] }]);
    expect(decodeBlock(new HpackDecoder(), block)[0]!.neverIndexed).toBe(true);
  });

  test("C.2.4 an indexed field of the static table leaves the dynamic one empty", () => {
    expectDecoded(new HpackDecoder(), [{ block: "82", list: [":method: GET"], table: [] }]);
  });
});

const requestLists = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
  ],
];
const requestTables = [
  [":authority: www.example.com"],
  ["cache-control: no-cache", ":authority: www.example.com"],
  ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
];
const codedRequests = [
  "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
  "8286 84be 5886 a8eb 1064 9cbf",
  "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
];

function examples(
  blocks: readonly string[],
  lists: readonly string[][],
  tables: readonly string[][],
): Example[] {
  return blocks.map((block, i) => ({ block, list: lists[i]!, table: tables[i]! }));
}

describe("C.3 and C.4 requests", () => {
  test("C.3 three requests without Huffman coding share one table", () => {
    const blocks = [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    expectDecoded(new HpackDecoder(), examples(blocks, requestLists, requestTables));
  });

  test("C.4 three requests with Huffman coding share one table", () => {
    expectDecoded(new HpackDecoder(), examples(codedRequests, requestLists, requestTables));
  });

  test("C.4 the encoder writes the very blocks of the example", () => {
    const encoder = new HpackEncoder();
    const blocks = requestLists.map((list) =>
      toHex(
        encodeBlock(
          encoder,
          list.map((line) => {
            const colon = line.indexOf(": ");
            return headerField(line.slice(0, colon), line.slice(colon + 2));
          }),
        ),
      ),
    );
    expect(blocks).toEqual(codedRequests.map((block) => block.replaceAll(" ", "")));
  });
});

const date21 = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const date22 = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const location = "location: https://www.example.com";
const responseLists = [
  [":status: 302", "cache-control: private", date21, location],
  [":status: 307", "cache-control: private", date21, location],
  [":status: 200", "cache-control: private", date22, location, "content-encoding: gzip", cookie],
];
const responseTables = [
  [location, date21, "cache-control: private", ":status: 302"],
  [":status: 307", location, date21, "cache-control: private"],
  [cookie, "content-encoding: gzip", date22],
];

describe("C.5 and C.6 responses, with a table of 256 bytes that evicts", () => {
  test("C.5 three responses without Huffman coding", () => {
    const blocks = [
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
       3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      "4803 3330 37c1 c0bf",
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
       677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
       553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
    ];
    expectDecoded(new HpackDecoder({ tableBytesMax: 256 }), examples(blocks, responseLists, responseTables));
  });

  test("C.6 three responses with Huffman coding", () => {
    const blocks = [
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
       919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
      "4883 640e ffc1 c0bf",
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
       821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
       4ee5 b106 3d50 07`,
    ];
    expectDecoded(new HpackDecoder({ tableBytesMax: 256 }), examples(blocks, responseLists, responseTables));
  });
});
