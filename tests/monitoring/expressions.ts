/** What a PromQL expression names, found by what our metrics are called. */

/** The metrics that an expression reads, by the name of their family. */
export function metricsIn(expression: string): string[] {
  const withoutStrings = expression.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const names = withoutStrings.match(/\b(?:etcdproxy|etcd_grpc_proxy|grpc_server|process)_[a-z_]+/g) ?? [];
  return names.map((name) => name.replace(/(handling_seconds|duration_seconds)_(?:bucket|sum|count)$/, "$1"));
}

/** The labels that an expression matches or groups by. */
export function labelsIn(expression: string): string[] {
  const matched = [...expression.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = ""]) =>
    [...inside.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = ""]) => label),
  );
  const grouped = [...expression.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].flatMap(([, inside = ""]) =>
    inside.split(",").map((label) => label.trim()),
  );
  return [...matched, ...grouped];
}
