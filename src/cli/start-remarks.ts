/**
 * What an operator should know of his values before a product starts: those that have no effect.
 * Stands beside the start, which logs it, and `check-config`, which tells it.
 */
import type { Logger } from "../observe/log.ts";
import { emptyDomainRemarks } from "./discovery.ts";
import { unusedCallLogFlags } from "./logging-flags.ts";
import type { ValueOrigins } from "./value-origin.ts";
import type { ProductFlags } from "./worker-messages.ts";

/** Lines for the log; `log` is the one that the product would write to. */
export function startRemarks(
  { product, flags }: ProductFlags,
  origins: ValueOrigins,
  log: Pick<Logger, "infoEnabled">,
): string[] {
  const unused = product === "grpc-proxy" ? unusedCallLogFlags(flags, log) : [];
  return [...emptyDomainRemarks(flags, origins), ...unused];
}
