/** A stream of length-prefixed messages, read under any cutting of its bytes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { COMPRESSED_MESSAGE, MessageReader } from "../../src/grpc/message-reader.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(200) });

const LIMIT = 40;
const messages = fc.array(
  fc.record({ flag: fc.constantFrom(0, 0, 0, 0, 1), payload: fc.uint8Array({ maxLength: 43 }) }),
);
const cuts = fc.array(fc.nat(1000), { maxLength: 30 });

test("a message reader hands out every message until one cannot be read, however the bytes are cut", () => {
  fc.assert(
    fc.property(messages, cuts, (messages, cuts) => {
      const bytes = Buffer.concat(
        messages.map(({ flag, payload }) => Buffer.of(flag, 0, 0, 0, payload.length, ...payload)),
      );
      const reader = new MessageReader(LIMIT);
      const handedOut: string[] = [];
      const edges = cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b);
      let result = -1;
      let start = 0;
      for (const end of [...edges, bytes.length]) {
        // Each piece inside a larger chunk, which is gone once it was read.
        const chunk = new Uint8Array(end - start + 7).fill(0xee);
        chunk.set(bytes.subarray(start, end), 3);
        result = reader.read(chunk, 3, chunk.length - 4, (bytes, start, end) => {
          handedOut.push(Buffer.from(bytes.subarray(start, end)).toString("hex"));
        });
        chunk.fill(0xdd);
        if (result !== -1) break;
        start = end;
      }
      const unreadable = messages.findIndex(({ flag, payload }) => flag !== 0 || payload.length > LIMIT);
      const readable = unreadable === -1 ? messages : messages.slice(0, unreadable);
      expect(handedOut).toEqual(readable.map(({ payload }) => Buffer.from(payload).toString("hex")));
      const length = messages[unreadable]?.payload.length;
      expect(result).toBe(length === undefined ? -1 : length > LIMIT ? length : COMPRESSED_MESSAGE);
      if (result === -1) expect(reader.heldBytes).toBe(0);
    }),
  );
});
