import { describe, expect, test } from "bun:test";
import { MESSAGE_PREFIX_BYTES } from "../../../src/grpc/message-scanner.ts";
import { MessageCredit } from "../../../src/proxy/upstream/message-credit.ts";

describe("the credit of a stream of messages", () => {
  test("is given for prefixes at once, and for a message when it is consumed", () => {
    const credit = new MessageCredit();
    credit.handedOn(100);
    credit.handedOn(20);
    expect(credit.received(2 * MESSAGE_PREFIX_BYTES + 120)).toBe(2 * MESSAGE_PREFIX_BYTES);
    expect(credit.due(100)).toBe(100);
    expect(credit.due(20)).toBe(20);
  });

  test("is given at once for what has come of an unfinished message", () => {
    const credit = new MessageCredit();
    expect(credit.received(3)).toBe(3);
    expect(credit.received(1000)).toBe(1000);
  });

  test("is not given again when a message is consumed whose beginning was credited", () => {
    const credit = new MessageCredit();
    expect(credit.received(MESSAGE_PREFIX_BYTES + 60)).toBe(MESSAGE_PREFIX_BYTES + 60);
    credit.handedOn(100);
    expect(credit.received(40)).toBe(0);
    expect(credit.due(100)).toBe(40);
  });

  test("is given for the rest of a prefix that was cut", () => {
    const credit = new MessageCredit();
    expect(credit.received(2)).toBe(2);
    credit.handedOn(10);
    expect(credit.received(MESSAGE_PREFIX_BYTES - 2 + 10)).toBe(MESSAGE_PREFIX_BYTES - 2);
    expect(credit.due(10)).toBe(10);
  });

  test("is given for a message that is consumed while it is handed on", () => {
    const credit = new MessageCredit();
    credit.handedOn(100);
    expect(credit.due(100)).toBe(100);
    expect(credit.received(MESSAGE_PREFIX_BYTES + 100)).toBe(MESSAGE_PREFIX_BYTES);
  });

  test("of an empty message is its prefix's", () => {
    const credit = new MessageCredit();
    credit.handedOn(0);
    expect(credit.received(MESSAGE_PREFIX_BYTES)).toBe(MESSAGE_PREFIX_BYTES);
    expect(credit.due(0)).toBe(0);
  });
});
