/**
 * `/proxy/health`: whether a client of this proxy is served now, asked by one.
 *
 *      page ─> SelfClient (grpc-js) ── private Unix socket ──> Http2Downstream ─> router ─> member
 *
 * The socket is served by the engine and the router that serve all clients, without TLS: rules about certificates cannot
 * fail it. Nothing is opened before the first request, and one connection is kept from then on; when that is lost, the next
 * request opens another.
 */
import type { Socket } from "bun";
import { openPrivateSocket, type PrivateSocket } from "../../net/private-socket.ts";
import { healthAnswer, type Page } from "../../observe/page.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import { healthPageOf } from "../pages/health.ts";
import { type Downstreams, Http2Downstream } from "../port/http2-downstream.ts";
import type { SelfClient } from "./self-client.ts";

/** A client with its connection. */
interface Line {
  readonly client: SelfClient;
  readonly socket: PrivateSocket;
  connected: boolean;
}

export class SelfCheck {
  readonly #shared: () => Downstreams;
  readonly #own: OwnIdentity | null;
  #line: Line | null = null;
  #closed = false;

  /**
   * @param shared what serves all clients
   * @param own in whose name it asks; null: in nobody's
   */
  constructor(shared: () => Downstreams, own: OwnIdentity | null) {
    this.#shared = shared;
    this.#own = own;
  }

  /** Not to be called while a page is being made. */
  async page(): Promise<Page> {
    let line: Line;
    try {
      line = this.#line ??= await this.#open();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return healthAnswer(`the proxy cannot ask itself, for want of a Unix socket: ${reason}`);
    }
    const page = await healthPageOf(this.#own, (token, timeoutMs) => line.client.ask(token, timeoutMs));
    if (!line.connected) this.#end(line); // Somebody has taken its name away.
    return page;
  }

  close(): void {
    this.#closed = true;
    if (this.#line !== null) this.#end(this.#line);
  }

  async #open(): Promise<Line> {
    const { SelfClient } = await import("./self-client.ts");
    const socket = await openPrivateSocket<Http2Downstream>({
      open: (opened: Socket<Http2Downstream>) => {
        opened.data = new Http2Downstream(opened, this.#shared());
        line.connected = true;
        void line.socket.close(); // There is no other client to come.
      },
      data: ({ data }, chunk) => data.socket.onData(chunk),
      drain: ({ data }) => data.socket.onDrain(),
      end: ({ data }) => data.socket.onPeerEnd(),
      close: ({ data }, error) => {
        data.socket.onClose(error);
        this.#end(line);
      },
      error: (failed) => {
        failed.terminate();
      },
    });
    const line: Line = { client: new SelfClient(socket.path), socket, connected: false };
    if (this.#closed) this.#end(line);
    return line;
  }

  #end(line: Line): void {
    if (this.#line === line) this.#line = null;
    line.client.close();
    void line.socket.close();
  }
}
