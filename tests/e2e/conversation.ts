/**
 * A streaming call of a grpc-js client as something to await: the next message, the status at the end.
 *
 * Messages that nobody has asked for yet are kept, at most as many as a test makes its server send.
 */
import type { ClientDuplexStream, ClientReadableStream, StatusObject } from "@grpc/grpc-js";
import { withDeadline } from "../harness/wait-for.ts";

type Call<Input, Output> = ClientReadableStream<Output> | ClientDuplexStream<Input, Output>;

export class Conversation<Input, Output> implements Disposable {
  readonly call: Call<Input, Output>;
  /** How the call ended; for every code, OK or not. */
  readonly status: Promise<StatusObject>;
  readonly #messages: Output[] = [];
  #ended = false;
  #wake: (() => void) | null = null;

  constructor(call: Call<Input, Output>) {
    this.call = call;
    this.status = new Promise((resolve) => {
      call.on("status", (status: StatusObject) => {
        this.#ended = true;
        resolve(status);
        this.#wake?.();
      });
    });
    call.on("data", (message: Output) => {
      this.#messages.push(message);
      this.#wake?.();
    });
    call.on("error", () => {}); // The status says the same.
  }

  send(message: Input): void {
    (this.call as ClientDuplexStream<Input, Output>).write(message);
  }

  /** Sends no more. */
  halfClose(): void {
    (this.call as ClientDuplexStream<Input, Output>).end();
  }

  /** The next message. @throws Error with the status when the call has ended instead. */
  async next(): Promise<Output> {
    const message = await this.nextOrEnd();
    if (message !== undefined) return message;
    const { code, details } = await this.status;
    throw new Error(`the call ended with ${code} ${details}; a message was expected`);
  }

  /** The next message, or undefined when the call has ended. */
  async nextOrEnd(): Promise<Output | undefined> {
    while (this.#messages.length === 0 && !this.#ended) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await withDeadline(woken, () => "the next message of a streaming call");
    }
    return this.#messages.shift();
  }

  /** Gives the call up. */
  cancel(): void {
    this.call.cancel();
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}
