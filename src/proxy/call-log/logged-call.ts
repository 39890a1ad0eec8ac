/**
 * A call that is logged: passes everything on as it is, and writes a line for each message and for the end.
 *
 * Stands between the call and who serves it. A unary call that goes well is two lines, the answer's with the code and the time; a
 * stream has further ones for its beginning and its end, and a call that fails one for its end.
 */
import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import { holdsSecret } from "../../etcd/shown-fields.ts";
import { shownMessage } from "../../etcd/shown-message.ts";
import type { CallHead } from "../../grpc/call-head.ts";
import type { MethodCounts } from "../../grpc/method-counts.ts";
import {
  type CallLimitName,
  type CallReceiver,
  NO_RECEIVER,
  type ServerCall,
} from "../../grpc/server-call.ts";
import { Code, codeName, readStatus, type Status } from "../../grpc/status.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import type { Logger } from "../../observe/log.ts";
import { MessageBeginnings } from "./message-beginnings.ts";

export interface LoggedCallOptions {
  readonly log: Logger;
  readonly values: boolean;
  /** The client's address. */
  readonly peer: string | undefined;
  /** Tells its lines from those of other calls of the thread. */
  readonly number: number;
  /** Undefined: no method that we know. */
  readonly method: DescMethod | undefined;
}

type Fields = Record<string, unknown>;

/** A peer's words: of a path that nobody knows, of an error. */
const WORDS_MAX = 256;

export class LoggedCall implements ServerCall, CallReceiver {
  readonly #call: ServerCall;
  readonly #options: LoggedCallOptions;
  readonly #fields: Fields;
  readonly #startedMs = performance.now();
  readonly #requests: MessageBeginnings;
  readonly #answers: MessageBeginnings;
  #receiver: CallReceiver = NO_RECEIVER;
  /** The answer of a unary call, until it is known how that ends. */
  #heldAnswer: Fields | null = null;
  #ended = false;

  constructor(call: ServerCall, options: LoggedCallOptions) {
    this.#call = call;
    this.#options = options;
    const { method } = options;
    const { path } = call.head;
    const [, service = "", name = ""] = shortened(path.slice(0, path.length - queryOf(path).length)).split(
      "/",
    );
    this.#fields = { call: options.number, peer: options.peer, "grpc.service": service, "grpc.method": name };
    this.#requests = new MessageBeginnings((beginning, length, compressed) =>
      this.#onRequest(this.#shown("request", method?.input, beginning, length, compressed)),
    );
    this.#answers = new MessageBeginnings((beginning, length, compressed) =>
      this.#onAnswer(this.#shown("response", method?.output, beginning, length, compressed)),
    );
    if (!this.#unary) this.#write("grpc call began", {});
  }

  get #unary(): boolean {
    return this.#options.method?.methodKind === "unary";
  }

  // As who serves it sees the call.

  get head(): CallHead {
    return this.#call.head;
  }

  get peer(): string | undefined {
    return this.#options.peer;
  }

  get deadlineMs(): number {
    return this.#call.deadlineMs;
  }

  get finished(): boolean {
    return this.#call.finished;
  }

  get counts(): MethodCounts | null {
    return this.#call.counts;
  }

  get receiver(): CallReceiver {
    return this.#receiver;
  }

  set receiver(receiver: CallReceiver) {
    this.#receiver = receiver;
    this.#call.receiver = this;
  }

  sendHead(fields: readonly HeaderField[]): void {
    this.#call.sendHead(fields);
  }

  sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    if (!this.finished) this.#answers.add(bytes, start, end);
    return this.#call.sendMessageBytes(bytes, start, end);
  }

  finishWithTrailers(fields: readonly HeaderField[]): void {
    this.#end(readStatus(fields));
    this.#call.finishWithTrailers(fields);
  }

  finishWithHead(fields: readonly HeaderField[]): void {
    this.#end(readStatus(fields));
    this.#call.finishWithHead(fields);
  }

  finish(): void {
    this.#end(undefined);
    this.#call.finish();
  }

  finishWithStatus(status: Status): void {
    this.#end(status);
    this.#call.finishWithStatus(status);
  }

  consume(bytes: number): void {
    this.#call.consume(bytes);
  }

  retain(bytes: number): void {
    this.#call.retain(bytes);
  }

  limitReached(limit: CallLimitName, reason: string): void {
    this.#call.limitReached(limit, reason);
  }

  // As the call sees who serves it.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#requests.add(bytes, start, end);
    this.#receiver.onRequestBytes(bytes, start, end);
  }

  onRequestEnd(): void {
    if (!this.#requests.atBoundary)
      this.#write("grpc request", { malformed: true, reason: "it was cut short" });
    this.#receiver.onRequestEnd();
  }

  onAnswerSent(bytes: number): void {
    this.#receiver.onAnswerSent(bytes);
  }

  onCancel(reason: string, status?: Status): void {
    this.#end(status ?? { code: Code.CANCELLED, message: reason });
    this.#receiver.onCancel(reason, status);
  }

  // The lines.

  #onRequest(message: Fields): void {
    this.#write("grpc request", message);
  }

  #onAnswer(message: Fields): void {
    if (this.#unary && this.#heldAnswer === null) this.#heldAnswer = message;
    else this.#write("grpc response", message);
  }

  #end(status: Status | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    const ending: Fields = {
      "grpc.code": codeName(status?.code ?? Code.UNKNOWN),
      "grpc.time_ms": Math.round((performance.now() - this.#startedMs) * 1000) / 1000,
    };
    if (!this.#answers.atBoundary) ending["malformed"] = true;
    const answer = this.#heldAnswer;
    if (answer !== null && status?.code === Code.OK) {
      this.#write("grpc response", { ...ending, ...answer });
      return;
    }
    if (answer !== null) this.#write("grpc response", answer);
    if (status !== undefined && status.message !== "") ending["error"] = this.#ofEtcd(status.message);
    this.#write("grpc call ended", ending);
  }

  /** A member that does not know a path repeats it. */
  #ofEtcd(message: string): string {
    const query = queryOf(this.#call.head.path);
    return shortened(query === "" ? message : message.replaceAll(query, "?…"));
  }

  #shown(
    kind: "request" | "response",
    type: DescMessage | undefined,
    beginning: Uint8Array,
    bytes: number,
    compressed: boolean,
  ): Fields {
    const length = type !== undefined && holdsSecret(type) ? {} : { bytes };
    if (compressed) return { ...length, compressed };
    if (type === undefined) return length;
    const { content, cut, malformed } = shownMessage(type, beginning, bytes, this.#options.values);
    return {
      ...length,
      ...(cut ? { cut } : {}),
      ...(malformed ? { malformed } : {}),
      [`grpc.${kind}.content`]: content,
    };
  }

  #write(message: string, fields: Fields): void {
    this.#options.log.info(message, { ...this.#fields, ...fields });
  }
}

/** From the question mark on, behind which may be anything, a token too; empty in the path of every method. */
function queryOf(path: string): string {
  const at = path.indexOf("?");
  return at < 0 ? "" : path.slice(at);
}

function shortened(words: string): string {
  return words.length > WORDS_MAX ? `${words.slice(0, WORDS_MAX)}…` : words;
}
