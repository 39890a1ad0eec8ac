/** The worker's end of its conversation with the thread that started it. */
import { Conversation, type ThreadMessage } from "./conversation.ts";

declare const self: Worker;

/** Begins to listen to the main thread, in a worker: `answer` is asked what the main thread asks. */
export function conversationWithMain(answer: (question: unknown) => Promise<unknown>): Conversation {
  const conversation = new Conversation({ post: (message) => self.postMessage(message, []), answer });
  self.addEventListener("message", ({ data }: MessageEvent<ThreadMessage>) => conversation.received(data));
  self.postMessage({ kind: "listening" } satisfies ThreadMessage, []);
  return conversation;
}
