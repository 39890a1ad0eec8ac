/**
 * A history cut into one for each key, which is linearizable exactly when they all are (Herlihy and Wing: it is a
 * local property). Only where no operation is about several keys, or about revisions, which all keys share.
 */
import type { Operation } from "./history.ts";
import type { KvRequest } from "./kv-operation.ts";

/** The parts; the history itself, when it cannot be cut. */
export function separateKeys(history: readonly Operation[]): readonly (readonly Operation[])[] {
  const parts = new Map<string, Operation[]>();
  for (const operation of history) {
    const key = onlyKey(operation.request);
    if (key === undefined) return [history];
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  }
  return [...parts.values()];
}

/** The one key that a request is about; undefined when there are several, or it is about revisions. */
function onlyKey(request: KvRequest): string | undefined {
  if (request.kind === "put") return request.key;
  if (request.kind !== "txn") return request.rangeEnd === undefined ? request.key : undefined;
  const aboutRevisions = request.compare.some(({ target }) => target === "mod" || target === "create");
  if (aboutRevisions) return undefined;
  const keys = new Set([
    ...request.compare.map(({ key }) => key),
    ...[...request.success, ...request.failure].map(onlyKey),
  ]);
  const [key] = keys;
  return keys.size === 1 ? key : undefined;
}
