/** What is counted of calls, whatever becomes of them: each once, with the code that it ended with. */
import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import fc from "fast-check";
import { DeadlineTimer } from "../../src/base/deadline-wheel.ts";
import { KV, RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { CallHead } from "../../src/grpc/call-head.ts";
import { connectTransport } from "../../src/grpc/connect-transport.ts";
import { Http2ServerCall } from "../../src/grpc/http2-server-call.ts";
import { SMALL_ANSWERS } from "../../src/grpc/in-process-call.ts";
import { EndedCalls, MethodCounts } from "../../src/grpc/method-counts.ts";
import type { ServerCall } from "../../src/grpc/server-call.ts";
import { Code, RESPONSE_HEAD, statusTrailers, trailersOnly } from "../../src/grpc/status.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { ErrorCode } from "../../src/http2/error-code.ts";
import { waitFor } from "../harness/wait-for.ts";
import { CANCEL, data, END_STREAM, frame, RST_STREAM, uint32 } from "../http2/frames.ts";
import { request, server, type ServerWire } from "../http2/wire.ts";
import { framed } from "./stand-in-member.ts";

const ended = new EndedCalls();
const counting = (): MethodCounts => new MethodCounts(ended);
const NAMES = Object.keys(Code);

/** How many ended with which code. */
function codes(counts: MethodCounts): Record<string, number> {
  return Object.fromEntries(
    [...counts.handled].flatMap((count, code) => (count > 0 ? [[NAMES[code], count]] : [])),
  );
}

/** A call on stream `id` that is counted, as the router does it. */
function begin(wire: ServerWire, counts: MethodCounts, id = 1, timeout = ""): Http2ServerCall {
  const stream = request(wire, id);
  const fields = timeout === "" ? [] : [headerField("grpc-timeout", timeout)];
  const owner = { deadlines: new DeadlineTimer(), onCallLimit: () => {}, peer: "" };
  const call = new Http2ServerCall(stream, new CallHead("/a/b", fields), owner, true);
  stream.handler = call;
  counts.started++;
  call.counts = counts;
  return call;
}

/** What can become of a call, and the code that it is counted under if that ends it. */
const FATES: Readonly<
  Record<string, { end: (call: Http2ServerCall, wire: ServerWire, id: number) => void; code: number | null }>
> = {
  message: { end: (call) => call.sendMessageBytes(framed("a"), 0, 6), code: null },
  trailers: {
    end: (call) => call.finishWithTrailers(statusTrailers({ code: Code.OK, message: "" })),
    code: Code.OK,
  },
  head: {
    end: (call) => call.finishWithHead(trailersOnly({ code: Code.NOT_FOUND, message: "no" })),
    code: Code.NOT_FOUND,
  },
  status: {
    end: (call) => call.finishWithStatus({ code: Code.ABORTED, message: "" }),
    code: Code.ABORTED,
  },
  "a code of nobody's": {
    end: (call) => call.finishWithStatus({ code: 99, message: "" }),
    code: Code.UNKNOWN,
  },
  "no status": { end: (call) => call.finish(), code: Code.UNKNOWN },
  "a client's reset": {
    end: (_call, wire, id) => wire.send(frame(RST_STREAM, 0, id, uint32(CANCEL))),
    code: Code.CANCELLED,
  },
  "full buffers": {
    end: (_call, wire, id) =>
      wire.connection.streams.get(id)?.fail({
        code: ErrorCode.ENHANCE_YOUR_CALM,
        cause: "self",
        neverProcessed: false,
        message: "buffers are full",
      }),
    code: Code.RESOURCE_EXHAUSTED,
  },
  "a deadline": { end: (call) => call.onDeadline(), code: Code.DEADLINE_EXCEEDED },
  "a stop": {
    end: (call) => call.giveUp({ code: Code.UNAVAILABLE, message: "" }, "stopped"),
    code: Code.UNAVAILABLE,
  },
};

describe("a call over HTTP/2", () => {
  test.each(Object.entries(FATES).flatMap(([fate, { code }]) => (code === null ? [] : [[fate, code]])))(
    "that ends by %s is counted under %d",
    (fate, code) => {
      const [wire, counts] = [server(), counting()];
      FATES[fate]!.end(begin(wire, counts), wire, 1);
      expect(codes(counts)).toEqual({ [NAMES[code]!]: 1 });
    },
  );

  test("is open or ended, at any time, and ends once", () => {
    const steps = fc.array(fc.tuple(fc.nat(5), fc.constantFrom("begin", "lost", ...Object.keys(FATES))), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, (all) => {
        const [wire, counts] = [server(), counting()];
        const calls: { id: number; call: Http2ServerCall }[] = [];
        for (const [which, fate] of all) {
          if (wire.connection.ended) break;
          const chosen = calls[which % Math.max(1, calls.length)];
          if (fate === "begin") {
            const id = 1 + 2 * calls.length;
            calls.push({ id, call: begin(wire, counts, id) });
          } else if (fate === "lost") {
            wire.connection.transportClosed("connection lost");
          } else if (chosen !== undefined) {
            FATES[fate]!.end(chosen.call, wire, chosen.id);
          }
          wire.read();
          const open = calls.filter(({ call }) => !call.finished).length;
          const handled = counts.handled.reduce((sum, count) => sum + count, 0);
          expect(counts.started).toBe(handled + open);
        }
        ended.settle();
        const measured = counts.durations.counts.reduce((sum, count) => sum + count, 0);
        expect(measured).toBe(counts.handled.reduce((sum, count) => sum + count, 0));
      }),
    );
  });

  test.each([
    ["long before its deadline", 0, "CANCELLED"],
    ["just before its deadline", 9997, "DEADLINE_EXCEEDED"],
    ["behind its deadline", 10_001, "DEADLINE_EXCEEDED"],
  ])("that its client resets %s is counted by that", (_when, laterMs, code) => {
    const [wire, counts] = [server(), counting()];
    begin(wire, counts, 1, "10S");
    wire.nowMs += laterMs;
    wire.send(frame(RST_STREAM, 0, 1, uint32(CANCEL)));
    expect(codes(counts)).toEqual({ [code]: 1 });
  });

  test("has its messages counted both ways, however they are cut", () => {
    const [wire, counts] = [server(), counting()];
    const call = begin(wire, counts);
    const two = Buffer.concat([framed("abc"), framed("")]);
    wire.send(data(1, framed("whole")));
    wire.send(data(1, two.subarray(0, 7)));
    expect(counts.messagesReceived).toBe(1);
    wire.send(data(1, two.subarray(7)));
    wire.send(data(1, Buffer.concat([two, framed("c").subarray(0, 5)]), END_STREAM));
    expect(counts.messagesReceived).toBe(5);
    call.sendHead(RESPONSE_HEAD);
    call.sendMessageBytes(framed("yes"), 0, 8);
    call.sendMessageBytes(two, 0, 3);
    call.sendMessageBytes(two, 3, two.length);
    call.sendMessageBytes(two, 0, 5);
    expect(counts.messagesSent).toBe(3);
  });

  test("is measured from when its beginning came to the end of the turn in which it ended", async () => {
    const [wire, counts] = [server(), counting()];
    wire.nowMs = performance.now() - 300;
    begin(wire, counts).finishWithStatus({ code: Code.OK, message: "" });
    expect(counts.durations.empty).toBe(true);
    await waitFor("the end of the turn", () => !counts.durations.empty);
    expect(counts.durations.sumMs).toBeWithin(300, 30_000);
    expect(counts.durations.counts.slice(0, 11).every((count) => count === 0)).toBe(true);
  });
});

test("more calls than are kept until the end of a turn are measured all the same", () => {
  const counts = counting();
  const startedMs = performance.now();
  for (let n = 0; n < 5000; n++) counts.end(Code.OK, startedMs);
  ended.settle();
  expect(counts.durations.counts.reduce((sum, count) => sum + count, 0)).toBe(5000);
});

describe("a call in process", () => {
  function client(counts: MethodCounts, answer: (call: ServerCall) => void): Client<typeof KV> {
    return createClient(
      KV,
      connectTransport((call) => {
        counts.started++;
        call.counts = counts;
        call.receiver = {
          onRequestBytes: (_bytes, start, end) => call.consume(end - start),
          onRequestEnd: () => answer(call),
          onAnswerSent() {},
          onCancel() {},
        };
      }, SMALL_ANSWERS),
    );
  }
  const message = framed(toBinary(RangeResponseSchema, create(RangeResponseSchema, { count: 3n })));

  test("that is answered is counted with its messages", async () => {
    const counts = counting();
    await client(counts, (call) => {
      call.sendHead(RESPONSE_HEAD);
      call.sendMessageBytes(message, 0, message.length);
      call.finishWithTrailers(statusTrailers({ code: Code.OK, message: "" }));
    }).range({});
    expect(codes(counts)).toEqual({ OK: 1 });
    expect([counts.started, counts.messagesReceived, counts.messagesSent]).toEqual([1, 1, 1]);
  });

  test("that is refused is counted under its code", async () => {
    const counts = counting();
    const call = client(counts, (served) =>
      served.finishWithStatus({ code: Code.PERMISSION_DENIED, message: "no" }),
    ).range({});
    await call.catch(() => {});
    expect(codes(counts)).toEqual({ PERMISSION_DENIED: 1 });
  });

  test("whose time is up is told from one that is cancelled", async () => {
    const counts = counting();
    await client(counts, () => {})
      .range({}, { timeoutMs: 30 })
      .catch(() => {});
    expect(codes(counts)).toEqual({ DEADLINE_EXCEEDED: 1 });
    const cancel = new AbortController();
    await client(counts, () => cancel.abort())
      .range({}, { signal: cancel.signal })
      .catch(() => {});
    expect(codes(counts)).toEqual({ DEADLINE_EXCEEDED: 1, CANCELLED: 1 });
  });
});
