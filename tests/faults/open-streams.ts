/** The calls of a member by its own count (etcd's `/metrics`), by the method's name: `Lock`. */

/** How many calls a member has ever begun to serve. */
export function startedCalls(endpoint: string): Promise<Record<string, number>> {
  return sumByMethod(endpoint, { started: 1, handled: 0 });
}

/** How many calls a member has under way: started less handled. */
export function openStreams(endpoint: string): Promise<Record<string, number>> {
  return sumByMethod(endpoint, { started: 1, handled: -1 });
}

/** Methods with a sum of zero are left out. */
async function sumByMethod(
  endpoint: string,
  weights: { readonly started: number; readonly handled: number },
): Promise<Record<string, number>> {
  const answer = await fetch(`http://${endpoint}/metrics`, { keepalive: false });
  const sums: Record<string, number> = {};
  for (const line of (await answer.text()).split("\n")) {
    const match = /^grpc_server_(started|handled)_total\{(?:.*,)?grpc_method="(\w+)".*\} (\S+)$/.exec(line);
    if (match === null) continue;
    const [, kind, method, count] = match;
    sums[method!] = (sums[method!] ?? 0) + Number(count) * weights[kind as "started" | "handled"];
  }
  return Object.fromEntries(Object.entries(sums).filter(([, sum]) => sum !== 0));
}
