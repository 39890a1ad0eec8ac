/** The `grpc-timeout` field: at most eight digits and a unit (gRPC over HTTP2, "Timeout"). */

const UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

/** The timeout in milliseconds, or undefined when the text is no timeout. */
export function parseTimeout(text: string): number | undefined {
  const unit = UNIT_MS[text.charAt(text.length - 1)];
  if (unit === undefined || !/^[0-9]{1,8}.$/.test(text)) return undefined;
  return Number(text.slice(0, -1)) * unit;
}

/** A timeout for the wire, rounded up, in the finest unit that has room for it; never negative. */
export function formatTimeout(timeoutMs: number): string {
  const us = Math.ceil(Math.max(0, timeoutMs) * 1000);
  if (us < 100_000_000) return `${us}u`;
  const ms = Math.ceil(timeoutMs);
  if (ms < 100_000_000) return `${ms}m`;
  return `${Math.min(99_999_999, Math.ceil(timeoutMs / 1000))}S`;
}
