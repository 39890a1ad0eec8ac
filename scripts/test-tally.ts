/**
 * Counts of passed, failed and skipped tests: one group's, read from bun's JUnit report, and their sum, which is
 * the last line of `scripts/test`.
 *
 * Invariant: a group whose process failed never counts as free of failures, whatever its report says.
 */

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const nothing: Tally = { passed: 0, failed: 0, skipped: 0 };
export const onePassed: Tally = { ...nothing, passed: 1 };
export const oneFailed: Tally = { ...nothing, failed: 1 };
export const oneSkipped: Tally = { ...nothing, skipped: 1 };

export function sum(left: Tally, right: Tally): Tally {
  return {
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
  };
}

/** `12 passed, 0 failed`, and `, 3 skipped` when some were. */
export function describeTally({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

/**
 * The counts of one `bun test`.
 *
 * @param report its JUnit report; undefined when it wrote none, as after a crash.
 * @param exitStatus its exit status: a failure outside of any test shows only there.
 */
export function tallyOf(report: string | undefined, exitStatus: number): Tally {
  const root = /<testsuites\b[^>]*>/.exec(report ?? "")?.[0];
  if (root === undefined) return oneFailed;
  const attribute = (name: string): number =>
    Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? "0");
  const skipped = attribute("skipped");
  const reportedFailures = attribute("failures");
  const passed = attribute("tests") - reportedFailures - skipped;
  return { passed, skipped, failed: exitStatus === 0 ? reportedFailures : Math.max(1, reportedFailures) };
}
