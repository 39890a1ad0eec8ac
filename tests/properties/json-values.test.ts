/** A body of JSON values, cut anywhere, with any space between them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { jsonValues, JsonValuesError } from "../../src/proxy/json-values.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(200) });

const BYTES_MAX = 10_000;

async function* inPieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const edges = cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b);
  let start = 0;
  for (const end of [...edges, bytes.length]) {
    yield bytes.subarray(start, end);
    start = end;
  }
}

const value = fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue()));
const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
const cuts = fc.array(fc.nat(2000), { maxLength: 12 });

test("values come out whole, each by itself, however the body is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(space, value), { maxLength: 5 }),
      space,
      cuts,
      async (list, last, cuts) => {
        const text = list.map(([between, value]) => between + JSON.stringify(value)).join("") + last;
        const seen: unknown[] = [];
        for await (const one of jsonValues(inPieces(Buffer.from(text), cuts), BYTES_MAX))
          seen.push(JSON.parse(one));
        expect(seen).toEqual(list.map(([, value]) => JSON.parse(JSON.stringify(value)) as unknown));
      },
    ),
  );
});

test.each([
  ["is none", "key"],
  ["has something else behind the first", '{"a":1} 2'],
  ["is cut short", '{"a":"}"'],
  ["has a value that is too long", `{"a":"${"x".repeat(BYTES_MAX)}"}`],
])("a body that %s is refused", async (_what, text) => {
  const read = async (): Promise<void> => {
    for await (const _one of jsonValues(inPieces(Buffer.from(text), [3]), BYTES_MAX));
  };
  expect(read()).rejects.toThrow(JsonValuesError);
});
