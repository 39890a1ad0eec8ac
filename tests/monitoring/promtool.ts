/** Prometheus's own tool, which scripts/setup installs from Debian's packages. */

/** Its path. */
export const promtool: string = Bun.which("promtool") ?? "promtool: run scripts/setup";
