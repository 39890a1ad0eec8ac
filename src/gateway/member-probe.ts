/**
 * Asks a member whether it serves, in the words that a TCP gateway can know: HTTP/2's and TLS's first ones.
 *
 * Stands between the health checks and the dialer. A connection alone tells nothing, since the kernel accepts for a stopped
 * process: a member in plain text must answer HTTP/2's preface by SETTINGS (RFC 9113 §3.4), one that speaks TLS must answer
 * in the handshake, be it with an alert: whom it trusts is between it and the clients. Which of the two it speaks is found
 * out where the operator did not say it.
 *
 * A member that demands a certificate of its clients logs a line for each connection that shows none. Nothing else answers
 * for its process, so while it is well it is asked only as often as that is worth a line: when clients have sent it
 * something and nothing has come back, and now and then.
 */
import type { Socket } from "bun";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Probe, ProbeResult } from "../endpoints/health-checks.ts";
import type { Dial, DialOwner } from "../net/dial.ts";
import { Dialer } from "../net/dial.ts";
import type { DialError } from "../net/dial-error.ts";
import type { DnsResolver } from "../net/resolver.ts";
import { createDialContext, dialTls, NO_CREDENTIALS, type SecureContext } from "../net/tls.ts";
import type { MemberBytes } from "./connections.ts";
import type { LoopGuard } from "./loop-guard.ts";

export interface MemberProbeOptions {
  /** How long a dial may take; the checks give a probe up no later. */
  readonly timeoutMs: number;
  readonly resolver?: DnsResolver | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly loopGuard: Pick<LoopGuard, "leadsBack">;
  /** What has passed between a member and clients so far. */
  readonly bytesOf: (endpoint: string) => MemberBytes;
}

/** HTTP/2's client preface with an empty SETTINGS frame (RFC 9113 §3.4, §6.5). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
const FRAME_HEADER_BYTES = 9;
const FRAME_TYPE_AT = 3;
const FRAME_TYPE_SETTINGS = 4;
/** A connect that is not answered cannot be called off: this often one more of them is made to a black hole. */
const STUCK_RETRY_MS = 3_000;

/** A member that logs each question, and is well, is asked no later than this. */
const QUIET_MS = 10_000;
/** How long a member over TLS may take to say that it misses our certificate: TLS 1.3 tells that behind the handshake. */
const REFUSAL_MS = 1_000;

type Speech = "plain" | "tls";

/** What is known of a member over TLS: whether it misses a certificate of ours, and when it was well last. */
interface Manners {
  /** Null until it has had time to say it. */
  demandsCertificate: boolean | null;
  stopWaiting: () => void;
  wellMs: number;
  bytes: MemberBytes;
}

export class MemberProbe implements Probe {
  readonly #options: MemberProbeOptions;
  readonly #dialer: Dialer<Question | null>;
  /** What endpoints without a scheme were found to speak. */
  readonly #found = new Map<string, Speech>();
  readonly #manners = new Map<string, Manners>();
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
        error: (socket, error) => {
          if (isAlert(error)) socket.data?.refused();
          socket.terminate();
        },
      },
    });
  }

  isDue({ name }: Endpoint): boolean {
    const manners = this.#manners.get(name);
    if (manners?.demandsCertificate !== true) return true;
    const before = manners.bytes;
    manners.bytes = this.#options.bytesOf(name);
    const unanswered =
      manners.bytes.fromClients !== before.fromClients && manners.bytes.fromMember === before.fromMember;
    return unanswered || this.#options.now() - manners.wellMs >= QUIET_MS;
  }

  start(endpoint: Endpoint, done: (result: ProbeResult) => void): () => void {
    let question: Question;
    const ask = (speech: Speech, last: boolean): void => {
      const { hostname, port, name } = endpoint;
      const tls = speech === "tls" ? dialTls(this.#contextForAnyCertificate(), hostname, false) : undefined;
      question = new Question(speech, this.#options, endpoint, (result) => {
        if (speech === "tls") this.#learn(name, question, result);
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
    this.#manners.get(endpoint.name)?.stopWaiting();
    this.#manners.delete(endpoint.name);
  }

  /** Whether it is asked less often than the others, while it is well. */
  isQuiet({ name }: Endpoint): boolean {
    return this.#manners.get(name)?.demandsCertificate === true;
  }

  /** A member that is not well may come back with other manners. */
  #learn(name: string, question: Question, result: ProbeResult | "speaks otherwise"): void {
    if (result === "speaks otherwise" || result.kind === "silent") this.#manners.delete(name);
    if (result === "speaks otherwise" || result.kind !== "fit") return;
    const known = this.#manners.get(name);
    const manners: Manners = known ?? {
      demandsCertificate: null,
      stopWaiting: () => {},
      wellMs: 0,
      bytes: this.#options.bytesOf(name),
    };
    manners.wellMs = this.#options.now();
    this.#manners.set(name, manners);
    if (manners.demandsCertificate === null) {
      manners.stopWaiting = question.awaitRefusal(
        (demandsCertificate) => (manners.demandsCertificate = demandsCertificate),
      );
    }
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
  #wasRefused = false;
  #onRefusal: ((refused: boolean) => void) | null = null;
  #refusalTimer: ReturnType<typeof setTimeout> | undefined;

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
      this.#end({
        kind: "silent",
        reason: error.detail,
        refused: error.reason === "refused",
        unresolved: error.reason === "unresolved",
      });
    else if (isAlert(error.cause)) {
      this.#wasRefused = true;
      this.#fit();
    } else this.#end("speaks otherwise");
  }

  received(chunk: Uint8Array): void {
    if (this.#over || this.#speech === "tls") return;
    this.#answer = this.#answer.length === 0 ? chunk : Buffer.concat([this.#answer, chunk]);
    if (this.#answer.length < FRAME_HEADER_BYTES) return;
    if (this.#answer[FRAME_TYPE_AT] === FRAME_TYPE_SETTINGS) this.#fit();
    else this.#end("speaks otherwise");
  }

  ended(): void {
    if (this.#onRefusal !== null) this.#close();
    this.#end("speaks otherwise");
  }

  /** The member has refused, by an alert, what we have shown. */
  refused(): void {
    this.#wasRefused = true;
    this.#tellRefusal();
  }

  /**
   * The answer was a good one: waits for what the member may still say about us, unless the question is given up. To be
   * called while its end is told. Returns what ends the wait.
   */
  awaitRefusal(told: (refused: boolean) => void): () => void {
    this.#onRefusal = told;
    if (this.#wasRefused) this.#tellRefusal();
    else this.#refusalTimer = setTimeout(() => this.#close(), REFUSAL_MS);
    return () => this.#close();
  }

  giveUp(): void {
    this.#over = true;
    this.dial?.abandon();
    // An answered question is "given up" by the answer to it: it may wait on.
    if (this.#onRefusal === null) this.#close();
  }

  #tellRefusal(): void {
    const told = this.#onRefusal;
    this.#onRefusal = null;
    clearTimeout(this.#refusalTimer);
    told?.(this.#wasRefused);
  }

  #fit(): void {
    this.#end({ kind: "fit", latencyMs: this.#options.now() - this.#startedMs });
  }

  #end(result: ProbeResult | "speaks otherwise"): void {
    if (this.#over) return;
    this.#over = true;
    this.#done(result);
    if (this.#onRefusal === null) this.#close();
  }

  #close(): void {
    this.#tellRefusal();
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
