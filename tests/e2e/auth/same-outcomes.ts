/**
 * Scenes that are played on each target, and must end on the proxies as they do at etcd itself, whatever its version.
 *
 * The scene on `direct` comes first, and is checked for itself, so that three times nothing is not taken for the same.
 */
import { expect } from "bun:test";
import type { EachTarget, Target } from "../targets.ts";

/**
 * Registers a scene for all targets.
 *
 * @param scene what it resolves to must not name its target.
 * @param check what must hold of it at etcd itself.
 */
export function sameOutcomes<Outcome extends object>(
  eachTarget: EachTarget,
  name: string,
  scene: (target: Target) => Promise<Outcome>,
  check: (outcome: Outcome) => void,
): void {
  let atEtcd: { readonly outcome: Outcome } | undefined;
  eachTarget(name, async (target) => {
    const outcome = await scene(target);
    if (target.name === "direct") {
      check(outcome);
      atEtcd = { outcome };
      return;
    }
    if (atEtcd === undefined) throw new Error("the scene has failed at etcd itself");
    expect<object>(outcome).toEqual(atEtcd.outcome);
  });
}

/** How a call ended: `OK`, or code and text. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (error instanceof Error && "code" in error && "details" in error) {
      return `${String(error.code)} ${String(error.details)}`;
    }
    throw error;
  }
}
