/**
 * A Connect `Transport` whose calls are answered in this process, by the proxy's own lanes or by forwarding to a
 * member: what typed clients (`createClient`) run on.
 */
import type { Transport } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-grpc";
import { callInProcess, type ServeCall } from "./in-process-call.ts";

/** Messages of up to 2 GiB: what bounds them is the lane that answers. */
const MESSAGE_BYTES_MAX = 0xffff_ffff;

export function connectTransport(serve: ServeCall): Transport {
  return createTransport({
    baseUrl: "http://etcd",
    httpClient: (request) => callInProcess(serve, request),
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 1024,
    readMaxBytes: MESSAGE_BYTES_MAX,
    writeMaxBytes: MESSAGE_BYTES_MAX,
  });
}
