/**
 * The floor of a forwarded unary call: streams of all clients onto one connection to the member, with fixed
 * header blocks and no flow control. A yardstick, not a base to build on.
 *
 * Run as `bun forward.ts <member's host:port> <path of the method>`; prints the address where it serves.
 */
import {
  ANSWER_HEADERS,
  ANSWER_TRAILERS,
  answerHousekeeping,
  callHeaderBlock,
  CLIENT_PREFACE,
  connectionCredit,
  Flag,
  frame,
  FrameSplitter,
  FrameType,
  settings,
  TurnWriter,
} from "./frames.ts";

const CREDIT_STEP_BYTES = 1 << 20;

interface Call {
  readonly out: TurnWriter;
  readonly streamId: number;
}

const [target = "", path = ""] = process.argv.slice(2);
const [host = "", port = ""] = target.split(":");
const requestHeaders = frame(FrameType.headers, Flag.endHeaders, 0, callHeaderBlock(path, target));
const calls = new Map<number, Call>();
let nextStreamId = 1;
let receivedBytes = 0;

const { promise: upstreamOpen, resolve: onUpstreamOpen } = Promise.withResolvers<TurnWriter>();
await Bun.connect<FrameSplitter>({
  hostname: host,
  port: Number(port),
  socket: {
    open(socket) {
      const out = new TurnWriter(socket);
      out.put(CLIENT_PREFACE, 0);
      out.put(
        settings([
          [2, 0],
          [4, 0x3fff_ffff],
        ]),
        0,
      );
      out.put(connectionCredit(0x3fff_0000), 0);
      socket.data = new FrameSplitter(0, (type, flags, streamId, bytes, start, end) => {
        if (answerHousekeeping(out, type, flags, bytes, start, end)) return;
        if (type === FrameType.goaway)
          throw new Error(`the member says GOAWAY: ${bytes.toString("latin1", start, end)}`);
        const call = calls.get(streamId);
        if (call === undefined) return;
        if (type === FrameType.data) {
          call.out.put(ANSWER_HEADERS, call.streamId);
          call.out.putFrameOf(bytes, start, end, call.streamId);
          receivedBytes += end - start;
          if (receivedBytes < CREDIT_STEP_BYTES) return;
          out.put(connectionCredit(receivedBytes), 0);
          receivedBytes = 0;
        } else if (type === FrameType.headers && (flags & Flag.endStream) !== 0) {
          calls.delete(streamId);
          call.out.put(ANSWER_TRAILERS, call.streamId);
        }
      });
      onUpstreamOpen(out);
    },
    data(socket, chunk) {
      socket.data.push(chunk);
    },
    close() {
      process.exit(1);
    },
  },
});
const upstream = await upstreamOpen;

const listener = Bun.listen<FrameSplitter>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      const out = new TurnWriter(socket);
      out.put(settings([[3, 4096]]), 0);
      out.put(connectionCredit(0x3fff_0000), 0);
      socket.data = new FrameSplitter(CLIENT_PREFACE.length, (type, flags, streamId, bytes, start, end) => {
        if (answerHousekeeping(out, type, flags, bytes, start, end)) return;
        if (type !== FrameType.data || (flags & Flag.endStream) === 0) return;
        const upstreamId = nextStreamId;
        nextStreamId += 2;
        calls.set(upstreamId, { out, streamId });
        upstream.put(requestHeaders, upstreamId);
        upstream.putFrameOf(bytes, start, end, upstreamId);
      });
    },
    data(socket, chunk) {
      socket.data.push(chunk);
    },
  },
});
console.log(`127.0.0.1:${listener.port}`);
