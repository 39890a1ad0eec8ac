import { expect, test } from "bun:test";
import { Conversation, type ConversationError, type ThreadMessage } from "../../src/workers/conversation.ts";

type Answer = (question: unknown) => Promise<unknown>;

/** Two ends of a conversation, and all that was sent from the first to the second. */
function talk(
  answer: Answer,
  firstAnswer: Answer = async () => null,
): [Conversation, Conversation, ThreadMessage[]] {
  const sent: ThreadMessage[] = [];
  const first: Conversation = new Conversation({
    post: (message) => {
      sent.push(message);
      queueMicrotask(() => second.received(structuredClone(message)));
    },
    answer: firstAnswer,
  });
  const second = new Conversation({
    post: (message) => queueMicrotask(() => first.received(structuredClone(message))),
    answer,
  });
  return [first, second, sent];
}

const failureOf = async (asked: Promise<unknown>): Promise<ConversationError> =>
  asked.then(
    () => expect.unreachable("it was answered"),
    (error: ConversationError) => error,
  );

test("answers find their questions, in whatever order they come", async () => {
  const waiting: (() => void)[] = [];
  const [first] = talk(
    (question) => new Promise((resolve) => waiting.push(() => resolve(`about ${String(question)}`))),
  );
  const asked = [first.ask("a"), first.ask("b")];
  await Promise.resolve();
  await Promise.resolve();
  for (const answer of waiting.toReversed()) answer();
  expect(await Promise.all(asked)).toEqual(["about a", "about b"]);
});

test("both sides ask, with numbers of their own", async () => {
  const [first, second] = talk(
    async (question) => `second: ${String(question)}`,
    async (question) => `first: ${String(question)}`,
  );
  expect(await Promise.all([first.ask(1), second.ask(2)])).toEqual(["second: 1", "first: 2"]);
});

test("a refusal has its message, and the line for the operator where there is one", async () => {
  const [first] = talk(async (question) => {
    throw Object.assign(new Error("no"), question === "line" ? { line: "do this" } : {});
  });
  expect(await failureOf(first.ask("line"))).toMatchObject({ message: "no", line: "do this" });
  expect(await failureOf(first.ask("else"))).toMatchObject({ message: "no", line: "" });
});

test("who has waited for long enough is told so, and a late answer hurts nobody", async () => {
  const late = Promise.withResolvers<string>();
  const [first] = talk(() => late.promise);
  expect(await failureOf(first.askWithin("a", 5))).toMatchObject({ message: "no answer in time" });
  late.resolve("late");
  expect(await first.askWithin<string>("b", 10_000)).toBe("late");
});

test("nothing is answered any more when the other side has gone, and nothing is sent to it", async () => {
  const [first, , sent] = talk(() => new Promise(() => {}));
  const asked = first.ask("a");
  first.end("gone");
  expect(await failureOf(asked)).toMatchObject({ message: "gone" });
  expect(await failureOf(first.askWithin("b", 10_000))).toMatchObject({ message: "gone" });
  expect(sent).toHaveLength(1);
});
