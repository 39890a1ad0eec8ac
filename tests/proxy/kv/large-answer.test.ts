import { beforeEach, describe, expect, test } from "bun:test";
import { Code, RESPONSE_HEAD, statusTrailers } from "../../../src/grpc/status.ts";
import { BufferBudget } from "../../../src/http2/buffer-budget.ts";
import type { Answer } from "../../../src/proxy/kv/answer.ts";
import { AnswerMemory } from "../../../src/grpc/answer-memory.ts";
import { LargeAnswer, type LargeAnswerTaker } from "../../../src/proxy/kv/large-answer.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { ReadClient } from "./read-client.ts";

const PIECE_BYTES = 100;
const BUDGET_BYTES = 2000;

let budget: BufferBudget;
let memory: AnswerMemory;

beforeEach(() => {
  budget = new BufferBudget(BUDGET_BYTES);
  memory = new AnswerMemory(budget);
});

/** An answer whose message has that many bytes, in a chunk with something else around it. */
function answerOf(messageBytes: number): Answer {
  const message = framed(new Uint8Array(messageBytes - 5).fill(7));
  const bytes = new Uint8Array(messageBytes + 4);
  bytes.set(message, 2);
  const trailers = statusTrailers({ code: Code.OK, message: "" });
  return { head: RESPONSE_HEAD, bytes, start: 2, end: 2 + messageBytes, trailers };
}

interface Taking {
  readonly client: ReadClient;
  readonly taker: LargeAnswerTaker | null;
}

/** Begins to send to a client who takes `windowBytes` at once. */
function begin(large: LargeAnswer, windowBytes: number): Taking {
  const client = new ReadClient({ path: "/etcdserverpb.KV/Range", windowBytes });
  const taking: Taking = { client, taker: large.sendTo(client) };
  client.receiver = {
    onRequestBytes() {},
    onRequestEnd() {},
    onAnswerSent: (bytes) => void taking.taker?.onSent(bytes),
    onCancel: () => taking.taker?.onCancel(),
  };
  return taking;
}

describe("a large answer", () => {
  test("is sent at once to a caller who takes all of it, and nothing is held", () => {
    const { client, taker } = begin(new LargeAnswer(answerOf(350), memory, PIECE_BYTES), 1000);
    expect(taker).toBeNull();
    expect([client.answerBytes.length, client.status?.code, memory.budgetedBytes]).toEqual([350, 0, 0]);
  });

  test("waits for one who does not, no more than a piece of it in his call", () => {
    const { client } = begin(new LargeAnswer(answerOf(350), memory, PIECE_BYTES), 130);
    expect([client.answerBytes.length, client.queuedBytes, memory.budgetedBytes]).toEqual([130, 70, 354]);
    client.take(69);
    expect([client.answerBytes.length, client.queuedBytes]).toEqual([199, 1]);
    client.take(41);
    expect([client.answerBytes.length, client.queuedBytes]).toEqual([240, 60]);
    client.take(60);
    // The last piece is all in the call's queue, and so is the end.
    expect([client.queuedBytes, memory.budgetedBytes, client.done]).toEqual([50, 0, false]);
    client.take(50);
    expect([client.answerBytes.length, client.done, client.status?.code]).toEqual([350, true, 0]);
    expect(client.violations).toEqual([]);
  });

  test("is held once for all who take it, until the last one is done", () => {
    const large = new LargeAnswer(answerOf(350), memory, PIECE_BYTES);
    const takings = [begin(large, 0), begin(large, 0), begin(large, 1000)];
    expect([memory.budgetedBytes, budget.heldBytes]).toEqual([354, 354]);
    takings[0]!.client.take(400);
    expect(takings[0]!.client.done).toBe(true);
    expect(budget.heldBytes).toBe(354);
    takings[1]!.client.cancel();
    expect([memory.budgetedBytes, budget.heldBytes]).toEqual([0, 0]);
  });
});

describe("when memory is needed", () => {
  test("the largest answer that waits is given up, with all who take it, each once", () => {
    const small = new LargeAnswer(answerOf(600), memory, PIECE_BYTES);
    const large = new LargeAnswer(answerOf(900), memory, PIECE_BYTES);
    const smallTaking = begin(small, 0);
    const takings = [begin(large, 0), begin(large, 150)];
    const third = begin(new LargeAnswer(answerOf(700), memory, PIECE_BYTES), 0);
    expect(takings.map(({ client }) => client.status?.code)).toEqual([8, 8]);
    expect(budget.heldBytes).toBe(604 + 704);
    for (const { client } of takings) client.take(1000);
    for (const { client } of takings) expect(client.violations).toEqual([]);
    for (const { client } of [smallTaking, third]) client.take(1000);
    expect([smallTaking, third].map(({ client }) => client.status?.code)).toEqual([0, 0]);
    expect([memory.budgetedBytes, budget.heldBytes]).toEqual([0, 0]);
  });

  test("an answer that does not fit at all is given up as soon as it has to wait", () => {
    const { client } = begin(new LargeAnswer(answerOf(3000), memory, PIECE_BYTES), 250);
    expect(client.status?.code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(budget.heldBytes).toBe(0);
    client.take(1000);
    expect([client.answerBytes.length, client.done]).toEqual([300, true]);
  });

  test("others who share the budget pay when they hold more", () => {
    const waiting = begin(new LargeAnswer(answerOf(500), memory, PIECE_BYTES), 0);
    const other = {
      budgetedBytes: 1900,
      shedLargest(): void {
        this.budgetedBytes = 0;
        budget.changed(-1900);
      },
    };
    budget.join(other);
    budget.changed(1900);
    expect([waiting.client.finished, budget.heldBytes]).toEqual([false, 504]);
  });

  test("nothing happens while nothing is held", () => {
    memory.shedLargest();
    expect(memory.budgetedBytes).toBe(0);
  });
});
