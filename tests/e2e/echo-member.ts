/**
 * A stand-in for a member that shows what reaches it: a gRPC server (@grpc/grpc-js) that takes any bytes on
 * KV.Range and answers with them, and keeps each call's metadata and deadline.
 *
 * For what etcd itself never shows its clients: metadata of a request, trailers of its own, time left.
 */
import * as grpc from "@grpc/grpc-js";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { methodPath } from "../harness/grpc-client.ts";

export const ECHO_PATH = methodPath(KV.method.range);

/** A call with this metadata is not answered. */
export const SILENCE = "silence";

/** A call as it arrived. */
export interface ArrivedCall {
  readonly metadata: grpc.Metadata;
  readonly message: Uint8Array;
  /** Milliseconds that the caller gave it, when it arrived; `Infinity` for none. */
  readonly leftMs: number;
}

export class EchoMember implements AsyncDisposable {
  readonly endpoint: string;
  readonly calls: ArrivedCall[] = [];
  /** Calls left without an answer that their caller gave up. */
  cancelled = 0;
  readonly #server: grpc.Server;

  private constructor(server: grpc.Server, port: number) {
    this.#server = server;
    this.endpoint = `127.0.0.1:${port}`;
  }

  /** Starts one. What it answers with: the message, `headers` before it and `trailers` after it. */
  static async start(headers: grpc.Metadata, trailers: grpc.Metadata): Promise<EchoMember> {
    const server = new grpc.Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    const member = new EchoMember(server, port);
    const identity = (bytes: Buffer): Buffer => bytes;
    server.addService(
      {
        echo: {
          path: ECHO_PATH,
          requestStream: false,
          responseStream: false,
          requestSerialize: identity,
          requestDeserialize: identity,
          responseSerialize: identity,
          responseDeserialize: identity,
        },
      },
      {
        echo(call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) {
          const deadline = call.getDeadline();
          const leftMs = Number(deadline) - Date.now();
          member.calls.push({ metadata: call.metadata, message: call.request, leftMs });
          if (call.metadata.get(SILENCE).length > 0) {
            call.on("cancelled", () => member.cancelled++);
            return;
          }
          call.sendMetadata(headers);
          answer(null, call.request, trailers);
        },
      },
    );
    return member;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}
