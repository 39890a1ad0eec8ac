/**
 * Asks a member how it is, by Maintenance.Status, on a connection that the channel lends.
 *
 * Stands between the health checks and the channel. For the member in use that is the very connection that calls use, so
 * one that carries nothing any more is found out as well.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import type { Probe, ProbeResult } from "../../endpoints/health-checks.ts";
import { STATUS_PATH, statusProblem, statusRefusal } from "../../etcd/member-status.ts";
import { CallHead } from "../../grpc/call-head.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { CallFailure, ClientCallHandler } from "../../grpc/client-call.ts";
import type { MemberCall } from "../../grpc/member-call.ts";
import { MessageReader } from "../../grpc/message-reader.ts";
import type { StandbyUse } from "../../grpc/standby-connections.ts";
import { Code, readStatus } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { DialFailure } from "../../net/dial-error.ts";
import { ownMetadata } from "./own-metadata.ts";

export interface StatusProbeOptions {
  readonly channel: Pick<Channel, "use" | "forgetEndpoint">;
  /** In whose name it is asked; "": in nobody's, which most members allow. */
  readonly token: () => string;
  /** Beyond it the member has ended the call by itself, should nobody have. */
  readonly timeoutMs: number;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** A status takes some hundred bytes. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** A gRPC message without fields. */
const EMPTY_MESSAGE = new Uint8Array(5);

export class StatusProbe implements Probe {
  readonly #options: StatusProbeOptions;
  #head = new CallHead(STATUS_PATH, []);
  #token = "";

  constructor(options: StatusProbeOptions) {
    this.#options = options;
  }

  start(endpoint: Endpoint, done: (result: ProbeResult) => void): () => void {
    const { channel, now, timeoutMs } = this.#options;
    const question = new Question(this.#currentHead(), timeoutMs, now, done);
    question.stopWaiting = channel.use(endpoint, question);
    return () => question.giveUp();
  }

  forget(endpoint: Endpoint): void {
    this.#options.channel.forgetEndpoint(endpoint);
  }

  /** One head for all calls, so that its fields are encoded once. */
  #currentHead(): CallHead {
    const token = this.#options.token();
    if (token !== this.#token) {
      this.#token = token;
      this.#head = new CallHead(STATUS_PATH, ownMetadata(token, false));
    }
    return this.#head;
  }
}

/** One call, from the wait for its connection to its answer. */
class Question implements StandbyUse, ClientCallHandler {
  stopWaiting = (): void => {};
  readonly #head: CallHead;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #done: (result: ProbeResult) => void;
  readonly #reader = new MessageReader(ANSWER_BYTES_MAX);
  #sentMs = 0;
  #call: MemberCall | null = null;
  #problem: string | null = null;
  #over = false;

  constructor(head: CallHead, timeoutMs: number, now: () => number, done: (result: ProbeResult) => void) {
    this.#head = head;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
    this.#done = done;
  }

  giveUp(): void {
    if (this.#over) return;
    this.#over = true;
    this.stopWaiting();
    this.#call?.cancel();
  }

  // From the channel.

  onReady(upstream: Upstream): void {
    if (this.#over) return;
    this.#sentMs = this.#now();
    const fields = this.#head.upstreamFields(upstream.endpoint.name, this.#timeoutMs);
    this.#call = upstream.openCall(STATUS_PATH, fields, ANSWER_BYTES_MAX, this);
    this.#call.sendMessageBytes(EMPTY_MESSAGE, 0, EMPTY_MESSAGE.length, true);
  }

  onFailed(reason: string, failure: DialFailure | null): void {
    if (failure === "exhausted") this.#end({ kind: "unknown" });
    else this.#end({ kind: "silent", reason, refused: failure === "refused" });
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (end) this.onAnswerTrailers(fields);
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#reader.read(bytes, start, end, (message, from, to) => {
      this.#problem = statusProblem(message.subarray(from, to));
    });
    this.#call?.consume(end - start);
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    const status = readStatus(fields) ?? { code: Code.UNKNOWN, message: "" };
    if (status.code !== Code.OK) this.#answered(statusRefusal(status));
    else this.#answered(this.#problem ?? "its status is empty");
  }

  onFailure({ status, notEtcd }: CallFailure): void {
    if (notEtcd) this.#answered(status.message);
    else this.#end({ kind: "silent", reason: status.message, refused: false });
  }

  onRequestSent(): void {}

  #answered(problem: string): void {
    if (problem === "") this.#end({ kind: "fit", latencyMs: this.#now() - this.#sentMs });
    else this.#end({ kind: "unfit", reason: problem });
  }

  #end(result: ProbeResult): void {
    if (this.#over) return;
    this.#over = true;
    this.#done(result);
  }
}
