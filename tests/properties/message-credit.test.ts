/** What is credited of a stream of messages, under any cutting of the bytes and any order of consuming. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MESSAGE_PREFIX_BYTES } from "../../src/grpc/message-scanner.ts";
import { MessageCredit } from "../../src/proxy/upstream/message-credit.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(200) });

const lengths = fc.array(fc.nat(60), { maxLength: 12 });
const cuts = fc.array(fc.nat(1000), { maxLength: 30 });
/** Which of the messages that wait to be consumed is next, and after how many more it is. */
const choices = fc.array(fc.record({ which: fc.nat(), waiting: fc.nat(4) }), {
  minLength: 13,
  maxLength: 13,
});

describe("the credit of a stream of messages", () => {
  test("never exceeds what was received, and in the end is all of it", () => {
    fc.assert(
      fc.property(lengths, cuts, choices, (messageLengths, at, order) => {
        const credit = new MessageCredit();
        const ends: number[] = [];
        let streamBytes = 0;
        for (const length of messageLengths) ends.push((streamBytes += MESSAGE_PREFIX_BYTES + length));
        const edges = [...new Set([...at.map((cut) => cut % (streamBytes + 1)), streamBytes])]
          .filter((edge) => edge > 0)
          .toSorted((a, b) => a - b);

        let receivedBytes = 0;
        let creditedBytes = 0;
        let consumed = 0;
        let handedOn = 0;
        const waiting: number[] = [];
        const give = (bytes: number): void => {
          expect(bytes).toBeGreaterThanOrEqual(0);
          creditedBytes += bytes;
          expect(creditedBytes).toBeLessThanOrEqual(receivedBytes);
        };
        const consume = (): void => {
          const [bytes] = waiting.splice(order[consumed++]!.which % waiting.length, 1);
          give(credit.due(bytes!));
        };

        for (const edge of edges) {
          const chunkBytes = edge - receivedBytes;
          receivedBytes = edge;
          while (handedOn < ends.length && ends[handedOn]! <= edge) {
            const length = messageLengths[handedOn++]!;
            credit.handedOn(length);
            waiting.push(length);
            while (waiting.length > order[consumed]!.waiting) consume();
          }
          give(credit.received(chunkBytes));
        }
        while (waiting.length > 0) consume();
        expect(creditedBytes).toBe(streamBytes);
      }),
    );
  });

  test("lets the rest of a message come, however large it is", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1 }), (chunks) => {
        const credit = new MessageCredit();
        for (const bytes of chunks) expect(credit.received(bytes)).toBe(bytes);
      }),
    );
  });
});
