import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { PutResponseSchema, RangeResponseSchema } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import {
  ANSWER_HEADERS,
  ANSWER_TRAILERS,
  CLIENT_PREFACE,
  connectionCredit,
  Flag,
  frame,
  FrameSplitter,
  FrameType,
  literalField,
} from "../floors/frames.ts";
import { prefixed } from "./call-template.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { CallMix } from "../kv-load/call-mix.ts";
import { type CallTally, UnaryConnection } from "./unary-connection.ts";

const key = new TextEncoder().encode("bench/zipf/000000");

/** More than all requests of a test. */
const CREDIT_BYTES = 1 << 20;

/** Frames of an answer, whose stream is yet to be written. */
type Answer = readonly Uint8Array[];

function rangeOf(answer: MessageInitShape<typeof RangeResponseSchema>): Uint8Array {
  return prefixed(toBinary(RangeResponseSchema, create(RangeResponseSchema, answer)));
}

function data(payload: Uint8Array): Buffer {
  return frame(FrameType.data, 0, 0, payload);
}

const found = rangeOf({ header: { revision: 7n }, kvs: [{ key, value: new Uint8Array(200) }], count: 1n });
const lacking = rangeOf({ header: { revision: 7n } });
const trailersOf = (status: string, flags: number): Buffer =>
  frame(FrameType.headers, flags, 0, literalField("grpc-status", status));
const whole: Answer = [ANSWER_HEADERS, data(found), ANSWER_TRAILERS];

interface Outcome {
  readonly tally: CallTally;
  readonly failure: string | undefined;
  /** The most calls that the server had in hand at a time. */
  readonly atOnce: number;
}

/** What comes of `calls` reads of one key, four in flight, at a server that gives `answer` to each. */
async function outcomeOf(answer: Answer, calls: number, answersBefore = Infinity): Promise<Outcome> {
  let answered = 0;
  let open: number[] = [];
  let atOnce = 0;
  using server = Bun.listen<FrameSplitter>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.write(connectionCredit(CREDIT_BYTES));
        socket.data = new FrameSplitter(CLIENT_PREFACE.length, (type, flags, streamId) => {
          if (type === FrameType.data && (flags & Flag.endStream) !== 0) open.push(streamId);
        });
      },
      data(socket, chunk) {
        socket.data.push(chunk);
        atOnce = Math.max(atOnce, open.length);
        const streams = open;
        open = [];
        for (const streamId of streams) {
          if (answered++ >= answersBefore) return void socket.end();
          for (const bytes of answer) {
            const copy = Buffer.from(bytes);
            copy.writeUInt32BE(streamId, 5);
            socket.write(copy);
          }
        }
      },
    },
  });
  const address = `127.0.0.1:${server.port}`;
  const mix = new CallMix(address, {
    keys: 1,
    exponent: 0,
    putPercent: 0,
    valueBytes: 0,
    serializable: false,
    seed: 1,
  });
  const tally: CallTally = { calls: 0, reads: 0, latencies: new LatencyHistogram() };
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const connection: UnaryConnection = await UnaryConnection.open(address, 4, tally, () => {
    try {
      if (connection.idle) resolve(undefined);
    } catch (error) {
      resolve(error instanceof Error ? error.message : String(error));
    }
  });
  connection.send(mix.drawn(calls));
  const failure = await promise;
  connection.close();
  return { tally, failure, atOnce };
}

test("every call is answered and timed, with no more in flight than allowed", async () => {
  const { tally, failure, atOnce } = await outcomeOf(whole, 5000);
  expect(failure).toBeUndefined();
  expect([tally.calls, tally.reads, tally.latencies.total]).toEqual([5000, 5000, 5000]);
  expect(atOnce).toBeLessThanOrEqual(4);
});

test("a message that comes in several frames is one", async () => {
  const pieces = [data(found.slice(0, 3)), data(found.slice(3, 50)), data(found.slice(50))];
  const { tally, failure } = await outcomeOf([ANSWER_HEADERS, ...pieces, ANSWER_TRAILERS], 20);
  expect([failure, tally.calls]).toEqual([undefined, 20]);
});

const ended = Flag.endHeaders | Flag.endStream;
const put = prefixed(toBinary(PutResponseSchema, create(PutResponseSchema, { header: { revision: 7n } })));
test.each<[string, Answer, string]>([
  ["without the key", [ANSWER_HEADERS, data(lacking), ANSWER_TRAILERS], "lacks the key bench/zipf/000000"],
  ["to something else", [ANSWER_HEADERS, data(put), ANSWER_TRAILERS], "lacks the key bench/zipf/000000"],
  ["that is empty", [ANSWER_HEADERS, data(prefixed(new Uint8Array(0))), ANSWER_TRAILERS], "is empty"],
  ["without a message", [ANSWER_HEADERS, ANSWER_TRAILERS], "ended with 0 messages"],
  ["given twice", [ANSWER_HEADERS, data(found), data(found), ANSWER_TRAILERS], "ended with 2 messages"],
  ["with another status", [ANSWER_HEADERS, data(found), trailersOf("14", ended)], "ended with status 14"],
  ["that is a status only", [trailersOf("8", ended)], "ended with status 8"],
  ["that is reset", [ANSWER_HEADERS, frame(3, 0, 0, Uint8Array.of(0, 0, 0, 8))], "reset with code 8"],
])("an answer %s is a failure", async (_what, answer, reason) => {
  const { failure } = await outcomeOf(answer, 20);
  expect(failure).toContain(reason);
});

test("a connection that is lost is a failure", async () => {
  const { failure, tally } = await outcomeOf(whole, 1000, 10);
  expect(failure).toContain("is lost");
  expect(tally.calls).toBeLessThan(1000);
});
