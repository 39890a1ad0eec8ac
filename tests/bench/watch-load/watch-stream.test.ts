import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { ANSWER_HEADERS, Flag, frame, FrameType, literalField } from "../floors/frames.ts";
import { Arrivals } from "./arrivals.ts";
import { WatchStream } from "./watch-stream.ts";

/** The reason for which a client holds its stream for ended that a server answers with `frames`. */
async function endedAfter(frames: readonly Uint8Array[], endOfConnection: boolean): Promise<string> {
  using server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(Buffer.concat(frames));
        if (endOfConnection) socket.end();
      },
    },
  });
  const plan = { key: Uint8Array.of(1), startRevision: 0 };
  const stream = await WatchStream.open(`127.0.0.1:${server.port}`, [plan], new Arrivals(), () => {});
  try {
    return await waitFor("the stream to be ended", () => stream.ended);
  } finally {
    stream.close();
  }
}

function onStream1(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt32BE(1, 5);
  return copy;
}

const headers = onStream1(ANSWER_HEADERS);

function response(content: MessageInitShape<typeof WatchResponseSchema>): Buffer {
  const message = toBinary(WatchResponseSchema, create(WatchResponseSchema, content));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return frame(FrameType.data, 0, 1, Buffer.concat([prefix, message]));
}

test("a stream that the server ends is ended with its status", async () => {
  const trailers = Buffer.concat([
    literalField("grpc-status", "1"),
    literalField("grpc-message", "context canceled"),
  ]);
  const end = frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, trailers);
  expect(await endedAfter([headers, end], false)).toBe("status 1 context canceled");
});

test("a stream that is reset is ended", async () => {
  expect(await endedAfter([headers, frame(3, 0, 1, Uint8Array.of(0, 0, 0, 8))], false)).toContain("code 8");
});

test("a watch that is canceled ends its stream: the load cannot be whole", async () => {
  expect(await endedAfter([headers, response({ canceled: true })], false)).toContain("canceled a watch");
});

test("a connection that is closed ends its stream", async () => {
  expect(await endedAfter([headers], true)).toContain("is lost");
});
