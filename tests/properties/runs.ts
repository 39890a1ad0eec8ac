/**
 * How often a law is tried: the usual number, and twenty times that in a long run (ETCDPROXY_TEST_LONG=1), which
 * is the fuzzing of `scripts/test --all`. Each failure prints the seed that repeats it.
 */
const FACTOR = process.env["ETCDPROXY_TEST_LONG"] === "1" ? 20 : 1;

export function runs(usual: number): number {
  return usual * FACTOR;
}
