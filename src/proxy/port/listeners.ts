/**
 * The proxy's listeners: one for clients, and one for pages only where that is asked for.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { refuseCollision, refuseOwnAddress } from "../../endpoints/listener-conflicts.ts";
import { ByteCounts } from "../../grpc/byte-counts.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { connectionsWithinFileLimit } from "../../net/file-limit.ts";
import type { DnsResolver } from "../../net/resolver.ts";
import { withStatusPage } from "../../observe/status-page/status-page.ts";
import type { ServedTls } from "../../tls/served-tls.ts";
import { NO_CALLS } from "./call-routes.ts";
import type { Downstreams } from "./http2-downstream.ts";
import { Port } from "./port.ts";

/** A further listener, for pages only. */
export interface PagesListener {
  readonly address: Address;
  /** Without it the pages are in plain text. */
  readonly tls: ServedTls | undefined;
}

export interface ListenersOptions {
  readonly listenAddress: Address;
  /** Without it clients speak plain text. */
  readonly clientTls?: ServedTls | undefined;
  /** Connections of clients; the limit of open files may allow fewer. */
  readonly connectionsMax: number;
  /** `listenAddress` is shared with the other workers of this process. */
  readonly reusePort?: boolean | undefined;
  /** Where the pages are served too, and nothing else; null: only on `listenAddress`. */
  readonly metrics: PagesListener | null;
}

/** Those who read pages are few, and read them in turn. */
const PAGES_CONNECTIONS_MAX = 64;
const PAGES_STREAMS_MAX = 16;

/** @throws EndpointError, ListenError when listeners and endpoints would get in each other's way */
export async function checkAddresses(
  { listenAddress, metrics }: Pick<ListenersOptions, "listenAddress" | "metrics">,
  endpoints: readonly Endpoint[],
  /** What the endpoints come from, for the error. */
  source: "--endpoints" | "--discovery-srv",
  resolver: DnsResolver,
): Promise<void> {
  await refuseOwnAddress(endpoints, source, "--listen-addr", listenAddress, resolver);
  if (metrics === null) return;
  await refuseOwnAddress(endpoints, source, "--metrics-addr", metrics.address, resolver);
  const advice = "choose another port, or leave the flag out: the pages are on --listen-addr too";
  await refuseCollision(metrics.address, listenAddress, advice, resolver);
}

export class Listeners {
  readonly clients: Port;
  readonly pages: Port | null;

  /** Listens. @throws ListenError, and then nothing listens */
  constructor(options: ListenersOptions, shared: Downstreams) {
    const { listenAddress, clientTls, metrics } = options;
    const filesForPages = metrics === null ? 0 : PAGES_CONNECTIONS_MAX;
    this.clients = new Port({
      address: listenAddress,
      flag: "--listen-addr",
      connectionsMax: Math.min(options.connectionsMax, connectionsWithinFileLimit(1, filesForPages)),
      tls: clientTls,
      reusePort: options.reusePort,
      shared,
    });
    try {
      this.pages = metrics === null ? null : openPages(metrics, shared);
    } catch (error) {
      this.clients.close();
      throw error;
    }
  }

  /** Where this process listens, with the ports that it has. */
  get addresses(): readonly Address[] {
    return [this.clients, this.pages].flatMap((port) => (port === null ? [] : [parseAddress(port.address)]));
  }

  /** Each under its name in the metrics. */
  *[Symbol.iterator](): Iterator<readonly [string, Port]> {
    yield ["clients", this.clients];
    if (this.pages !== null) yield ["metrics", this.pages];
  }
}

/** A port with the pages of `shared` and the one for people, and without its calls. @throws ListenError */
export function openPages({ address, tls }: PagesListener, shared: Downstreams): Port {
  const settings = { ...shared.http2.settings, concurrentStreamsMax: PAGES_STREAMS_MAX };
  return new Port({
    address,
    flag: "--metrics-addr",
    connectionsMax: PAGES_CONNECTIONS_MAX,
    idleGiveWay: true,
    tls,
    shared: {
      ...shared,
      router: NO_CALLS,
      pages: withStatusPage(shared.pages),
      http2: { ...shared.http2, settings },
      bytes: new ByteCounts(),
    },
  });
}
