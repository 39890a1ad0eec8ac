/**
 * Cases that hold on every target, but only with an etcd that is new enough: older ones are known to break them.
 */
import { testSince } from "../../harness/etcd-version.ts";
import type { Target, TargetName, Targets } from "../targets.ts";

const NAMES: readonly TargetName[] = ["direct", "gateway", "grpcProxy"];

const ANY_VERSION = "3.0";

/**
 * Registers a case for all targets that needs an etcd of at least `minimum` ("3.5").
 *
 * @param always the target on which it holds with any etcd.
 */
export type EachTargetSince = (
  minimum: string,
  name: string,
  run: (target: Target) => Promise<void>,
  always?: TargetName,
) => void;

export function eachTargetSinceOf(targets: Targets): EachTargetSince {
  return (minimum, name, run, always) => {
    for (const target of NAMES) {
      const needed = target === always ? ANY_VERSION : minimum;
      testSince(needed, `${target}: ${name}`, () => run(targets.target(target)));
    }
  };
}
