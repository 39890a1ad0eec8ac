/**
 * A worker's part of the program: it runs the product that the main thread orders, and answers what that asks.
 *
 * Signals come to the main thread only. An error that nobody caught ends nothing here either.
 */
import { createLogger } from "../observe/log.ts";
import { LeaseSlot } from "../proxy/cluster/lease-slot.ts";
import { CacheNotices } from "../proxy/kv/cache-notices.ts";
import { type Page, servePage } from "../observe/page.ts";
import { conversationWithMain } from "../workers/worker-side.ts";
import type { Conversation } from "../workers/conversation.ts";
import { logUnexpectedErrors, type ReadyLine, type RunningProduct } from "./lifecycle.ts";
import { startGatewayProduct } from "./start-gateway.ts";
import { startGrpcProxyProduct } from "./start-grpc-proxy.ts";
import type { MainQuestion, StartOrder, WorkerAnswers, WorkerQuestion } from "./worker-messages.ts";
import type { WorkerSeat } from "./worker-seat.ts";

/** The worker that keeps the registration of the process; who takes its place takes that over. */
const REGISTERING_WORKER = 0;

/** Waits for the main thread's orders. */
export function serveAsWorker(): void {
  const worker = new ServingWorker();
  worker.main = conversationWithMain((question) => worker.answer(question as WorkerQuestion));
}

class ServingWorker {
  /** Set before the first question comes. */
  main: Conversation | null = null;
  #product: RunningProduct | null = null;
  /** Those who can go before their page is made. */
  readonly #readers = new Map<number, AbortController>();

  async answer(question: WorkerQuestion): Promise<WorkerAnswers[WorkerQuestion["ask"]]> {
    switch (question.ask) {
      case "start":
        return await this.#start(question);
      case "metrics":
        return (await this.#product?.metricValues?.()) ?? [];
      case "page":
        return await this.#page(question.target, question.reader);
      case "page over":
        this.#readers.get(question.reader)?.abort();
        return null;
      case "reload":
        return (await this.#product?.reload?.()) ?? false;
      case "unregister":
        await this.#product?.unregister?.();
        return null;
      case "alive":
        return null;
      case "close":
        await this.#product?.close();
        return null;
    }
  }

  async #page(target: string, reader: number | undefined): Promise<Page | null> {
    const { pages } = this.#product ?? {};
    if (pages === undefined) return null;
    if (reader === undefined) return await servePage(pages, "GET", target);
    const over = new AbortController();
    this.#readers.set(reader, over);
    try {
      return await servePage(pages, "GET", target, () => over.signal);
    } finally {
      this.#readers.delete(reader);
      over.abort();
    }
  }

  async #start({ serve, worker, workers, notices, lease, log: logged }: StartOrder): Promise<ReadyLine> {
    const log = createLogger({ ...logged, worker });
    logUnexpectedErrors(log);
    const seat: WorkerSeat = {
      index: worker,
      notices: new CacheNotices(notices, workers, worker),
      registers: worker === REGISTERING_WORKER,
      lease: new LeaseSlot(lease),
      wholeMetrics: () => this.main!.ask<string>({ ask: "whole metrics" } satisfies MainQuestion),
    };
    this.#product =
      serve.product === "gateway"
        ? await startGatewayProduct(serve.flags, log, seat)
        : await startGrpcProxyProduct(serve.flags, log, seat);
    return this.#product.ready!;
  }
}
