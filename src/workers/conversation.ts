/**
 * Questions and answers between two threads, each of which may ask the other: a message for each, told apart by a number.
 *
 * Stands between the threads' `postMessage` and those who ask. Every question is answered once, or rejected when the other side
 * says so or has gone; nothing is kept of one that is over.
 */

/** What travels. */
export type ThreadMessage =
  /** The first thing that a worker says: what was sent before might have been lost. */
  | { readonly kind: "listening" }
  | { readonly kind: "question"; readonly id: number; readonly question: unknown }
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "refusal"; readonly id: number; readonly message: string; readonly line: string };

/** The other side could not answer, or has gone. */
export class ConversationError extends Error {
  override readonly name = "ConversationError";
  /** What an operator is to read, where it is his mistake; else empty. */
  readonly line: string;

  constructor(message: string, line = "") {
    super(message);
    this.line = line;
  }
}

export interface ConversationOptions {
  /** Sends to the other side. */
  readonly post: (message: ThreadMessage) => void;
  /** Answers its questions; what it rejects with is told. An error's `line`, if it has one, is for the operator. */
  readonly answer: (question: unknown) => Promise<unknown>;
}

export class Conversation {
  readonly #options: ConversationOptions;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #ids = 0;
  #ended = "";

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  /** Rejects with a ConversationError. Whoever asks knows of what type the answer is. */
  ask<Answer>(question: unknown): Promise<Answer> {
    return this.#begin(question).promise as Promise<Answer>;
  }

  /** As `ask`, but rejects when there is no answer after so long. */
  async askWithin<Answer>(question: unknown, patienceMs: number): Promise<Answer> {
    const { id, promise } = this.#begin(question);
    const timer = setTimeout(() => {
      this.#asked.get(id)?.reject(new ConversationError("no answer in time"));
      this.#asked.delete(id);
    }, patienceMs);
    try {
      return (await promise) as Answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The other side has sent this. */
  received(message: ThreadMessage): void {
    if (message.kind === "listening") return;
    if (message.kind === "question") {
      void this.#answer(message.id, message.question);
      return;
    }
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.kind === "answer") asked?.resolve(message.answer);
    else asked?.reject(new ConversationError(message.message, message.line));
  }

  /** The other side has gone: nothing is answered any more. */
  end(why: string): void {
    this.#ended = why;
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const each of asked) each.reject(new ConversationError(why));
  }

  #begin(question: unknown): { readonly id: number; readonly promise: Promise<unknown> } {
    const id = ++this.#ids;
    const asked = Promise.withResolvers<unknown>();
    if (this.#ended === "") {
      this.#asked.set(id, asked);
      this.#options.post({ kind: "question", id, question });
    } else asked.reject(new ConversationError(this.#ended));
    return { id, promise: asked.promise };
  }

  async #answer(id: number, question: unknown): Promise<void> {
    const { post, answer } = this.#options;
    try {
      post({ kind: "answer", id, answer: await answer(question) });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Every error has a number of that name: where it was made.
      const told = error instanceof Error && "line" in error ? error.line : "";
      const line = typeof told === "string" ? told : "";
      post({ kind: "refusal", id, message, line });
    }
  }
}
