/** The table of a connection's streams against its plain twin, a map. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { StreamTable } from "../../src/http2/stream-table.ts";
import type { Stream } from "../../src/http2/stream.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(100) });

/** The table looks at nothing of a stream but its id. */
const stream = (id: number): Stream => ({ id }) as Stream;

const ids = fc.integer({ min: 0, max: 2000 }).map((n) => 2 * n + 1);
const steps = fc.array(fc.tuple(fc.constantFrom("open", "end"), ids), { maxLength: 400 });

describe("a stream table", () => {
  test("holds what a map would hold, whatever opens and ends", () => {
    fc.assert(
      fc.property(steps, (commands) => {
        const table = new StreamTable();
        const twin = new Map<number, Stream>();
        for (const [command, id] of commands) {
          const known = twin.get(id);
          expect(table.get(id)).toBe(known);
          if (command === "open" && known === undefined) {
            const opened = stream(id);
            table.add(opened);
            twin.set(id, opened);
          } else if (command === "end" && known !== undefined) {
            table.remove(known);
            twin.delete(id);
          }
          expect(table.size).toBe(twin.size);
        }
        expect(new Set(table.all())).toEqual(new Set(twin.values()));
        for (const [id, open] of twin) expect(table.get(id)).toBe(open);
      }),
    );
  });

  test("keeps a stream that lives long beside all that come after it", () => {
    const table = new StreamTable();
    const old = stream(1);
    table.add(old);
    for (let id = 3; id < 5000; id += 2) {
      const brief = stream(id);
      table.add(brief);
      expect([table.get(1), table.get(id)]).toEqual([old, brief]);
      table.remove(brief);
      expect(table.get(id)).toBeUndefined();
    }
    expect(table.all()).toEqual([old]);
  });

  test("does not lose a stream by the removal of one it does not hold", () => {
    const table = new StreamTable();
    const held = stream(1);
    table.add(held);
    table.remove(stream(1));
    table.remove(stream(513));
    expect([table.size, table.get(1)]).toEqual([1, held]);
  });
});
