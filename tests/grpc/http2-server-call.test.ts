/** A gRPC call over HTTP/2 as its client sees it on the wire. */
import { describe, expect, test } from "bun:test";
import { DeadlineTimer } from "../../src/base/deadline-wheel.ts";
import { CallHead } from "../../src/grpc/call-head.ts";
import { Http2ServerCall } from "../../src/grpc/http2-server-call.ts";
import type { CallReceiver } from "../../src/grpc/server-call.ts";
import { Code, RESPONSE_HEAD, statusTrailers } from "../../src/grpc/status.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { waitFor } from "../harness/wait-for.ts";
import { CANCEL, data, END_STREAM, frame, RST_STREAM, uint32 } from "../http2/frames.ts";
import { request, type ServerWire, server } from "../http2/wire.ts";
import { framed } from "./stand-in-member.ts";

interface Scene {
  readonly wire: ServerWire;
  readonly call: Http2ServerCall;
  /** What the one who answers is told. */
  readonly told: string[];
}

/** A call on stream 1 whose request has begun; `timeout` is its grpc-timeout. */
function scene(timeout = "", grpc = true): Scene {
  const wire = server();
  wire.nowMs = performance.now();
  const stream = request(wire, 1);
  const fields = timeout === "" ? [] : [headerField("grpc-timeout", timeout)];
  const owner = { deadlines: new DeadlineTimer(), peer: "127.0.0.1:1", onCallLimit: () => {} };
  const call = new Http2ServerCall(stream, new CallHead("/a/b", fields), owner, grpc);
  stream.handler = call;
  const told: string[] = [];
  const receiver: CallReceiver = {
    onRequestBytes: (_bytes, start, end) => told.push(`bytes ${end - start}`),
    onRequestEnd: () => told.push("end"),
    onAnswerSent: (bytes) => told.push(`sent ${bytes}`),
    onCancel: (reason) => told.push(`cancel ${reason}`),
  };
  call.receiver = receiver;
  return { wire, call, told };
}

const HEAD_LINE = "HEADERS 1 :status=200 content-type=application/grpc";

describe("a deadline", () => {
  test("that passes is told to the client, and to the one who answers", async () => {
    const { wire, call, told } = scene("10m");
    await waitFor("the deadline", () => call.finished);
    expect(wire.read()).toEqual([
      `${HEAD_LINE} grpc-status=4 grpc-message=context deadline exceeded END_STREAM`,
      expect.stringContaining("RST_STREAM 1"),
    ]);
    expect(told).toEqual(["cancel deadline exceeded"]);
  });

  test("that passes behind the head ends the call by trailers", async () => {
    const { wire, call } = scene("10m");
    call.sendHead(RESPONSE_HEAD);
    await waitFor("the deadline", () => call.finished);
    expect(wire.read().slice(0, 2)).toEqual([
      HEAD_LINE,
      "HEADERS 1 grpc-status=4 grpc-message=context deadline exceeded END_STREAM",
    ]);
  });

  test("that passes while answer bytes are queued resets the stream and frees them", async () => {
    const { wire, call } = scene("10m");
    call.sendHead(RESPONSE_HEAD);
    const answer = new Uint8Array(200_000);
    call.sendMessageBytes(answer, 0, answer.length);
    expect(wire.connection.heldBytes).toBeGreaterThan(0);
    await waitFor("the deadline", () => call.finished);
    expect(wire.read().at(-1)).toStartWith("RST_STREAM 1 CANCEL");
    expect([wire.connection.heldBytes, wire.connection.streams.size]).toEqual([0, 0]);
  });

  test("counts from the arrival of the request", () => {
    const { wire, call } = scene("5S");
    expect(call.deadlineMs).toBe(wire.nowMs + 5000);
    call.finishWithStatus({ code: Code.OK, message: "" });
  });

  test("of a call that has ended is nobody's any more", async () => {
    const { wire, call, told } = scene("10m");
    call.finishWithStatus({ code: Code.OK, message: "" });
    wire.read();
    const later = scene("40m");
    await waitFor("a later deadline", () => later.call.finished);
    expect([wire.read(), told]).toEqual([[], []]);
  });
});

describe("an answer", () => {
  test("is head, messages, trailers", () => {
    const { wire, call } = scene();
    wire.send(data(1, framed("question"), END_STREAM));
    call.sendHead(RESPONSE_HEAD);
    call.sendMessageBytes(framed("yes"), 0, 8);
    call.finishWithTrailers(statusTrailers({ code: Code.OK, message: "" }));
    const lines = wire.read();
    expect([lines[0], lines.at(-1)]).toEqual([HEAD_LINE, "HEADERS 1 grpc-status=0 END_STREAM"]);
    expect(wire.receivedText(1)).toEndWith("yes");
    expect(wire.connection.streams.size).toBe(0);
  });

  test("to a request that goes on ends the request, too", () => {
    const { wire, call } = scene();
    call.finishWithStatus({ code: Code.INVALID_ARGUMENT, message: "no" });
    expect(wire.read().at(-1)).toStartWith("RST_STREAM 1 NO_ERROR");
    expect(wire.connection.streams.size).toBe(0);
  });

  test("to a request in another protocol that goes on takes the rest of it in, up to 1 MiB", () => {
    const { wire, call, told } = scene("", false);
    call.finishWithStatus({ code: Code.INVALID_ARGUMENT, message: "no" });
    expect(wire.read()).toHaveLength(1);
    const piece = new Uint8Array(16_384);
    let sentBytes = 0;
    while (wire.connection.streams.size > 0 && sentBytes < 2 << 20) {
      wire.send(data(1, piece));
      sentBytes += piece.length;
      wire.read();
    }
    expect([sentBytes, wire.connection.heldBytes, told]).toEqual([(1 << 20) + piece.length, 0, []]);
  });

  test("ends once, whatever is said later", () => {
    const { wire, call } = scene();
    call.finishWithStatus({ code: Code.INTERNAL, message: "first" });
    wire.read();
    call.finishWithStatus({ code: Code.OK, message: "" });
    call.sendHead(RESPONSE_HEAD);
    expect(call.sendMessageBytes(framed("late"), 0, 9)).toBe(9);
    expect(wire.read()).toEqual([]);
  });
});

describe("a request", () => {
  test("is handed on as it comes, with its end", () => {
    const { wire, told } = scene();
    wire.send(data(1, "abc"));
    wire.send(data(1, "de", END_STREAM));
    expect(told).toEqual(["bytes 3", "bytes 2", "end"]);
  });

  test("that ends with trailers ends", () => {
    const { wire, told } = scene();
    wire.send(wire.headers(1, [["x-trailer", "1"]], END_STREAM));
    expect(told).toEqual(["end"]);
  });

  test("that its client resets is cancelled", () => {
    const { wire, call, told } = scene();
    wire.send(frame(RST_STREAM, 0, 1, uint32(CANCEL)));
    expect([told, call.finished]).toEqual([["cancel stream reset by peer with CANCEL"], true]);
  });

  test("whose connection is lost is cancelled", () => {
    const { wire, told } = scene();
    wire.connection.transportClosed("connection closed");
    expect(told).toEqual(["cancel connection closed"]);
  });
});
