/**
 * A Watch call between the hub and a model member: what is sent takes its time, in both directions, and is lost when
 * the call ends.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { WatchRequestSchema, WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import type { Status } from "../../../src/grpc/status.ts";
import type { WatchCall, WatchCallHandler } from "../../../src/proxy/watch/watch-calls.ts";
import type { ModelMember } from "./model-member.ts";
import { ModelServerStream, type StreamRules } from "./model-server-stream.ts";

/** What surrounds an answer in the buffer that it is handed over in. */
const MARGIN_BYTES = 3;

export class ModelCall implements WatchCall {
  readonly token: string;
  readonly requireLeader: boolean;
  /** The member that it was opened to. */
  readonly member: ModelMember;
  /** Undefined until it is connected. */
  stream: ModelServerStream | undefined;
  over = false;
  /** Ids of the watches that the hub has asked for and not canceled; it gives each an id of its own. */
  readonly wanted = new Set<bigint>();
  /** Requests that the member has seen. */
  requestsTaken = 0;
  readonly violations: string[];
  readonly #rules: StreamRules;
  readonly #handler: WatchCallHandler;
  readonly #windowBytes: number;
  #requests: Uint8Array[] = [];
  #answers: Uint8Array[] = [];
  #unconsumedBytes = 0;

  /** `windowBytes`: answers that the hub has not consumed hold up further ones from there on. */
  constructor(
    options: {
      token: string;
      requireLeader: boolean;
      member: ModelMember;
      windowBytes: number;
      violations: string[];
    },
    rules: StreamRules,
    handler: WatchCallHandler,
  ) {
    this.token = options.token;
    this.requireLeader = options.requireLeader;
    this.member = options.member;
    this.violations = options.violations;
    this.#windowBytes = options.windowBytes;
    this.#rules = rules;
    this.#handler = handler;
  }

  send(request: Uint8Array): void {
    if (this.over) return;
    this.#requests.push(request.slice());
    const { requestUnion } = fromBinary(WatchRequestSchema, request);
    if (requestUnion.case === "createRequest") this.wanted.add(requestUnion.value.watchId);
    else if (requestUnion.case === "cancelRequest") this.wanted.delete(requestUnion.value.watchId);
  }

  consume(bytes: number): void {
    if (bytes < 0 || bytes > this.#unconsumedBytes) {
      this.violations.push(`${bytes} bytes consumed, ${this.#unconsumedBytes} were there to consume`);
    }
    this.#unconsumedBytes -= bytes;
  }

  cancel(): void {
    this.over = true;
    this.stream?.close();
  }

  /** A model does what etcd does. */
  reject(_limit: string | null, reason: string): void {
    this.violations.push(`rejected: ${reason}`);
    this.cancel();
  }

  /** New calls go to another member. */
  supersede(): void {
    if (!this.over) this.#handler.onSuperseded();
  }

  connect(): void {
    this.stream ??= new ModelServerStream(this.member, this.token, this.#rules, (message) => {
      this.#answers.push(message);
    });
  }

  get requestsWaiting(): number {
    return this.#requests.length;
  }

  /** The member takes the next request. */
  takeRequest(): void {
    const request = this.#requests.shift();
    if (request === undefined) return;
    this.requestsTaken++;
    this.stream?.receive(request);
  }

  /** True when an answer could be handed over. */
  get answerWaits(): boolean {
    const first = this.#answers[0];
    if (first === undefined) return false;
    return this.#unconsumedBytes === 0 || this.#unconsumedBytes + first.length <= this.#windowBytes;
  }

  /** Hands the next answer over, in a buffer that is worth nothing afterwards. */
  deliver(): void {
    if (!this.answerWaits) return;
    const message = this.#answers.shift()!;
    const buffer = new Uint8Array(message.length + 2 * MARGIN_BYTES).fill(0xee);
    buffer.set(message, MARGIN_BYTES);
    this.#unconsumedBytes += message.length;
    this.#handler.onResponse(buffer, MARGIN_BYTES, MARGIN_BYTES + message.length);
    buffer.fill(0xdd);
    const { canceled, watchId } = fromBinary(WatchResponseSchema, message);
    if (canceled) this.wanted.delete(watchId);
  }

  /** Ends the call from the member's side; what is under way is lost. */
  end(status: Status): void {
    if (this.over) return;
    this.cancel();
    this.#handler.onEnd(status);
  }
}
