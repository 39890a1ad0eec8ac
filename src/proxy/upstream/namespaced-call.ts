/**
 * A call to a member whose keys lie in a namespace: requests get its prefix on their way, answers lose it.
 *
 * Stands between those who make calls, which know keys as clients do, and the call itself. Messages are mapped whole, so an
 * answer is gathered message by message; what its caller does not take yet stays here, and the member gets no credit for
 * it. A request that no member may see, and an answer that tells of other keys, end the call.
 */
import { RequestOutsideNamespace } from "../../etcd/namespace.ts";
import type { MapMessage, MethodMapping } from "../../etcd/namespace-rules.ts";
import { MalformedMessage } from "../../etcd/protobuf-cursor.ts";
import { type AnswerMemory, HeldAnswer } from "../../grpc/answer-memory.ts";
import {
  type CallFailure,
  ClientCall,
  type ClientCallHandler,
  MESSAGE_BYTES_UNBOUNDED,
} from "../../grpc/client-call.ts";
import { type MemberCall, openClientCall, type OpenMemberCall } from "../../grpc/member-call.ts";
import { COMPRESSED_MESSAGE, MessageReader } from "../../grpc/message-reader.ts";
import { Code, type Status, trailersOnly } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import type { HeaderField } from "../../hpack/header-field.ts";
import { STREAM_WINDOW_BYTES } from "../../http2/limits.ts";

/** What is gathered below this size is not counted: nearly every chunk ends within a message. */
const COUNTED_BYTES_MIN = 64 * 1024;

export interface NamespacedCallOptions {
  /** How methods are mapped, by path; those of others are not. */
  readonly mappings: ReadonlyMap<string, MethodMapping>;
  /** Bounds what is gathered of answers, together with others. */
  readonly memory: AnswerMemory;
  /** The largest message of an answer that is mapped, in bytes. */
  readonly answerBytesMax: number;
}

/** Opens calls to members under a namespace. */
export function namespacedCalls(options: NamespacedCallOptions): OpenMemberCall {
  return (upstream, path, fields, receiveBytesMax, handler) => {
    const mapping = options.mappings.get(path);
    return mapping === undefined
      ? openClientCall(upstream, path, fields, receiveBytesMax, handler)
      : new NamespacedCall(options, mapping, upstream, fields, receiveBytesMax, handler);
  };
}

class NamespacedCall implements MemberCall, ClientCallHandler {
  readonly upstream: Upstream;
  readonly #options: NamespacedCallOptions;
  readonly #handler: ClientCallHandler;
  readonly #call: ClientCall;
  readonly #mapping: MethodMapping;
  readonly #requests = new MessageReader(MESSAGE_BYTES_UNBOUNDED);
  readonly #answers: MessageReader;
  readonly #held: HeldAnswer;
  #over = false;
  /** What the caller is to be told instead of an answer. */
  #refusal: Status | null = null;
  /** Of the caller's requests, what is on its way in a mapped form; and how much that is. */
  #unsentBytes = 0;
  #unsentMappedBytes = 0;
  /** Mapped messages that the caller has no room for yet, the first one from `#firstAt` on. */
  #waiting: Uint8Array[] = [];
  #firstAt = 0;
  #waitingBytes = 0;
  /** What the caller has been given and is not done with. */
  #untakenBytes = 0;
  /** What has come from the member and was not credited to it. */
  #uncreditedBytes = 0;
  /** The end of the answer, behind what waits. */
  #trailers: readonly HeaderField[] | null = null;
  /** Of the chunk that is being read, what its messages come to. */
  #mappedOfChunk = 0;

  constructor(
    options: NamespacedCallOptions,
    mapping: MethodMapping,
    upstream: Upstream,
    fields: readonly HeaderField[],
    receiveBytesMax: number,
    handler: ClientCallHandler,
  ) {
    this.upstream = upstream;
    this.#options = options;
    this.#handler = handler;
    this.#mapping = mapping;
    this.#answers = new MessageReader(Math.min(receiveBytesMax, options.answerBytesMax));
    this.#held = new HeldAnswer(options.memory, () => this.#failLater(TOO_LARGE_FOR_BUFFERS));
    this.#call = new ClientCall(upstream, fields, receiveBytesMax, this);
  }

  // From the caller.

  sendMessageBytes(bytes: Uint8Array, start: number, end: number, halfClose: boolean): number {
    const { toMember } = this.#mapping;
    if (toMember === null) return this.#call.sendMessageBytes(bytes, start, end, halfClose);
    if (this.#over) return end - start;
    this.#unsentBytes += end - start;
    const before = this.#unsentMappedBytes;
    const problem = this.#requests.read(bytes, start, end, (message, from, to) => {
      if (!this.#over) this.#sendMapped(toMember, message, from, to);
    });
    if (problem === COMPRESSED_MESSAGE) this.#refuse(COMPRESSED);
    if (this.#over) return end - start;
    if (halfClose) this.#call.halfClose();
    if (this.#unsentMappedBytes > before) return 0;
    this.#unsentBytes -= end - start;
    return end - start;
  }

  halfClose(): void {
    if (!this.#over) this.#call.halfClose();
  }

  consume(bytes: number): void {
    if (this.#mapping.toClient === null) {
      this.#call.consume(bytes);
      return;
    }
    this.#untakenBytes -= bytes;
    if (this.#over && this.#trailers === null) return;
    this.#credit(Math.min(bytes, this.#uncreditedBytes));
    this.#handOn();
  }

  cancel(): void {
    this.#refusal = null;
    this.#trailers = null;
    this.#forgetWaiting();
    if (this.#over) return;
    this.#over = true;
    this.#call.cancel();
  }

  // From the member.

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (end) this.#over = true;
    this.#handler.onAnswerHead(fields, end);
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    const { toClient } = this.#mapping;
    if (toClient === null) {
      this.#handler.onAnswerBytes(bytes, start, end);
      return;
    }
    if (this.#over) return;
    this.#mappedOfChunk = 0;
    const problem = this.#answers.read(bytes, start, end, (message, from, to) => {
      if (!this.#over) this.#takeIn(toClient, message, from, to);
    });
    if (problem !== -1) this.#fail(unreadable(problem, this.#options.answerBytesMax));
    if (this.#over) return;
    this.#countHeld();
    const kept = Math.min(end - start, this.#mappedOfChunk);
    this.#uncreditedBytes += kept;
    // The rest belongs to a message that is not whole: it may be larger than the window.
    this.#call.consume(end - start - kept);
    this.#handOn();
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    if (this.#over) return;
    if (this.#answers.heldBytes > 0) {
      this.#fail(CUT_SHORT);
      return;
    }
    this.#over = true;
    this.#trailers = fields;
    this.#handOn();
  }

  onFailure(failure: CallFailure): void {
    if (this.#over) return;
    this.#over = true;
    this.#forgetWaiting();
    this.#handler.onFailure(failure);
  }

  onMemberLeft(reason: string): void {
    if (!this.#over) this.#handler.onMemberLeft?.(reason);
  }

  onRequestSent(bytes: number): void {
    if (this.#mapping.toMember === null) {
      this.#handler.onRequestSent(bytes);
      return;
    }
    this.#unsentMappedBytes -= bytes;
    // Mapped requests are not shorter than they were.
    const sent = this.#unsentMappedBytes === 0 ? this.#unsentBytes : Math.min(bytes, this.#unsentBytes);
    this.#unsentBytes -= sent;
    if (!this.#over && sent > 0) this.#handler.onRequestSent(sent);
  }

  // Requests.

  #sendMapped(toMember: MapMessage, bytes: Uint8Array, start: number, end: number): void {
    try {
      const mapped = toMember(bytes, start, end);
      this.#unsentMappedBytes += mapped.length - this.#call.sendMessageBytes(mapped, 0, mapped.length, false);
    } catch (error) {
      if (error instanceof RequestOutsideNamespace) this.#refuse(error.status);
      else if (error instanceof MalformedMessage) this.#refuse(malformed(error));
      else throw error;
    }
  }

  /** Ends the call as a member would that refuses the request. Its caller has not got hold of it yet, maybe. */
  #refuse(status: Status): void {
    this.#over = true;
    this.#refusal = status;
    this.#call.cancel();
    queueMicrotask(() => {
      if (this.#refusal !== null) this.#handler.onAnswerHead(trailersOnly(this.#refusal), true);
    });
  }

  // Answers.

  #takeIn(toClient: MapMessage, bytes: Uint8Array, start: number, end: number): void {
    try {
      const mapped = toClient(bytes, start, end);
      this.#mappedOfChunk += mapped.length;
      this.#waiting.push(mapped);
      this.#waitingBytes += mapped.length;
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#fail(`an answer cannot be mapped: ${error.message}`);
    }
  }

  /** Gives the caller what it has room for, and then the end. */
  #handOn(): void {
    while (this.#waitingBytes > 0 && this.#untakenBytes < STREAM_WINDOW_BYTES) {
      const message = this.#waiting[0]!;
      const start = this.#firstAt;
      const end = Math.min(message.length, start + STREAM_WINDOW_BYTES - this.#untakenBytes);
      if (end === message.length) {
        this.#waiting.shift();
        this.#firstAt = 0;
      } else {
        this.#firstAt = end;
      }
      this.#waitingBytes -= end - start;
      this.#untakenBytes += end - start;
      this.#handler.onAnswerBytes(message, start, end);
    }
    if (this.#waitingBytes > 0) return;
    this.#countHeld();
    if (this.#untakenBytes === 0) this.#credit(this.#uncreditedBytes);
    const trailers = this.#trailers;
    if (trailers === null) return;
    this.#trailers = null;
    this.#handler.onAnswerTrailers(trailers);
  }

  #credit(bytes: number): void {
    this.#uncreditedBytes -= bytes;
    if (bytes > 0) this.#call.consume(bytes);
  }

  #countHeld(): void {
    const bytes = this.#answers.heldBytes + this.#waitingBytes;
    this.#held.holds(bytes < COUNTED_BYTES_MIN ? 0 : bytes);
  }

  #forgetWaiting(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#held.holds(0);
  }

  /** Whoever needs memory is half-way through something of his own. */
  #failLater(why: string): void {
    this.#forgetWaiting();
    queueMicrotask(() => this.#fail(why, Code.RESOURCE_EXHAUSTED));
  }

  /** The answer is none that can be passed on. */
  #fail(why: string, code: number = Code.INTERNAL): void {
    if (this.#over && this.#trailers === null) return;
    this.cancel();
    this.#handler.onFailure({
      status: { code, message: `etcdproxy: ${this.upstream.endpoint.name}: ${why}` },
      connectionLost: false,
      neverProcessed: false,
      notEtcd: code === Code.INTERNAL,
    });
  }
}

const TOO_LARGE_FOR_BUFFERS = "an answer is too large for the buffers there are";
const CUT_SHORT = "an answer is cut short";
/** In the words of a member, which has no decompressor either. */
const COMPRESSED: Status = {
  code: Code.UNIMPLEMENTED,
  message: "etcdproxy: compressed requests cannot be mapped to --namespace: send them uncompressed",
};

function malformed(error: MalformedMessage): Status {
  return { code: Code.INTERNAL, message: `grpc: error unmarshalling request: ${error.message}` };
}

function unreadable(problem: number, bytesMax: number): string {
  if (problem === COMPRESSED_MESSAGE) return "an answer is compressed";
  return `an answer is larger than can be mapped to --namespace (${problem} vs. ${bytesMax})`;
}
