import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { LeaseIdReader } from "../../src/etcd/lease-keep-alive.ts";
import {
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
} from "../../src/gen/etcdserverpb/lease_pb.ts";
import { runs } from "../properties/runs.ts";

const MARGIN_BYTES = 3;

function read(kind: "request" | "answer", message: Uint8Array): LeaseIdReader {
  const buffer = new Uint8Array(message.length + 2 * MARGIN_BYTES).fill(0xff);
  buffer.set(message, MARGIN_BYTES);
  const reader = new LeaseIdReader();
  const [start, end] = [MARGIN_BYTES, MARGIN_BYTES + message.length];
  if (kind === "request") reader.readRequest(buffer, start, end);
  else reader.readAnswer(buffer, start, end);
  return reader;
}

/** The id, put together again. */
function idOf({ low, middle, high }: LeaseIdReader): bigint {
  return BigInt.asIntN(64, (BigInt(high) << 56n) | (BigInt(middle) << 28n) | BigInt(low));
}

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

describe("the id of a heartbeat", () => {
  test("is read exactly, of every int64, in requests and answers", () => {
    fc.assert(
      fc.property(int64, int64, (ID, TTL) => {
        const request = toBinary(
          LeaseKeepAliveRequestSchema,
          create(LeaseKeepAliveRequestSchema, {
            ID,
            $unknown: [{ no: 9, wireType: 2, data: Uint8Array.of(1, 7) }],
          }),
        );
        expect(idOf(read("request", request))).toBe(ID);
        const header = { clusterId: 2n ** 64n - 1n, revision: TTL };
        const answer = toBinary(
          LeaseKeepAliveResponseSchema,
          create(LeaseKeepAliveResponseSchema, { header, ID, TTL }),
        );
        expect(idOf(read("answer", answer))).toBe(ID);
      }),
      { numRuns: runs(500) },
    );
  });

  test.each([
    ["is 0 when there is none", [], 0n],
    ["is the last one of several", [0x08, 0x05, 0x08, 0x07], 7n],
    ["is the same in more bytes than it needs", [0x08, 0x87, 0x80, 0x80, 0x80, 0x80, 0x00], 7n],
    ["has no bit beyond the 64th", [0x08, 0x87, ...Array<number>(8).fill(0x80), 0x7e], 7n],
  ])("%s", (_what, message, id) => {
    expect(idOf(read("request", Uint8Array.from(message)))).toBe(id);
  });

  test.each([
    ["is cut short", [0x08, 0x80], "an id is cut short"],
    [
      "has more than ten bytes",
      [0x08, ...Array<number>(10).fill(0x80), 0x00],
      "an id has more than ten bytes",
    ],
    ["is no number", [0x0a, 0x00], "field ID has the wire type 2"],
    ["stands behind a field that is cut short", [0x12, 0x05, 0x00], "a field of 5 bytes has 1 left"],
  ])("is refused when it %s", (_what, message, reason) => {
    expect(() => read("request", Uint8Array.from(message))).toThrow(reason);
  });
});
