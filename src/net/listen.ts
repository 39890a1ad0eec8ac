/**
 * A listening TCP socket with a bound on its open connections.
 *
 * Stands between Bun.listen and the two products; what it adds runs once for each connection, never for each
 * chunk. `connectionsOpen` never exceeds `connectionsMax`: a connection beyond it is reset at once and its
 * owner never hears of it, so that a flood of connections cannot use up the process's files.
 */
import { setImmediate as immediate } from "node:timers/promises";
import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import { formatAddress, type Address } from "./address.ts";
import {
  clientProblem,
  followRenewals,
  type HandshakeError,
  leftInHandshake,
  listenerOptions,
  type ListenerTls,
} from "./tls.ts";
import { peerOf } from "./peer.ts";

/**
 * Bun's socket callbacks. `open` must set `socket.data`: a socket that closes without it counts as refused. Over TLS
 * `open` comes before the handshake, and nothing may be written until `secured`.
 */
export type ListenHandlers<Data> = Omit<SocketHandler<Data>, "handshake"> &
  Required<Pick<SocketHandler<Data>, "open" | "data">> & {
    /** The TLS handshake is done, and the client is let in. */
    readonly secured?: (socket: Socket<Data>) => void;
    /**
     * The TLS handshake came to nothing; the connection is closed behind this call. `left`: the client went away,
     * as those do who only look whether the port is open.
     */
    readonly handshakeFailed?: (socket: Socket<Data>, reason: string, left: boolean) => void;
  };

export interface ListenOptions<Data> {
  readonly address: Address;
  /** The flag that the address is from, for errors; `--listen-addr` when absent. */
  readonly flag?: string;
  /** Open connections at which further ones are reset. */
  readonly connectionsMax: number;
  readonly handlers: ListenHandlers<Data>;
  /** Hears of each connection that was reset because `connectionsMax` were open; `peer` is its address, `host:port`. */
  readonly refused?: (peer: string) => void;
  /** Without it connections are plain TCP. */
  readonly tls?: ListenerTls | undefined;
  /**
   * The port is shared with all others of this user who listen so: the kernel gives each connection to one of them. Nobody
   * is refused then: see `refuseTakenPort`.
   */
  readonly reusePort?: boolean | undefined;
}

export interface Listener {
  /** The address in use: its port is the real one where 0 was asked for. */
  readonly address: Address;
  /** Accepted connections that are not closed yet. */
  readonly connectionsOpen: number;
  /** Connections that were reset because `connectionsMax` were open. */
  readonly connectionsRefused: number;
  /** Accepts no more; the connections that are open go on. Those that the kernel alone has accepted are reset. */
  stop(): void;
  /** The same once whoever the kernel has accepted by now is accepted here, too: a turn of the event loop later. */
  stopBehindQueue(): Promise<void>;
}

/** Listening failed: the message names the flag, the address and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  /** The system's error code, such as EADDRINUSE; empty where it gave none. */
  readonly code: string;

  constructor(message: string, code: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Listens on a TCP address; an empty host means every interface. Throws `ListenError`. */
export function listen<Data>(options: ListenOptions<Data>): Listener {
  const { address, flag = "--listen-addr", connectionsMax, tls } = options;
  const { secured, handshakeFailed, ...handlers } = options.handlers;
  let connectionsOpen = 0;
  let connectionsRefused = 0;

  const callbacks: SocketHandler<Data> = {
    ...handlers,
    open(socket) {
      if (connectionsOpen >= connectionsMax) {
        connectionsRefused++;
        const peer = peerOf(socket);
        socket.terminate();
        options.refused?.(peer);
        return;
      }
      connectionsOpen++;
      void handlers.open(socket);
    },
    ...(tls === undefined
      ? {}
      : {
          handshake(socket: Socket<Data | undefined>, ok: boolean, error: HandshakeError) {
            if (socket.data === undefined) return;
            const problem = clientProblem(socket, ok, error, tls);
            if (problem === "") {
              secured?.(socket as Socket<Data>);
              return;
            }
            handshakeFailed?.(socket as Socket<Data>, problem, leftInHandshake(error));
            socket.end(); // Not `terminate`: the client shall read the alert.
          },
        }),
    close(socket: Socket<Data | undefined>, error) {
      if (socket.data === undefined) return;
      connectionsOpen--;
      void handlers.close?.(socket as Socket<Data>, error);
    },
  };
  const server = bind(address, flag, callbacks, tls, options.reusePort ?? false);
  if (tls !== undefined) followRenewals(server, tls);

  return {
    address: { hostname: address.hostname, port: server.port },
    get connectionsOpen() {
      return connectionsOpen;
    },
    get connectionsRefused() {
      return connectionsRefused;
    },
    stop() {
      server.stop(false);
    },
    async stopBehindQueue() {
      // Sockets are looked at between the two: all that wait are accepted there.
      await immediate();
      await immediate();
      server.stop(false);
    },
  };
}

/**
 * Whoever listens there already would share its connections with those who listen with `reusePort`. Throws `ListenError` when
 * there is somebody, or when nobody could listen there at all. Any port, 0, is free.
 */
export function refuseTakenPort(address: Address, flag: string): void {
  if (address.port === 0) return;
  const socket = { open: (opened: Socket) => opened.terminate(), data() {} };
  bind(address, flag, socket, undefined, false).stop(true);
}

function bind<Data>(
  address: Address,
  flag: string,
  socket: SocketHandler<Data>,
  tls: ListenerTls | undefined,
  reusePort: boolean,
): TCPSocketListener<Data> {
  const { hostname, port } = address;
  const everyInterface = hostname === "";
  const bound = {
    port,
    allowHalfOpen: true,
    reusePort,
    socket,
    ...(tls === undefined ? {} : { tls: listenerOptions(tls) }),
  };
  try {
    return Bun.listen<Data>({ ...bound, hostname: everyInterface ? "::" : hostname });
  } catch (error) {
    const code = systemCode(error);
    if (!everyInterface || code === "EADDRINUSE" || code === "EACCES")
      throw listenError(flag, address, code, error);
  }
  // A machine without IPv6 has no "::".
  try {
    return Bun.listen<Data>({ ...bound, hostname: "0.0.0.0" });
  } catch (error) {
    throw listenError(flag, address, systemCode(error), error);
  }
}

function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function listenError(flag: string, address: Address, code: string, cause: unknown): ListenError {
  return new ListenError(`${flag} ${formatAddress(address)}: ${explain(code, address)}`, code, cause);
}

function explain(code: string, { hostname, port }: Address): string {
  switch (code) {
    case "EADDRINUSE":
      return "another process listens there already; stop it or choose another port";
    case "EACCES":
    case "EPERM":
      return `this user may not listen on port ${port}; choose a port above 1023 or grant CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${hostname} is not an address of this machine; use one of its own, or only :${port} for all of them`;
    case "EMFILE":
    case "ENFILE":
      return "no file descriptor is left; raise the limit of open files (ulimit -n)";
    case "":
    case "ENOTFOUND":
      return `${hostname} does not resolve; use an address of this machine, or only :${port} for all of them`;
    default:
      return `listening failed with ${code}`;
  }
}
