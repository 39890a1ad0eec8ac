/** How many calls a member has under way, by its own count: started less handled (etcd's `/metrics`). */
export async function openStreams(endpoint: string): Promise<Record<string, number>> {
  const answer = await fetch(`http://${endpoint}/metrics`, { keepalive: false });
  const open: Record<string, number> = {};
  for (const line of (await answer.text()).split("\n")) {
    const match = /^grpc_server_(started|handled)_total\{(?:.*,)?grpc_method="(\w+)".*\} (\S+)$/.exec(line);
    if (match === null) continue;
    const [, kind, method, count] = match;
    open[method!] = (open[method!] ?? 0) + Number(count) * (kind === "started" ? 1 : -1);
  }
  return Object.fromEntries(Object.entries(open).filter(([, count]) => count !== 0));
}
