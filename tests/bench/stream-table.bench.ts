/**
 * What the table of streams costs beside a plain map, in nanoseconds for opening, finding twice and ending a
 * stream while 64 others are open: `bun tests/bench/stream-table.bench.ts`.
 */
import { StreamTable } from "../../src/http2/stream-table.ts";
import type { Stream } from "../../src/http2/stream.ts";

const OPEN_STREAMS = 64;
const STREAMS = 2_000_000;
const RUNS = 5;

interface Table {
  get(id: number): Stream | undefined;
  add(stream: Stream): void;
  remove(stream: Stream): void;
}

class MapTable implements Table {
  readonly #streams = new Map<number, Stream>();
  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }
  add(stream: Stream): void {
    this.#streams.set(stream.id, stream);
  }
  remove(stream: Stream): void {
    this.#streams.delete(stream.id);
  }
}

/** Nanoseconds for each stream that passes through the table. */
function run(table: Table): number {
  const streams = Array.from({ length: STREAMS }, (_, i) => ({ id: 2 * i + 1 }) as Stream);
  const startedNs = Bun.nanoseconds();
  for (let i = 0; i < STREAMS; i++) {
    const stream = streams[i]!;
    table.add(stream);
    if (table.get(stream.id) !== stream) throw new Error("lost a stream");
    const ending = streams[i - OPEN_STREAMS];
    if (ending === undefined) continue;
    if (table.get(ending.id) !== ending) throw new Error("lost a stream");
    table.remove(ending);
  }
  return (Bun.nanoseconds() - startedNs) / STREAMS;
}

for (const [name, make] of [
  ["ring and map", () => new StreamTable()],
  ["map alone", () => new MapTable()],
] as const) {
  const best = Math.min(...Array.from({ length: RUNS }, () => run(make())));
  console.log(`${name.padEnd(14)}${best.toFixed(0).padStart(6)} ns`);
}
