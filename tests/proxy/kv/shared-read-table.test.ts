/** The table of reads finds what was put into it, and only that. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ReadGroup, SharedReadTable, type TableEntry } from "../../../src/proxy/kv/shared-read-table.ts";

class Entry implements TableEntry {
  readonly question: { readonly group: ReadGroup; readonly text: string };
  tableHash = 0;
  tableNext: TableEntry | null = null;

  constructor(group: ReadGroup, text: string) {
    this.question = { group, text };
  }
}

describe("the table of reads", () => {
  test("tells the same texts of different groups apart", () => {
    const table = new SharedReadTable<Entry>();
    const groups = [new ReadGroup(), new ReadGroup(), new ReadGroup()];
    const entries = groups.slice(0, 2).map((group) => new Entry(group, "k"));
    for (const entry of entries) table.add(entry);
    expect(groups.map((group) => table.get(group, "k"))).toEqual([...entries, null]);
  });

  test("tells long texts apart that differ in the middle only", () => {
    const table = new SharedReadTable<Entry>();
    const group = new ReadGroup();
    const texts = ["a", "b"].map((middle) => `${"x".repeat(500)}${middle}${"x".repeat(500)}`);
    for (const text of texts) table.add(new Entry(group, text));
    expect(texts.map((text) => table.get(group, text)?.question.text === text)).toEqual([true, true]);
    expect(table.get(group, "x".repeat(1001))).toBeNull();
  });

  test("behaves as a map, with many more entries than buckets, too", () => {
    const table = new SharedReadTable<Entry>();
    const group = new ReadGroup();
    const entries = Array.from({ length: 20_000 }, (_, index) => new Entry(group, `key ${index}`));
    for (const entry of entries) table.add(entry);
    expect(group.size).toBe(20_000);
    for (const [index, entry] of entries.entries())
      if (index % 3 === 0) expect(table.remove(entry)).toBe(true);
    for (const [index, entry] of entries.entries()) {
      expect(table.get(group, entry.question.text)).toBe(index % 3 === 0 ? null : entry);
    }
    expect(table.remove(entries[0]!)).toBe(false);
  });

  test("agrees with a map after any adding and removing", () => {
    const steps = fc.array(fc.record({ text: fc.string({ maxLength: 3 }), removes: fc.boolean() }));
    fc.assert(
      fc.property(steps, (walk) => {
        const table = new SharedReadTable<Entry>();
        const group = new ReadGroup();
        const map = new Map<string, Entry>();
        for (const { text, removes } of walk) {
          const known = map.get(text);
          expect(table.get(group, text)).toBe(known ?? null);
          if (removes && known !== undefined) {
            expect(table.remove(known)).toBe(true);
            map.delete(text);
          } else if (known === undefined) {
            const entry = new Entry(group, text);
            table.add(entry);
            map.set(text, entry);
          }
          expect(group.size).toBe(map.size);
        }
      }),
    );
  });
});
