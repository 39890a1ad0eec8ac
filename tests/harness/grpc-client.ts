/**
 * A plain gRPC client for tests: @grpc/grpc-js, an HTTP/2 and gRPC implementation that shares no code with
 * ours, driven by the descriptors in src/gen.
 *
 * Messages go through Protobuf-ES on both ends; `callBytes` sends raw bytes to any path instead. Calls hand
 * back grpc-js's own stream objects, so that a test sees metadata, status, cancel and backpressure.
 */
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { ClientTls } from "./certificates.ts";

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string | Buffer>>;
  /** Time from now after which the call ends DEADLINE_EXCEEDED. */
  readonly timeoutMs?: number;
  /** Cancels a unary call. */
  readonly signal?: AbortSignal;
}

function credentialsOf({ caFile, certificate }: ClientTls): grpc.ChannelCredentials {
  const roots = readFileSync(caFile);
  if (certificate === undefined) return grpc.credentials.createSsl(roots);
  const { keyPem, certificatePem } = certificate;
  return grpc.credentials.createSsl(roots, Buffer.from(keyPem), Buffer.from(certificatePem));
}

/** A unary call without a deadline of its own is given up by then: sooner than a test, so that it is named. */
const GIVE_UP_MS = 45_000;

/** Everything that one unary call brought. */
export interface UnaryAnswer<Message> {
  readonly message: Message;
  readonly headers: grpc.Metadata;
  readonly status: grpc.StatusObject;
}

/** Anything with an input and an output message: what the three kinds of calls have in common. */
interface Method {
  readonly name: string;
  readonly parent: { readonly typeName: string };
}

export class GrpcClient implements Disposable {
  readonly #client: grpc.Client;

  /**
   * @param address `host:port`.
   * @param options grpc-js channel options. By default the client may receive messages of any size and has
   *   a connection of its own (grpc-js shares connections of equal options within a process).
   * @param tls what it trusts and shows; without TLS when absent. The server must be good for "localhost", the
   *   name that is asked for, since grpc-js on Bun cannot ask for an address.
   */
  constructor(address: string, options: grpc.ClientOptions = {}, tls?: ClientTls) {
    const credentials = tls === undefined ? grpc.credentials.createInsecure() : credentialsOf(tls);
    this.#client = new grpc.Client(address, credentials, {
      ...(tls === undefined ? {} : { "grpc.ssl_target_name_override": "localhost" }),
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Whether it has a connection that it takes for good: one that the server has just closed, it learns of later. */
  get connected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
  }

  /** Calls a unary method. @throws grpc.ServiceError with the status when it is not OK. */
  async unary<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
    options: CallOptions = {},
  ): Promise<MessageShape<Output>> {
    return (await this.unaryAnswer(method, request, options)).message;
  }

  /** Like `unary`, with metadata and status of the answer. */
  async unaryAnswer<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
    options: CallOptions = {},
  ): Promise<UnaryAnswer<MessageShape<Output>>> {
    const bytes = toBinary(method.input, create(method.input, request));
    const answer = await this.callBytes(methodPath(method), bytes, options);
    return { ...answer, message: fromBinary(method.output, answer.message) };
  }

  /** Calls the unary method at `path` ("/package.Service/Method"), known or not, with raw message bytes. */
  callBytes(path: string, request: Uint8Array, options: CallOptions = {}): Promise<UnaryAnswer<Uint8Array>> {
    return new Promise((resolve, reject) => {
      let headers = new grpc.Metadata();
      let message: Uint8Array | undefined;
      let status: grpc.StatusObject | undefined;
      // grpc-js reports the answer and the status apart, in no promised order.
      const settle = (): void => {
        if (message !== undefined && status !== undefined) resolve({ message, headers, status });
      };
      const call = this.#client.makeUnaryRequest<Uint8Array, Uint8Array>(
        path,
        (bytes) => Buffer.from(bytes),
        (bytes) => new Uint8Array(bytes),
        request,
        metadataOf(options),
        grpcOptions(options),
        (error, answer) => {
          clearTimeout(timer);
          options.signal?.removeEventListener("abort", cancel);
          if (error !== null) return reject(error);
          message = answer;
          settle();
        },
      );
      const cancel = (): void => call.cancel();
      options.signal?.addEventListener("abort", cancel);
      const timer = setTimeout(
        () => {
          reject(new Error(`${path} is unanswered after ${GIVE_UP_MS} ms`));
          call.cancel();
        },
        Math.max(GIVE_UP_MS, (options.timeoutMs ?? 0) * 2),
      );
      call.on("metadata", (received: grpc.Metadata) => {
        headers = received;
      });
      call.on("status", (received: grpc.StatusObject) => {
        status = received;
        settle();
      });
    });
  }

  /** Opens a server-streaming call. The stream emits "error" with the status when that is not OK. */
  serverStream<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    request: MessageInitShape<Input>,
    options: CallOptions = {},
  ): grpc.ClientReadableStream<MessageShape<Output>> {
    return this.#client.makeServerStreamRequest<MessageShape<Input>, MessageShape<Output>>(
      methodPath(method),
      (message) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes),
      create(method.input, request),
      metadataOf(options),
      grpcOptions(options),
    );
  }

  /** Opens a bidirectional call: Watch, LeaseKeepAlive. Write messages made with `create`. */
  bidirectional<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodBiDiStreaming<Input, Output>,
    options: CallOptions = {},
  ): grpc.ClientDuplexStream<MessageShape<Input>, MessageShape<Output>> {
    return this.#client.makeBidiStreamRequest<MessageShape<Input>, MessageShape<Output>>(
      methodPath(method),
      (message) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes),
      metadataOf(options),
      grpcOptions(options),
    );
  }

  /** Opens a bidirectional call of raw message bytes. */
  bidirectionalBytes(
    path: string,
    options: CallOptions = {},
  ): grpc.ClientDuplexStream<Uint8Array, Uint8Array> {
    return this.#client.makeBidiStreamRequest<Uint8Array, Uint8Array>(
      path,
      (bytes) => Buffer.from(bytes),
      (bytes) => new Uint8Array(bytes),
      metadataOf(options),
      grpcOptions(options),
    );
  }
}

/** The `:path` of a method. */
export function methodPath(method: Method): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** The status that `call` fails with. @throws Error when it succeeds. */
export async function statusOf(call: Promise<unknown>): Promise<grpc.ServiceError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error && "code" in error) return error as grpc.ServiceError;
    throw error;
  }
  throw new Error("the call succeeded; it was expected to fail");
}

function metadataOf(options: CallOptions): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.add(key, value);
  return metadata;
}

function grpcOptions(options: CallOptions): grpc.CallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}
