/**
 * What an operator should know of his values: those that have no effect, or another one than he may think.
 * Stands beside the start, which logs it, and `check-config`, which tells it.
 */
import type { Logger } from "../observe/log.ts";
import { emptyDomainRemarks } from "./discovery.ts";
import { unusedCallLogFlags } from "./logging-flags.ts";
import { leftUrlRemarks } from "./registration-flags.ts";
import type { ValueOrigins } from "./value-origin.ts";
import type { ProductFlags } from "./worker-messages.ts";

/** Lines for the log, before a product starts; `log` is the one that the product would write to. */
export function startRemarks(
  { product, flags }: ProductFlags,
  origins: ValueOrigins,
  log: Pick<Logger, "infoEnabled">,
): string[] {
  const unused = product === "grpc-proxy" ? unusedCallLogFlags(flags, log) : [];
  return [...emptyDomainRemarks(flags, origins), ...unused];
}

/** Lines for the log once a product serves: about what its clients will meet. */
export function servingRemarks({ product, flags }: ProductFlags, origins: ValueOrigins): string[] {
  return product === "grpc-proxy" ? leftUrlRemarks(flags, origins) : [];
}
