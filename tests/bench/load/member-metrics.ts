/**
 * What etcd tells of itself on its metrics page: how many calls it was sent, by clients and proxies alike.
 *
 * A page is one reading; the growth between two of them is what a load brought to etcd.
 */

const PROBE_MS = 10_000;

export class MemberMetrics {
  readonly #page: string;
  readonly #address: string;

  constructor(page: string, address: string) {
    this.#page = page;
    this.#address = address;
  }

  /** @param address `host:port` of a member. */
  static async read(address: string): Promise<MemberMetrics> {
    const answer = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(PROBE_MS) });
    return new MemberMetrics(await answer.text(), address);
  }

  /** The value of a metric without labels. @throws Error when there is none. */
  gauge(name: string): number {
    return this.#sum(name, "", true);
  }

  /** Calls of a gRPC method that began. */
  callsStarted(method: string): number {
    return this.#sum("grpc_server_started_total", `grpc_method="${method}"`);
  }

  /** Messages that clients sent to a gRPC method. */
  messagesReceived(method: string): number {
    return this.#sum("grpc_server_msg_received_total", `grpc_method="${method}"`);
  }

  /** Calls of a gRPC method that have begun and not ended. */
  openCalls(method: string): number {
    // A member of a version that tells of a method only once it was called has no calls that ended.
    const label = `grpc_method="${method}"`;
    return this.callsStarted(method) - this.#sum("grpc_server_handled_total", label, false);
  }

  /** The sum of all that have this name and, among their labels, `label`. */
  #sum(name: string, label: string, required = true): number {
    let sum = 0;
    let found = false;
    for (const line of this.#page.split("\n")) {
      if (!line.startsWith(name)) continue;
      const match = /^\w+(?:\{(.*)\})? (\S+)$/.exec(line);
      const isIt = line[name.length] === " " || line[name.length] === "{";
      if (!isIt || match === null) continue;
      const labels = match[1] ?? "";
      if (label !== "" && !labels.split(",").includes(label)) continue;
      sum += Number(match[2]);
      found = true;
    }
    if (!found && required) {
      throw new Error(`the metrics of ${this.#address} tell no ${name}${label === "" ? "" : `{${label}}`}`);
    }
    return sum;
  }
}
