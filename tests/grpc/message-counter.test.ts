import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isOneMessage, MessageCounter } from "../../src/grpc/message-counter.ts";
import { framed } from "./stand-in-member.ts";

const stream = fc.array(fc.uint8Array({ maxLength: 700 }).map(framed), { maxLength: 12 });

describe("messages that come cut anywhere", () => {
  test("are counted as their last byte comes, each once", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(9000), { maxLength: 20 }), (messages, cuts) => {
        const bytes = Buffer.concat(messages);
        const at = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const counter = new MessageCounter();
        let counted = 0;
        for (let i = 1; i < at.length; i++) {
          counted += counter.count(bytes, at[i - 1]!, at[i]!);
          let whole = 0;
          let end = 0;
          for (const message of messages) if ((end += message.length) <= at[i]!) whole++;
          expect(counted).toBe(whole);
        }
      }),
    );
  });

  test("count one by one as they do together", () => {
    const bytes = Buffer.concat([framed("a"), framed(""), framed("b".repeat(300))]);
    const counter = new MessageCounter();
    let counted = 0;
    for (let at = 0; at < bytes.length; at++) counted += counter.count(bytes, at, at + 1);
    expect(counted).toBe(3);
  });
});

test("one whole message is told from less, from more and from none", () => {
  const message = framed("abc");
  expect(isOneMessage(message, 0, message.length)).toBe(true);
  expect(isOneMessage(message, 0, message.length - 1)).toBe(false);
  expect(isOneMessage(Buffer.concat([message, message]), 0, 2 * message.length)).toBe(false);
  expect(isOneMessage(message, 0, 0)).toBe(false);
  expect(isOneMessage(framed(""), 0, 5)).toBe(true);
});
