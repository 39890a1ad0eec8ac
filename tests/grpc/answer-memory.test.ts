import { describe, expect, test } from "bun:test";
import { AnswerMemory, HeldAnswer } from "../../src/grpc/answer-memory.ts";
import { BufferBudget } from "../../src/http2/buffer-budget.ts";

describe("a held answer", () => {
  test("counts for the budget as long as it takes memory", () => {
    const budget = new BufferBudget(1000);
    const answer = new HeldAnswer(new AnswerMemory(budget), () => {});
    answer.holds(600);
    expect(budget.heldBytes).toBe(600);
    answer.holds(0);
    expect(budget.heldBytes).toBe(0);
  });

  test("that takes most is given up when there is no room for another", () => {
    const memory = new AnswerMemory(new BufferBudget(1000));
    const given: string[] = [];
    const small = new HeldAnswer(memory, () => given.push("small"));
    const large = new HeldAnswer(memory, () => {
      given.push("large");
      large.holds(0);
    });
    large.holds(700);
    small.holds(400);
    expect([given, small.heldBytes, memory.budgetedBytes]).toEqual([["large"], 400, 400]);
  });

  test("without a memory is only counted by itself", () => {
    const answer = new HeldAnswer(undefined, () => {});
    answer.holds(5);
    expect(answer.heldBytes).toBe(5);
  });
});
