/**
 * Whether name servers are there at all, asked before they are asked for names.
 *
 * Stands beside the resolver. The runtime's resolver does not see that nobody listens at a name server's port: it waits its
 * whole time, and keeps a processor busy all that while. A socket of its own is told at once. No answer in a moment
 * says nothing: the resolver waits for that better.
 */
import { createSocket, type Socket } from "node:dgram";
import { isIpLiteral, parseHostAndPort } from "./address.ts";

/** How long a name server may take to refuse. */
const PATIENCE_MS = 200;
/** How long what was found out counts. */
const VALID_MS = 1000;
const DNS_PORT = 53;
/** A query for the name servers of the root (RFC 1035 §4): every name server has some answer to it. */
const QUERY = new Uint8Array([0x0e, 0x7c, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]);

export class NameServerProbe {
  readonly #servers: () => readonly string[];
  #lastMs = Number.NEGATIVE_INFINITY;
  #last: Promise<boolean> = Promise.resolve(false);

  /** @param servers `address` or `address:port` of each */
  constructor(servers: () => readonly string[]) {
    this.#servers = servers;
  }

  /** True when nobody listens at any of the name servers. Never rejects. */
  allRefuse(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs - this.#lastMs >= VALID_MS) {
      this.#lastMs = nowMs;
      this.#last = this.#ask();
    }
    return this.#last;
  }

  async #ask(): Promise<boolean> {
    const servers = this.#servers();
    if (servers.length === 0) return false;
    const refusals = await Promise.all(servers.map((server) => refuses(server)));
    return refusals.every(Boolean);
  }
}

async function refuses(server: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, PATIENCE_MS, false);
  let socket: Socket | undefined;
  try {
    const { hostname, port = DNS_PORT } = addressOf(server);
    const asking = createSocket(hostname.includes(":") ? "udp6" : "udp4");
    socket = asking;
    asking.on("error", (error) => resolve("code" in error && error.code === "ECONNREFUSED"));
    asking.on("message", () => resolve(false));
    asking.connect(port, hostname, () => asking.send(QUERY));
    return await promise;
  } catch {
    return false; // An address that this cannot ask: the resolver may.
  } finally {
    clearTimeout(timer);
    socket?.close();
  }
}

function addressOf(server: string): { hostname: string; port?: number | undefined } {
  return isIpLiteral(server) ? { hostname: server } : parseHostAndPort(server, "10.0.0.2:53");
}
