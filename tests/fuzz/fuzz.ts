/**
 * Seeded fuzzing: a body is run with many inputs that chance makes, each of a seed of its own.
 *
 * The number of inputs is what bounds a run, and a time box is what bounds it on a machine that is slow or loaded;
 * a long run (ETCDPROXY_TEST_LONG=1) has more of both. What fails tells the seed of its input: given back in
 * ETCDPROXY_FUZZ_SEED, every test begins with exactly that input.
 */
import { test } from "bun:test";
import { SeededRandom } from "../faults/seeded-random.ts";

const LONG = process.env["ETCDPROXY_TEST_LONG"] === "1";
const LONG_FACTOR = 100;
const BOX_MS = LONG ? 60_000 : 800;
/** One input that takes as long as this hangs. */
const HANG_MS = 60_000;
/** Seeds are numbers of 32 bits, of which those of one run follow each other. */
const SEED_LIMIT = 2 ** 32;

const firstSeed = chosenSeed();

export interface FuzzOptions {
  /** How many inputs there are in a usual run. */
  readonly inputs: number;
}

/**
 * Registers a test that runs `body` with one input after another. `body` throws when what it sees is wrong, and takes
 * every choice from `random`, so that the seed repeats it.
 */
export function fuzz(
  name: string,
  options: FuzzOptions,
  body: (random: SeededRandom) => void | Promise<void>,
): void {
  const inputs = options.inputs * (LONG ? LONG_FACTOR : 1);
  test(
    name,
    async () => {
      const endAt = performance.now() + BOX_MS;
      for (let input = 0; input < inputs; input++) {
        if (input > 0 && performance.now() > endAt) return;
        const seed = (firstSeed + input) % SEED_LIMIT;
        try {
          await body(new SeededRandom(seed));
        } catch (error) {
          throw new Error(`ETCDPROXY_FUZZ_SEED=${seed} repeats what "${name}" failed with: ${said(error)}`, {
            cause: error,
          });
        }
      }
    },
    BOX_MS + HANG_MS,
  );
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @throws Error when ETCDPROXY_FUZZ_SEED is no seed. */
function chosenSeed(): number {
  const text = process.env["ETCDPROXY_FUZZ_SEED"];
  if (text === undefined || text === "") return Date.now() % SEED_LIMIT;
  const seed = Number(text);
  if (!Number.isInteger(seed) || seed < 0 || seed >= SEED_LIMIT) {
    throw new Error(
      `ETCDPROXY_FUZZ_SEED is ${JSON.stringify(text)}: write a whole number below ${SEED_LIMIT}`,
    );
  }
  return seed;
}
