/**
 * The plain twin of the watch hub: a call to a member for each client stream, messages passed on as they are.
 *
 * What the law says of the hub must hold of this one too, as long as no connection is lost: so the law asks for
 * nothing that etcd does not do.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type WatchResponse, WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import type { ServerCall } from "../../../src/grpc/server-call.ts";
import { RESPONSE_HEAD } from "../../../src/grpc/status.ts";
import type { WatchCalls } from "../../../src/proxy/watch/watch-calls.ts";

export class PrivateWatches {
  readonly #calls: WatchCalls;
  readonly #alter: (response: WatchResponse) => WatchResponse[];

  /** `alter`: what becomes of an answer of etcd on its way, for tests of the tests. */
  constructor(
    calls: WatchCalls,
    alter: (response: WatchResponse) => WatchResponse[] = (response) => [response],
  ) {
    this.#calls = calls;
    this.#alter = alter;
  }

  serve(call: ServerCall): void {
    call.sendHead(RESPONSE_HEAD);
    const upstream = this.#calls.open(call.head.value("token") ?? "", false, {
      onResponse: (bytes, start, end) => {
        for (const response of this.#alter(fromBinary(WatchResponseSchema, bytes.subarray(start, end)))) {
          const payload = toBinary(WatchResponseSchema, response);
          const message = new Uint8Array(5 + payload.length);
          new DataView(message.buffer).setUint32(1, payload.length);
          message.set(payload, 5);
          call.sendMessageBytes(message, 0, message.length);
        }
        upstream.consume(end - start);
      },
      onEnd: (status) => call.finishWithStatus(status),
      onSuperseded() {},
    });
    let partial: Uint8Array = new Uint8Array(0);
    call.receiver = {
      onRequestBytes: (bytes, start, end) => {
        partial = Buffer.concat([partial, bytes.subarray(start, end)]);
        while (partial.length >= 5) {
          const messageEnd = 5 + Buffer.from(partial).readUInt32BE(1);
          if (partial.length < messageEnd) break;
          upstream.send(partial.slice(5, messageEnd));
          partial = partial.subarray(messageEnd);
        }
        call.consume(end - start);
      },
      onRequestEnd() {},
      onAnswerSent() {},
      onCancel: () => upstream.cancel(),
    };
  }
}
