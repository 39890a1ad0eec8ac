/**
 * A Connect `Transport` whose calls are answered in this process, by the proxy's own lanes or by forwarding to a
 * member: what typed clients (`createClient`) run on.
 */
import type { Transport } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-grpc";
import { type AnswerBounds, callInProcess, type ServeCall } from "./in-process-call.ts";

/** What bounds messages is `AnswerBounds`, and the lane that answers. */
const MESSAGE_BYTES_MAX = 0xffff_ffff;

/** Calls are answered by `serve`; what is gathered of the answers is held to `bounds`. */
export function connectTransport(serve: ServeCall, bounds: AnswerBounds): Transport {
  return createTransport({
    baseUrl: "http://etcd",
    httpClient: (request) => callInProcess(serve, request, bounds),
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 1024,
    readMaxBytes: MESSAGE_BYTES_MAX,
    writeMaxBytes: MESSAGE_BYTES_MAX,
  });
}
