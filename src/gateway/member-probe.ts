/**
 * Asks a member whether it serves, in the words that a TCP gateway can know: HTTP/2's and TLS's first ones.
 *
 * Stands between the health checks and the dialer. A connection alone tells nothing, since the kernel accepts for a stopped
 * process: a member in plain text must answer HTTP/2's preface by SETTINGS (RFC 9113 §3.4), one that speaks TLS must answer
 * in the handshake, be it with an alert: whom it trusts is between it and the clients. Which of the two it speaks is found
 * out where the operator did not say it.
 */
import type { Socket } from "bun";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Probe, ProbeResult } from "../endpoints/health-checks.ts";
import type { Dial, DialOwner } from "../net/dial.ts";
import { Dialer } from "../net/dial.ts";
import type { DialError } from "../net/dial-error.ts";
import type { DnsResolver } from "../net/resolver.ts";
import { createDialContext, dialTls, NO_CREDENTIALS, type SecureContext } from "../net/tls.ts";
import type { LoopGuard } from "./loop-guard.ts";

export interface MemberProbeOptions {
  /** How long a dial may take; the checks give a probe up no later. */
  readonly timeoutMs: number;
  readonly resolver?: DnsResolver | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly loopGuard: Pick<LoopGuard, "leadsBack">;
}

/** HTTP/2's client preface with an empty SETTINGS frame (RFC 9113 §3.4, §6.5). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
const FRAME_HEADER_BYTES = 9;
const FRAME_TYPE_AT = 3;
const FRAME_TYPE_SETTINGS = 4;
/** A connect that is not answered cannot be called off: this often one more of them is made to a black hole. */
const STUCK_RETRY_MS = 3_000;

type Speech = "plain" | "tls";

export class MemberProbe implements Probe {
  readonly #options: MemberProbeOptions;
  readonly #dialer: Dialer<Question | null>;
  /** What endpoints without a scheme were found to speak. */
  readonly #found = new Map<string, Speech>();
  #anyCertificate: SecureContext | undefined;

  constructor(options: MemberProbeOptions) {
    this.#options = options;
    this.#dialer = new Dialer<Question | null>({
      timeoutMs: options.timeoutMs,
      retryDelayMs: STUCK_RETRY_MS,
      resolver: options.resolver,
      now: options.now,
      handlers: {
        data: (socket, chunk) => socket.data?.received(chunk),
        end: (socket) => socket.data?.ended(),
        close: (socket) => socket.data?.ended(),
        // Whatever is wrong shows as the end of the connection, which follows.
        error: (socket) => {
          socket.terminate();
        },
      },
    });
  }

  start(endpoint: Endpoint, done: (result: ProbeResult) => void): () => void {
    let question: Question;
    const ask = (speech: Speech, last: boolean): void => {
      const { hostname, port, name } = endpoint;
      const tls = speech === "tls" ? dialTls(this.#contextForAnyCertificate(), hostname, false) : undefined;
      question = new Question(speech, this.#options, endpoint, (result) => {
        if (result !== "speaks otherwise") {
          if (result.kind === "fit" && endpoint.scheme === "unstated") this.#found.set(name, speech);
          done(result);
        } else if (last) {
          this.#found.delete(name);
          const reason =
            endpoint.scheme === "unstated"
              ? "it speaks neither HTTP/2 nor TLS"
              : `it does not speak ${SPEECHES[speech]}`;
          done({ kind: "silent", reason, refused: false });
        } else {
          ask(speech === "tls" ? "plain" : "tls", true);
        }
      });
      question.dial = this.#dialer.start({ hostname, port, name, tls }, question, question);
    };
    switch (endpoint.scheme) {
      case "http":
        ask("plain", true);
        break;
      case "https":
        ask("tls", true);
        break;
      case "unstated":
        ask(this.#found.get(endpoint.name) ?? "plain", false);
        break;
    }
    return () => question.giveUp();
  }

  forget(endpoint: Endpoint): void {
    this.#found.delete(endpoint.name);
  }

  #contextForAnyCertificate(): SecureContext {
    this.#anyCertificate ??= createDialContext({ ...NO_CREDENTIALS, trustedCa: "" });
    return this.#anyCertificate;
  }
}

const SPEECHES: Readonly<Record<Speech, string>> = { plain: "HTTP/2", tls: "TLS" };

/** One connection that asks one thing. */
class Question implements DialOwner<Question | null> {
  dial: Dial | undefined;
  readonly #speech: Speech;
  readonly #options: MemberProbeOptions;
  readonly #endpoint: Endpoint;
  readonly #done: (result: ProbeResult | "speaks otherwise") => void;
  readonly #startedMs: number;
  #socket: Socket<Question | null> | null = null;
  #answer: Uint8Array = new Uint8Array(0);
  #over = false;

  constructor(
    speech: Speech,
    options: MemberProbeOptions,
    endpoint: Endpoint,
    done: (result: ProbeResult | "speaks otherwise") => void,
  ) {
    this.#speech = speech;
    this.#options = options;
    this.#endpoint = endpoint;
    this.#done = done;
    this.#startedMs = options.now();
  }

  dialled(socket: Socket<Question | null>): void {
    this.#socket = socket;
    if (this.#over) {
      this.#close();
    } else if (this.#options.loopGuard.leadsBack(socket, this.#endpoint)) {
      this.#end({ kind: "silent", reason: "resolves to the gateway's own listen address", refused: true });
    } else if (this.#speech === "tls") {
      this.#fit();
    } else {
      socket.write(PREFACE);
    }
  }

  dialFailed(error: DialError): void {
    if (error.reason === "exhausted") this.#end({ kind: "unknown" });
    else if (error.reason !== "tls")
      this.#end({ kind: "silent", reason: error.detail, refused: error.reason !== "timeout" });
    else if (isAlert(error.cause)) this.#fit();
    else this.#end("speaks otherwise");
  }

  received(chunk: Uint8Array): void {
    if (this.#over || this.#speech === "tls") return;
    this.#answer = this.#answer.length === 0 ? chunk : Buffer.concat([this.#answer, chunk]);
    if (this.#answer.length < FRAME_HEADER_BYTES) return;
    if (this.#answer[FRAME_TYPE_AT] === FRAME_TYPE_SETTINGS) this.#fit();
    else this.#end("speaks otherwise");
  }

  ended(): void {
    this.#end("speaks otherwise");
  }

  giveUp(): void {
    this.#over = true;
    this.dial?.abandon();
    this.#close();
  }

  #fit(): void {
    this.#end({ kind: "fit", latencyMs: this.#options.now() - this.#startedMs });
  }

  #end(result: ProbeResult | "speaks otherwise"): void {
    if (this.#over) return;
    this.#over = true;
    this.#close();
    this.#done(result);
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.data = null;
    socket.end();
  }
}

/** Whether a handshake failed by what the other side said in TLS, as against the end of the connection. */
function isAlert(cause: unknown): boolean {
  return cause instanceof Error && /ALERT/.test(cause.message);
}
