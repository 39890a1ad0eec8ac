/**
 * The plain twin of the checker, for histories of a few operations: it tries every order that agrees with the times.
 */
import type { CheckOptions } from "./checker.ts";
import { isAnswered, type Operation } from "./history.ts";
import { execute, KvState } from "./kv-model.ts";
import { answerText } from "./kv-operation.ts";

export function isLinearizable(history: readonly Operation[], options: CheckOptions): boolean {
  return explains(options.initial ?? new KvState(), history, options);
}

function explains(state: KvState, rest: readonly Operation[], options: CheckOptions): boolean {
  if (!rest.some(isAnswered)) return true;
  return rest.some((operation) => {
    const others = rest.filter((other) => other !== operation);
    if (others.some(({ returnMs }) => returnMs < operation.callMs)) return false;
    const { answer, state: after } = execute(state, operation.request);
    if (isAnswered(operation)) {
      const { outcome } = operation;
      if (answerText(answer, options.detail) !== answerText(outcome.answer, options.detail)) return false;
      if (options.detail === "revisions" && after.revision !== outcome.revision) return false;
    }
    return explains(after, others, options);
  });
}
