/**
 * The floor of a cached read: the least work with which one Bun process answers a gRPC call over HTTP/2.
 * Every request gets the same answer. A yardstick, not a base to build on.
 *
 * Run as `bun cached.ts <answer message in hexadecimal>`; prints the address where it serves.
 */
import {
  ANSWER_HEADERS,
  ANSWER_TRAILERS,
  answerHousekeeping,
  CLIENT_PREFACE,
  connectionCredit,
  Flag,
  frame,
  FrameSplitter,
  FrameType,
  settings,
  TurnWriter,
} from "./frames.ts";

const message = Buffer.from(process.argv[2] ?? "", "hex");
const prefix = Buffer.alloc(5);
prefix.writeUInt32BE(message.length, 1);
const data = frame(FrameType.data, 0, 0, Buffer.concat([prefix, message]));
const requests = new Map<string, Buffer>();

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
        // A cache has to look up what is asked.
        const request = bytes.toString("latin1", start, end);
        let answer = requests.get(request);
        if (answer === undefined) requests.set(request, (answer = data));
        out.put(ANSWER_HEADERS, streamId);
        out.put(answer, streamId);
        out.put(ANSWER_TRAILERS, streamId);
      });
    },
    data(socket, chunk) {
      socket.data.push(chunk);
    },
  },
});
console.log(`127.0.0.1:${listener.port}`);
