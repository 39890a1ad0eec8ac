/**
 * Clients that ask of the hot keys as fast as they are answered, each in front of its target, all into one history.
 *
 * Reads come in bursts of the same request, so that those of many clients overlap; between them serializable ones,
 * which are not judged here but would fill a cache. Some calls are given little time, some are cancelled.
 */
import { waitFor } from "../harness/wait-for.ts";
import { HistoryRecorder } from "./history-recorder.ts";
import { type LastSeen, randomRead, randomWrite } from "./hot-keys.ts";
import { type AskOptions, KvClient } from "./kv-client.ts";
import { isAnswered } from "./linearizability/history.ts";
import { pairsShown } from "./linearizability/kv-operation.ts";
import { SeededRandom } from "./seeded-random.ts";

/** A call that has no answer by then has failed. */
const CALL_MS = 2_000;
const SHORT_MS_MAX = 12;
const BURST_MAX = 6;
const PROGRESS_MAX_MS = 60_000;

/** Where clients go; one with several addresses takes the next when a call fails. */
export interface Target {
  readonly name: string;
  readonly addresses: readonly string[];
}

export class HotKeyClients implements AsyncDisposable {
  readonly recorder = new HistoryRecorder();
  readonly #workers: Promise<unknown>;
  /** Shared by all: what anybody saw last. */
  readonly #seen = new Map<string, LastSeen>();
  #stopped = false;

  constructor(targets: readonly Target[], clientsPerTarget: number, seed: number) {
    const sessions = targets.flatMap((target) =>
      Array.from({ length: clientsPerTarget }, (_, index) => ({ target, name: `${target.name}/${index}` })),
    );
    this.#workers = Promise.all(
      sessions.map(({ target, name }, place) => this.#work(name, target, new SeededRandom(seed + place))),
    );
  }

  /** Waits until `count` more operations have been answered. */
  async progress(count: number): Promise<void> {
    const target = this.recorder.answered + count;
    await waitFor(`${count} more answers`, () => this.recorder.answered >= target, {
      deadlineMs: PROGRESS_MAX_MS,
    });
  }

  /** Ends the asking; every operation has its outcome afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#workers;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #work(name: string, target: Target, random: SeededRandom): Promise<void> {
    const clients = target.addresses.map((address) => new KvClient(address));
    let client = random.pick(clients);
    for (let turn = 0; !this.#stopped; turn++) {
      const before = this.recorder.operations.length;
      const asks = random.chance(0.35)
        ? [this.#write(`${name}.${turn}`, name, target, client, random)]
        : this.#burst(name, target, client, random);
      const answers = await Promise.all(asks);
      if (!answers.includes(true)) client = random.pick(clients);
      this.#look(before);
    }
    for (const each of clients) each.close();
  }

  #write(unique: string, name: string, target: Target, client: KvClient, random: SeededRandom) {
    const request = randomWrite(random, unique, this.#seen);
    return this.recorder.ask(name, target.name, client, request, patience(random));
  }

  #burst(name: string, target: Target, client: KvClient, random: SeededRandom): Promise<boolean>[] {
    const request = randomRead(random);
    const asks = Array.from({ length: 1 + random.below(BURST_MAX) }, () =>
      this.recorder.ask(name, target.name, client, request, patience(random)),
    );
    if (request.kind === "range" && random.chance(0.5)) {
      const options = { serializable: true, timeoutMs: CALL_MS };
      asks.unshift(
        client.ask(request, options).then(
          () => true,
          () => false,
        ),
      );
    }
    return asks;
  }

  /** Remembers what the answers since `before` showed. */
  #look(before: number): void {
    for (const operation of this.recorder.operations.slice(before)) {
      if (!isAnswered(operation)) continue;
      for (const pair of pairsShown(operation.outcome.answer)) this.#seen.set(pair.key, pair);
    }
  }
}

/** How long a call may take: nearly always long enough. */
function patience(random: SeededRandom): AskOptions {
  const kind = random.fraction();
  if (kind < 0.02) return { timeoutMs: 1 + random.below(SHORT_MS_MAX) };
  if (kind < 0.04) return { timeoutMs: CALL_MS, signal: AbortSignal.timeout(random.below(SHORT_MS_MAX)) };
  return { timeoutMs: CALL_MS };
}
