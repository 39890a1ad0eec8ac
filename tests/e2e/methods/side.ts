/**
 * One side of a comparison: a client of `direct` or of a proxy, whose every call goes into a transcript.
 */
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { StatusObject } from "@grpc/grpc-js";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import type { CallOptions, GrpcClient } from "../../harness/grpc-client.ts";
import { methodPath } from "../../harness/grpc-client.ts";
import { Conversation } from "../conversation.ts";
import { Transcript } from "./transcript.ts";

/** A method's case: makes the same calls on whichever side it is given. */
export interface MethodCase {
  readonly name: string;
  /** The methods that it is the case of; it must call each. */
  readonly covers: readonly DescMethod[];
  run(side: Side): Promise<void>;
}

export class Side {
  /** Calls of it are not compared: for preparing and cleaning up. It talks to the cluster itself. */
  readonly backstage: GrpcClient;
  readonly transcript: Transcript;
  /** The cluster's revision before the case. */
  readonly base: bigint;
  readonly #client: GrpcClient;

  private constructor(client: GrpcClient, backstage: GrpcClient, base: bigint) {
    this.#client = client;
    this.backstage = backstage;
    this.base = base;
    this.transcript = new Transcript(base);
  }

  static async open(client: GrpcClient, backstage: GrpcClient): Promise<Side> {
    const { header } = await backstage.unary(KV.method.range, { key: bytes("revision") });
    return new Side(client, backstage, header!.revision);
  }

  /** Calls a unary method. Resolves to its answer, or to undefined when it ended with another code than OK. */
  async unary<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
    options: CallOptions = {},
  ): Promise<MessageShape<Output> | undefined> {
    this.transcript.called.add(methodPath(method));
    try {
      const { message, status, headers } = await this.#client.unaryAnswer(method, request, options);
      this.transcript.answer(method.name, method.output, message);
      this.transcript.note(`${method.name} metadata`, {
        headers: Object.keys(headers.getMap()).toSorted(),
        trailers: Object.keys(status.metadata.getMap()).toSorted(),
      });
      return message;
    } catch (error) {
      this.transcript.status(method.name, asStatus(error));
      return undefined;
    }
  }

  /** Opens a server-streaming call; `heard` and `over` put what comes into the transcript. */
  serverStream<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    request: MessageInitShape<Input>,
    options: CallOptions = {},
  ): RecordedConversation<Input, Output> {
    this.transcript.called.add(methodPath(method));
    const call = this.#client.serverStream(method, request, options);
    return new RecordedConversation(this.transcript, method, new Conversation(call));
  }

  /** Opens a bidirectional call. */
  bidirectional<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodBiDiStreaming<Input, Output>,
    options: CallOptions = {},
  ): RecordedConversation<Input, Output> {
    this.transcript.called.add(methodPath(method));
    const call = this.#client.bidirectional(method, options);
    return new RecordedConversation(this.transcript, method, new Conversation(call));
  }
}

type StreamingMethod<Input extends DescMessage, Output extends DescMessage> =
  DescMethodBiDiStreaming<Input, Output> | DescMethodServerStreaming<Input, Output>;

/** A streaming call whose messages go into a transcript as they are asked for. */
export class RecordedConversation<Input extends DescMessage, Output extends DescMessage> {
  readonly conversation: Conversation<MessageShape<Input>, MessageShape<Output>>;
  readonly #transcript: Transcript;
  readonly #method: StreamingMethod<Input, Output>;

  constructor(
    transcript: Transcript,
    method: StreamingMethod<Input, Output>,
    conversation: Conversation<MessageShape<Input>, MessageShape<Output>>,
  ) {
    this.#transcript = transcript;
    this.#method = method;
    this.conversation = conversation;
  }

  send(message: MessageInitShape<Input>): void {
    this.conversation.send(create(this.#method.input, message));
  }

  halfClose(): void {
    this.conversation.halfClose();
  }

  /** Records the next message. */
  async heard(): Promise<MessageShape<Output>> {
    const message = await this.conversation.next();
    this.#transcript.answer(this.#method.name, this.#method.output, message);
    return message;
  }

  /** Records all messages that are left, and the status. */
  async over(): Promise<StatusObject> {
    for (;;) {
      const message = await this.conversation.nextOrEnd();
      if (message === undefined) break;
      this.#transcript.answer(this.#method.name, this.#method.output, message);
    }
    const status = await this.conversation.status;
    this.#transcript.status(this.#method.name, status);
    return status;
  }

  cancel(): void {
    this.conversation.cancel();
  }
}

/** The UTF-8 bytes of `text`: keys and values. */
export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function asStatus(error: unknown): Pick<StatusObject, "code" | "details"> {
  if (error instanceof Error && "code" in error && "details" in error) {
    return { code: Number(error.code), details: String(error.details) };
  }
  throw error;
}
