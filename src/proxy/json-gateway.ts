/**
 * etcd's API as JSON over HTTP, as members serve it under `/v3/` (their gRPC gateway), for clients such as Vault, APISIX and
 * curl.
 *
 * Stands between the port, to which each method is one more of Connect's handlers, and the proxy's lanes, to which it is a
 * gRPC call in this process. Messages look as members write them: names in snake_case, 64-bit numbers as text, bytes in
 * base64, defaults left out. A stream is a line for each message.
 */
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromJsonString,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
  type Transport,
} from "@connectrpc/connect";
import type {
  UniversalHandler,
  UniversalHandlerFn,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { JSON_ROUTES } from "../etcd/json-routes.ts";
import { parseTimeout } from "../grpc/timeout.ts";
import { callerMetadata } from "./connect-services.ts";
import { quoteLongIntegers } from "./json-integers.ts";
import { jsonValues, JsonValuesError } from "./json-values.ts";

/** Fields of the call itself, which a client of HTTP says as these (grpc-gateway). */
const METADATA_PREFIX = "grpc-metadata-";

const READ_OPTIONS = { ignoreUnknownFields: true } as const;
const WRITE_OPTIONS = { useProtoFieldName: true } as const;

/** A value is a third longer in base64, and fields have names: so much longer may a request be than its message. */
const TEXT_PER_MESSAGE = 2;

/** The longest JSON text of a request whose message may be `messageBytesMax` bytes long. */
export function jsonBytesMax(messageBytesMax: number): number {
  return TEXT_PER_MESSAGE * messageBytesMax;
}

type CallMethod = (request: unknown, options: CallOptions) => Promise<Message> | AsyncIterable<Message>;

/** A handler for each path. `lanes` carries calls to the proxy's own lanes; a request's message is `messageBytesMax` long at most. */
export function jsonGateway(lanes: Transport, messageBytesMax: number): UniversalHandler[] {
  const clients = new Map<DescService, Client<DescService>>();
  return [...JSON_ROUTES].map(([path, method]) => {
    const client = clients.get(method.parent) ?? createClient(method.parent, lanes);
    clients.set(method.parent, client);
    const call = (client as Record<string, CallMethod>)[method.localName]!;
    return handlerOf(path, method, (request) => serve(request, method, call, messageBytesMax));
  });
}

function handlerOf(path: string, method: DescMethod, serve: UniversalHandlerFn): UniversalHandler {
  return Object.assign(serve, {
    protocolNames: [],
    service: method.parent,
    method,
    requestPath: path,
    allowedMethods: ["POST"],
    supportedContentType: Object.assign(() => true, { supported: [/.*/] }),
  });
}

async function serve(
  request: UniversalServerRequest,
  method: DescMethod,
  call: CallMethod,
  messageBytesMax: number,
): Promise<UniversalServerResponse> {
  if (request.method !== "POST") return NOT_ALLOWED;
  const clientStreams = method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming";
  const faults = new RequestFaults();
  try {
    const options = callOptions(request);
    const values = jsonValues(request.body as AsyncIterable<Uint8Array>, jsonBytesMax(messageBytesMax));
    const messages = requestMessages(method.input, values, faults);
    const answer = call(clientStreams ? messages : await onlyMessage(messages), options);
    if (answer instanceof Promise) return jsonAnswer(200, toJson(method.output, await answer, WRITE_OPTIONS));
    return await streamAnswer(method.output, answer, faults);
  } catch (error) {
    const failure = faults.explain(error);
    return jsonAnswer(httpStatusOf(failure.code), errorBody(failure));
  }
}

/** The caller's metadata, deadline and cancel go along. */
function callOptions({ header, signal }: UniversalServerRequest): CallOptions {
  const headers = callerMetadata(header);
  header.forEach((value, name) => {
    if (!name.startsWith(METADATA_PREFIX)) return;
    headers.delete(name);
    headers.append(name.slice(METADATA_PREFIX.length), value);
  });
  const timeoutMs = parseTimeout(header.get("grpc-timeout") ?? "");
  return { headers, signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

async function* requestMessages(
  schema: DescMessage,
  values: AsyncIterable<string>,
  faults: RequestFaults,
): AsyncGenerator<Message> {
  try {
    for await (const text of values) yield fromJsonString(schema, quoteLongIntegers(text), READ_OPTIONS);
  } catch (error) {
    faults.first ??= error;
    throw error;
  }
}

/** What is wrong with the messages of a request: the call itself, which they break off, only knows that they did. */
class RequestFaults {
  first: unknown;

  /** Why the call failed that ended with `error`. */
  explain(error: unknown): ConnectError {
    return asConnectError(isOfTheRequest(this.first) ? this.first : error);
  }
}

/** A request without a body is one without fields. */
async function onlyMessage(messages: AsyncGenerator<Message>): Promise<unknown> {
  const first = await messages.next();
  if (first.done === true) return {};
  const second = await messages.next();
  if (second.done !== true) throw new JsonValuesError("the method takes one JSON object");
  return first.value;
}

/** The first message decides whether the answer is a stream or an error. */
async function streamAnswer(
  schema: DescMessage,
  answer: AsyncIterable<Message>,
  faults: RequestFaults,
): Promise<UniversalServerResponse> {
  const messages = answer[Symbol.asyncIterator]();
  const first = await messages.next();
  async function* lines(): AsyncGenerator<Uint8Array> {
    try {
      for (let next = first; next.done !== true; next = await messages.next()) {
        yield line({ result: toJson(schema, next.value, WRITE_OPTIONS) });
      }
    } catch (error) {
      yield line({ error: errorBody(faults.explain(error)) });
    } finally {
      await messages.return?.();
    }
  }
  return { status: 200, header: new Headers(CONTENT_TYPE), body: lines() };
}

function asConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  return ConnectError.from(error, isOfTheRequest(error) ? Code.InvalidArgument : Code.Internal);
}

function isOfTheRequest(error: unknown): boolean {
  return error instanceof JsonValuesError || error instanceof SyntaxError || isDecodingError(error);
}

/** Protobuf-ES throws plain errors: they begin with what could not be decoded. */
function isDecodingError(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("cannot decode ");
}

/** What members of all versions say: until 3.5 the text is `error`, since then it is `message` alone. */
function errorBody({ code, rawMessage }: ConnectError) {
  return { error: rawMessage, code, message: rawMessage, details: [] };
}

const HTTP_STATUS: Readonly<Partial<Record<Code, number>>> = {
  [Code.Canceled]: 499,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.Unauthenticated]: 401,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Unavailable]: 503,
};

function httpStatusOf(code: Code): number {
  return HTTP_STATUS[code] ?? 500;
}

const CONTENT_TYPE = { "content-type": "application/json" };
const NOT_ALLOWED: UniversalServerResponse = { status: 405, header: new Headers({ allow: "POST" }) };
const encoder = new TextEncoder();

function line(value: unknown): Uint8Array {
  return encoder.encode(`${JSON.stringify(value)}\n`);
}

function jsonAnswer(status: number, value: unknown): UniversalServerResponse {
  const bytes = encoder.encode(JSON.stringify(value));
  const header = new Headers({ ...CONTENT_TYPE, "content-length": String(bytes.length) });
  async function* body(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  return { status, header, body: body() };
}
