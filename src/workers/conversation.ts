/**
 * Questions and answers between two threads, each of which may ask the other: a message for each, told apart by a number.
 *
 * Stands between the threads' `postMessage` and those who ask. Every question is answered once, or rejected when the other side
 * says so or has gone; nothing is kept of one that is over.
 */

/** What travels. */
export type ThreadMessage =
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
    if (this.#ended !== "") return Promise.reject(new ConversationError(this.#ended));
    const id = ++this.#ids;
    const asked = Promise.withResolvers<unknown>();
    this.#asked.set(id, asked);
    this.#options.post({ kind: "question", id, question });
    return asked.promise as Promise<Answer>;
  }

  /** As `ask`, but rejects when there is no answer after so long. */
  async askWithin<Answer>(question: unknown, patienceMs: number): Promise<Answer> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new ConversationError("no answer in time")), patienceMs);
    try {
      return await Promise.race([this.ask<Answer>(question), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The other side has sent this. */
  received(message: ThreadMessage): void {
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

  async #answer(id: number, question: unknown): Promise<void> {
    const { post, answer } = this.#options;
    try {
      post({ kind: "answer", id, answer: await answer(question) });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const line = error instanceof Error && "line" in error ? String(error.line) : "";
      post({ kind: "refusal", id, message, line });
    }
  }
}
