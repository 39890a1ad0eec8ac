/**
 * The workers of a process: started, asked, started again when they die, stopped.
 *
 * Stands between who knows what workers do and Bun's threads. The first is started alone, and finds what is wrong with what
 * it is told; the others then find it right. One that dies takes its connections with it, and its place is taken by a
 * new one, at first within a tenth of a second. The other workers go on meanwhile, and the port is never without a listener
 * unless all die at the same time.
 */
import { Backoff } from "../base/backoff.ts";
import type { Logger } from "../observe/log.ts";
import { Conversation, ConversationError, type ThreadMessage } from "./conversation.ts";
import { HANG_LIMITS, type HangLimits, HangWatch } from "./hang-watch.ts";

export interface WorkerPoolOptions<Order, Started> {
  readonly count: number;
  /** The module that a worker runs: it begins with `conversationWithMain`. */
  readonly entry: string;
  /** What a worker is asked first. `first`: what the first worker answered; null for that one itself. */
  readonly order: (worker: number, first: Started | null) => Order;
  /** A question that a worker answers at once, whatever it does. */
  readonly alive: unknown;
  /** When a worker counts as one that hangs. */
  readonly hangLimits?: HangLimits;
  /** The first has answered its order, the others may not have yet. */
  readonly onFirst?: (started: ClosablePool) => void;
  /** Answers what workers ask. */
  readonly answer: (worker: number, question: unknown) => Promise<unknown>;
  /** It has died, and is not replaced yet. */
  readonly onDeath: (worker: number) => void;
  readonly log: Logger;
}

/** Workers that may be asked to stop. */
export interface ClosablePool {
  /** As `WorkerPool.close`. */
  close(question: unknown): Promise<void>;
}

/** Pauses before a worker that dies again is replaced. */
const RESTARTS = { firstMs: 100, limitMs: 5_000 };
/** A worker that has lived so long died of something else than its start. */
const SETTLED_MS = 10_000;

export class WorkerPool<Order, Started> {
  /** What the first worker answered to its order. */
  readonly first: Started;
  readonly #workers: readonly PooledWorker<Order, Started>[];

  private constructor(first: Started, workers: readonly PooledWorker<Order, Started>[]) {
    this.first = first;
    this.#workers = workers;
  }

  /** Resolves once all have answered their order. Rejects with a ConversationError if one refuses; none is left then. */
  static async start<Order, Started>(
    options: WorkerPoolOptions<Order, Started>,
  ): Promise<WorkerPool<Order, Started>> {
    const workers = Array.from({ length: options.count }, (_, index) => new PooledWorker(index, options));
    let closing = false;
    try {
      const first = await workers[0]!.start(null);
      options.onFirst?.({
        close(question) {
          closing = true;
          return closeAll(workers, question);
        },
      });
      await Promise.all(workers.slice(1).map((worker) => worker.start(first)));
      if (closing) throw new ConversationError("closed before all had started");
      for (const worker of workers) worker.keepAlive(first);
      return new WorkerPool(first, workers);
    } catch (error) {
      // Those that are closed end when their clients have.
      if (!closing) for (const worker of workers) worker.terminate();
      throw error;
    }
  }

  get count(): number {
    return this.#workers.length;
  }

  /** Asks one worker. Rejects with a ConversationError when it does not answer in time. */
  ask<Answer>(worker: number, question: unknown, patienceMs: number): Promise<Answer> {
    return this.#workers[worker]!.ask<Answer>(question, patienceMs);
  }

  /** Asks all; null for each that does not answer. */
  async askAll<Answer>(question: unknown, patienceMs: number): Promise<(Answer | null)[]> {
    const asked = this.#workers.map((worker) => worker.ask<Answer>(question, patienceMs).catch(() => null));
    return await Promise.all(asked);
  }

  /** Asks all to stop by this question, and ends them when they have answered, however long that takes. */
  async close(question: unknown): Promise<void> {
    await closeAll(this.#workers, question);
  }

  /** One hangs and cannot be ended: only a new process helps. */
  get isStuck(): boolean {
    return this.#workers.some((worker) => worker.isStuck);
  }
}

async function closeAll<Order, Started>(
  workers: readonly PooledWorker<Order, Started>[],
  question: unknown,
): Promise<void> {
  await Promise.all(workers.map((worker) => worker.close(question)));
}

class PooledWorker<Order, Started> {
  readonly #index: number;
  readonly #options: WorkerPoolOptions<Order, Started>;
  readonly #backoff = new Backoff({ ...RESTARTS, random: Math.random });
  #thread: Worker | null = null;
  #hangs: HangWatch | null = null;
  #conversation = new Conversation({ post() {}, answer: nothing });
  #first: Started | null = null;
  #kept = false;
  /** It has answered its order: before that it has no clients. */
  #serves = false;
  /** It died before it was to be kept. */
  #diedEarly = false;
  #closing = false;
  #startedAtMs = 0;

  constructor(index: number, options: WorkerPoolOptions<Order, Started>) {
    this.#index = index;
    this.#options = options;
  }

  get isStuck(): boolean {
    return this.#hangs?.isStuck ?? false;
  }

  start(first: Started | null): Promise<Started> {
    const { entry, order, answer, alive, hangLimits = HANG_LIMITS } = this.#options;
    // The same words as the process: profiles tell them.
    const argv = process.argv.slice(2);
    const thread = new Worker(entry, { name: `worker ${this.#index}`, argv });
    // What is said before the worker listens, while it loads its program.
    let unheard: ThreadMessage[] | null = [];
    const conversation = new Conversation({
      post: (message) => {
        if (unheard === null) thread.postMessage(message, []);
        else unheard.push(message);
      },
      answer: (question) => answer(this.#index, question),
    });
    this.#thread = thread;
    this.#conversation = conversation;
    this.#startedAtMs = performance.now();
    let failure = "";
    thread.addEventListener("message", ({ data }: MessageEvent<ThreadMessage>) => {
      if (data.kind === "listening") {
        for (const message of unheard ?? []) thread.postMessage(message, []);
        unheard = null;
      } else conversation.received(data);
    });
    thread.addEventListener("error", (event) => {
      failure = lastLine(event.message);
      event.preventDefault();
    });
    const hangs = new HangWatch(
      hangLimits,
      () => conversation.ask(alive),
      () => this.#endHanging(thread),
    );
    this.#hangs = hangs;
    thread.addEventListener("close", () => {
      hangs.end();
      this.#died(conversation, failure);
    });
    return this.#started(conversation.ask<Started>(order(this.#index, first)));
  }

  async #started(answer: Promise<Started>): Promise<Started> {
    this.#serves = false;
    const started = await answer;
    this.#serves = true;
    return started;
  }

  /** From here on it is replaced when it dies. */
  keepAlive(first: Started): void {
    this.#first = first;
    this.#kept = true;
    if (this.#diedEarly) this.#replace("");
  }

  ask<Answer>(question: unknown, patienceMs: number): Promise<Answer> {
    return this.#conversation.askWithin<Answer>(question, patienceMs);
  }

  async close(question: unknown): Promise<void> {
    this.#closing = true;
    // One that dies meanwhile has stopped as well.
    if (this.#serves) await this.#conversation.ask(question).catch(() => null);
    this.terminate();
  }

  terminate(): void {
    this.#closing = true;
    this.#thread?.terminate();
    this.#thread = null;
  }

  #endHanging(thread: Worker): void {
    this.#options.log.error("a worker hangs, and is ended", { worker: this.#index });
    thread.terminate();
  }

  #died(conversation: Conversation, failure: string): void {
    conversation.end("the worker has died");
    if (this.#closing) return;
    if (this.#kept) this.#replace(failure);
    else this.#diedEarly = true;
  }

  #replace(failure: string): void {
    this.#options.log.error("a worker has died, and another one takes its place", {
      worker: this.#index,
      ...(failure === "" ? {} : { error: failure }),
    });
    this.#options.onDeath(this.#index);
    if (performance.now() - this.#startedAtMs > SETTLED_MS) this.#backoff.reset();
    void this.#restart();
  }

  async #restart(): Promise<void> {
    await Bun.sleep(this.#backoff.next());
    if (this.#closing) return;
    try {
      await this.start(this.#first);
      this.#options.log.info("a worker has started again", { worker: this.#index });
    } catch (error) {
      if (this.#closing) return;
      // If it died, its end is dealt with by itself; one that refused is ended for it.
      this.#options.log.error("a worker cannot start", { worker: this.#index, error });
      this.#thread?.terminate();
    }
  }
}

async function nothing(): Promise<void> {}

/** Of an error in a worker Bun tells the source around it, too; what happened stands behind. */
function lastLine(message: string): string {
  return message.split("\n").findLast((line) => line.startsWith("error:")) ?? "";
}
