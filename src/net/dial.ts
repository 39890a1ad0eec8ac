/**
 * TCP and TLS dials with a timeout, over Bun.connect, without a promise or a closure for each dial.
 *
 * Stands between Bun's client sockets and those who choose endpoints. A dial ends exactly once: with
 * `dialled` or `dialFailed`, never before `start` has returned, or silently when it was abandoned. Bun cannot abort a
 * connect, so one that ran out of time is left behind; the socket is terminated should it come up after all.
 */
import type { Socket, SocketHandler } from "bun";
import { isIpLiteral } from "./address.ts";
import { DialError, dialErrorFrom } from "./dial-error.ts";
import { ResolvedDial } from "./resolved-dial.ts";
import type { DnsResolver } from "./resolver.ts";
import { StuckDials } from "./stuck-dials.ts";
import { describeTlsError, type DialTls, dialOptions, type HandshakeError, serverProblem } from "./tls.ts";

/** Where to dial; `name` is its `host:port` for errors and for telling endpoints apart. */
export interface DialTarget {
  readonly hostname: string;
  readonly port: number;
  readonly name: string;
  /** Without it the connection is plain TCP. */
  readonly tls?: DialTls | undefined;
}

/** Bun's socket callbacks for connections that are up; the dial itself is told to the `DialOwner`. */
export type DialHandlers<Data> = Omit<SocketHandler<Data>, "open" | "connectError" | "handshake"> &
  Required<Pick<SocketHandler<Data>, "data">>;

export interface DialOwner<Data> {
  /**
   * The connection is up, its TLS handshake done, and `socket.data` is set; half-open connections are allowed on it.
   * A peer may still refuse our certificate: TLS 1.3 tells that later, as an `error` and the close of the socket.
   */
  dialled(socket: Socket<Data>): void;
  dialFailed(error: DialError): void;
}

/** A dial that is under way. */
export interface Dial {
  /** Forgets the dial: its owner hears no more of it, and its socket is terminated should it come up. */
  abandon(): void;
}

export interface DialerOptions<Data> {
  readonly handlers: DialHandlers<Data>;
  /** How long a dial may take, name lookup and TLS handshake included. */
  readonly timeoutMs: number;
  /** How often an address with a stuck dial may be dialled again. */
  readonly retryDelayMs: number;
  /** Looks host names up; without it the system does. */
  readonly resolver?: DnsResolver | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Dials that share one set of socket callbacks. */
export class Dialer<Data> {
  readonly #timeoutMs: number;
  readonly #resolver: DnsResolver | undefined;
  readonly #shared: SharedByAttempts<Data>;

  constructor(options: DialerOptions<Data>) {
    this.#timeoutMs = options.timeoutMs;
    this.#resolver = options.resolver;
    this.#shared = {
      handlers: attemptHandlers(options.handlers),
      stuck: new StuckDials(options.retryDelayMs),
      now: options.now ?? (() => performance.now()),
    };
  }

  /** Dials that ran out of time and that the kernel has not given up yet. */
  get stuckDials(): number {
    return this.#shared.stuck.pending;
  }

  /** The endpoint of this name answers somebody else: it is dialled again even if earlier dials are stuck. */
  endpointAnswers(name: string): void {
    this.#shared.stuck.nameAnswered(name);
  }

  /** Dials `target`; `data` becomes the `socket.data` of the connection. */
  start(target: DialTarget, data: Data, owner: DialOwner<Data>): Dial {
    if (this.#resolver === undefined || isIpLiteral(target.hostname)) {
      return new Attempt(this.#shared, target, data, owner, this.#timeoutMs);
    }
    return new ResolvedDial(
      target,
      owner,
      this.#resolver,
      this.#timeoutMs,
      (address, attemptOwner, timeoutMs) => {
        return new Attempt(this.#shared, address, data, attemptOwner, timeoutMs);
      },
    );
  }

  /** The same as a promise. Rejects with `DialError`. */
  dial(target: DialTarget, data: Data): Promise<Socket<Data>> {
    return new Promise((resolve, reject) => {
      this.start(target, data, { dialled: resolve, dialFailed: reject });
    });
  }
}

interface SharedByAttempts<Data> {
  readonly handlers: SocketHandler<Data | Attempt<Data>>;
  readonly stuck: StuckDials;
  readonly now: () => number;
}

/**
 * One connect(2). `abandoned` still waits for its timer, so that a black-holed address is known for stuck even
 * when every client gives up early; `stuck` waits for the kernel.
 */
type AttemptState = "dialling" | "abandoned" | "stuck" | "settled";

class Attempt<Data> implements Dial {
  readonly #shared: SharedByAttempts<Data>;
  readonly #target: DialTarget;
  readonly #data: Data;
  readonly #owner: DialOwner<Data>;
  readonly #timeoutMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: AttemptState = "dialling";
  /** The socket whose TLS handshake is under way. */
  #inHandshake: Socket<Data | Attempt<Data>> | undefined;

  constructor(
    shared: SharedByAttempts<Data>,
    target: DialTarget,
    data: Data,
    owner: DialOwner<Data>,
    timeoutMs: number,
  ) {
    this.#shared = shared;
    this.#target = target;
    this.#data = data;
    this.#owner = owner;
    this.#timeoutMs = timeoutMs;
    if (!shared.stuck.admit(target.name, shared.now())) {
      const detail = "no answer to an earlier dial yet";
      queueMicrotask(() => this.failed(new DialError("timeout", target.name, detail)));
      return;
    }
    this.#timer = setTimeout(expire, timeoutMs, this);
    try {
      // `connectError` tells of a failure; a promise that is rejected beside it is not reported as unhandled.
      void Bun.connect<Data | Attempt<Data>>({
        hostname: target.hostname,
        port: target.port,
        allowHalfOpen: true,
        data: this,
        socket: shared.handlers,
        ...(target.tls === undefined ? {} : { tls: dialOptions(target.tls) }),
      });
    } catch (error) {
      queueMicrotask(() => this.failed(dialErrorFrom(error, target.name)));
    }
  }

  get target(): DialTarget {
    return this.#target;
  }

  abandon(): void {
    if (this.#state !== "dialling") return;
    if (this.#inHandshake === undefined) this.#state = "abandoned";
    else this.#endHandshake();
  }

  /** The kernel has a connection. */
  opened(socket: Socket<Data | Attempt<Data>>): void {
    this.#shared.stuck.answered(this.#target.name);
    if (this.#target.tls === undefined) this.#up(socket);
    else if (this.#state === "dialling") this.#inHandshake = socket;
    else {
      this.#settle();
      socket.terminate();
    }
  }

  shookHands(socket: Socket<Data | Attempt<Data>>, ok: boolean, error: HandshakeError): void {
    if (this.#state !== "dialling" || this.#target.tls === undefined) return;
    const problem = serverProblem(ok, error, this.#target.tls.verify);
    if (problem === "") {
      this.#up(socket);
      return;
    }
    this.#endHandshake();
    this.#owner.dialFailed(new DialError("tls", this.#target.name, `TLS: ${problem}`, error));
  }

  /** The socket has closed before the connection was up. */
  closed(error: Error | undefined): void {
    if (this.#inHandshake === undefined || this.#state !== "dialling") return;
    this.#settle();
    const detail = error === undefined ? "closed by the peer" : describeTlsError(error);
    this.#owner.dialFailed(new DialError("tls", this.#target.name, `TLS: no handshake: ${detail}`, error));
  }

  #up(socket: Socket<Data | Attempt<Data>>): void {
    const state = this.#settle();
    if (state !== "dialling") {
      socket.terminate();
      return;
    }
    socket.data = this.#data;
    this.#owner.dialled(socket as Socket<Data>);
  }

  failed(error: DialError): void {
    if (this.#settle() === "dialling") this.#owner.dialFailed(error);
  }

  expired(): void {
    const told = this.#state === "dialling";
    if (this.#inHandshake !== undefined) {
      this.#endHandshake();
      const detail = `TLS: no handshake within ${this.#timeoutMs} ms`;
      this.#owner.dialFailed(new DialError("timeout", this.#target.name, detail));
      return;
    }
    this.#state = "stuck";
    this.#shared.stuck.add(this.#target.name, this.#shared.now());
    if (!told) return;
    const detail = `no answer within ${this.#timeoutMs} ms`;
    this.#owner.dialFailed(new DialError("timeout", this.#target.name, detail));
  }

  #endHandshake(): void {
    this.#settle();
    this.#inHandshake?.terminate();
  }

  /** Ends the attempt and returns the state it was in. */
  #settle(): AttemptState {
    const state = this.#state;
    clearTimeout(this.#timer);
    if (state === "stuck") this.#shared.stuck.remove(this.#target.name);
    this.#state = "settled";
    return state;
  }
}

function expire<Data>(attempt: Attempt<Data>): void {
  attempt.expired();
}

/** The owner's callbacks, with those of the dial beside them; a socket's `data` is its attempt until it is up. */
function attemptHandlers<Data>(handlers: DialHandlers<Data>): SocketHandler<Data | Attempt<Data>> {
  return {
    ...(handlers as SocketHandler<Data | Attempt<Data>>),
    open(socket) {
      if (socket.data instanceof Attempt) socket.data.opened(socket);
    },
    handshake(socket, ok, error: HandshakeError) {
      if (socket.data instanceof Attempt) socket.data.shookHands(socket, ok, error);
    },
    connectError(socket, error) {
      if (socket.data instanceof Attempt) socket.data.failed(dialErrorFrom(error, socket.data.target.name));
    },
    close(socket, error) {
      // A socket that never came up, or too late: its owner has not heard of it.
      if (socket.data instanceof Attempt) socket.data.closed(error);
      else void handlers.close?.(socket as Socket<Data>, error);
    },
    error(socket, error) {
      // TLS that breaks before the connection is up: `close` follows.
      if (socket.data instanceof Attempt) socket.data.closed(error);
      else void handlers.error?.(socket as Socket<Data>, error);
    },
  };
}
