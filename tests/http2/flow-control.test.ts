/** Both levels of flow control in both directions (RFC 9113 §5.2, §6.9). */
import { describe, expect, test } from "bun:test";
import { STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import { data, END_STREAM, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, paddedData, windowUpdate } from "./frames.ts";
import { clientWithRequest, fields, RESPONSE, request, server, serverWithRequest } from "./wire.ts";

const WINDOW_MAX = 0x7fffffff;
const FRAME = new Uint8Array(16_384);

describe("RFC 9113 §6.9: WINDOW_UPDATE", () => {
  test("one of zero on a stream resets that stream", () => {
    const { wire } = serverWithRequest();
    wire.send(windowUpdate(1, 0));
    expect(wire.read()).toEqual(["RST_STREAM 1 PROTOCOL_ERROR"]);
  });

  test("one of zero on the connection ends it", () => {
    const wire = server();
    wire.send(windowUpdate(0, 0));
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });

  test("the reserved bit is ignored", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(windowUpdate(1, 0x80000005));
    expect(stream.sendWindowBytes).toBe(65_540);
  });

  test("one that takes a stream's window beyond 2^31-1 resets that stream", () => {
    const { wire } = serverWithRequest();
    wire.send(windowUpdate(1, WINDOW_MAX - 65_535));
    expect(wire.read()).toEqual([]);
    wire.send(windowUpdate(1, 1));
    expect(wire.read()).toEqual(["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
  });

  test("one that takes the connection's window beyond 2^31-1 ends it", () => {
    const wire = server();
    wire.send(windowUpdate(0, WINDOW_MAX - 65_535));
    expect(wire.connection.ended).toBe(false);
    wire.send(windowUpdate(0, 1));
    expect(wire.events).toEqual(["end by self with FLOW_CONTROL_ERROR"]);
  });
});

describe("RFC 9113 §6.9: credit that we give", () => {
  test("the connection's comes back on receipt, whether or not the stream's owner has consumed", () => {
    const wire = server({ settings: { concurrentStreamsMax: 100 } });
    const streams = Array.from({ length: 40 }, (_, i) => request(wire, 1 + 2 * i));
    wire.read();
    for (const stream of streams) {
      for (let sent = 0; sent < STREAM_WINDOW_BYTES; sent += FRAME.length) wire.send(data(stream.id, FRAME));
    }
    expect(wire.read()).toEqual([`WINDOW_UPDATE 0 +${513 * FRAME.length}`]);
  });

  test("a stream's comes back once its owner has consumed half of the window", () => {
    const { wire, stream } = serverWithRequest();
    for (let i = 0; i < 16; i++) wire.send(data(1, FRAME));
    expect(wire.read()).toEqual([]);
    stream.consume(STREAM_WINDOW_BYTES / 2 - 1);
    expect(wire.read()).toEqual([]);
    stream.consume(1);
    expect(wire.read()).toEqual([`WINDOW_UPDATE 1 +${STREAM_WINDOW_BYTES / 2}`]);
    stream.consume(STREAM_WINDOW_BYTES / 2);
    expect(wire.read()).toEqual([`WINDOW_UPDATE 1 +${STREAM_WINDOW_BYTES / 2}`]);
    expect(stream.receiveWindowBytes).toBe(STREAM_WINDOW_BYTES);
  });

  test("the window is the one that our SETTINGS say", () => {
    const { wire, stream } = serverWithRequest({ settings: { initialWindowBytes: 10 } });
    wire.send(data(1, "0123456789"));
    stream.consume(5);
    expect(wire.read()).toEqual(["WINDOW_UPDATE 1 +5"]);
    wire.send(data(1, "012345"));
    expect(wire.read()).toEqual(["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
  });

  test("DATA that fills a stream's window is taken, one byte more resets the stream", () => {
    const { wire } = serverWithRequest();
    for (let i = 0; i < 16; i++) wire.send(data(1, FRAME));
    expect(wire.read()).toEqual([]);
    wire.send(data(1, "x"));
    expect(wire.read()).toEqual(["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
  });

  test("an empty DATA frame passes a window that is full", () => {
    const { wire } = serverWithRequest();
    for (let i = 0; i < 16; i++) wire.send(data(1, FRAME));
    wire.send(data(1, "", END_STREAM));
    expect(wire.events.at(-1)).toBe('data 1 "" END_STREAM');
  });

  test("padding counts, and counts as consumed", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(paddedData(1, "hello", 100));
    expect(stream.receiveWindowBytes).toBe(STREAM_WINDOW_BYTES - 106);
    expect(stream.unconsumedBytes).toBe(5);
    expect(wire.connection.heldBytes).toBe(5);
  });

  test("padding alone cannot use up a stream's window", () => {
    const { wire } = serverWithRequest();
    for (let i = 0; i < 1000; i++) wire.send(paddedData(1, "x", 255));
    for (const line of wire.read()) expect(line).toStartWith("WINDOW_UPDATE 1 +13");
    expect(wire.connection.streams.size).toBe(1);
  });

  test("a stream whose peer has ended gets no credit", () => {
    const { wire, stream } = serverWithRequest();
    for (let i = 0; i < 15; i++) wire.send(data(1, FRAME));
    wire.send(data(1, FRAME, END_STREAM));
    stream.consume(STREAM_WINDOW_BYTES);
    expect(wire.read()).toEqual([]);
    expect(wire.connection.heldBytes).toBe(0);
  });

  test("a client gives credit in the same way", () => {
    const { wire, stream } = clientWithRequest();
    wire.send(wire.headers(1, RESPONSE));
    for (let i = 0; i < 16; i++) wire.send(data(1, FRAME));
    stream.consume(STREAM_WINDOW_BYTES);
    expect(wire.read()).toEqual([`WINDOW_UPDATE 1 +${STREAM_WINDOW_BYTES}`]);
    wire.send(data(1, FRAME));
    expect(wire.connection.streams.size).toBe(1);
  });

  test("the connection's credit comes back for DATA that its stream does not take", () => {
    const { wire } = serverWithRequest({ settings: { frameBytesMax: 16_777_215 } });
    wire.send(data(1, new Uint8Array(16_777_215)));
    expect(wire.read()).toEqual(["WINDOW_UPDATE 0 +16777215", "RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    expect(wire.connection.ended).toBe(false);
  });
});

describe("RFC 9113 §6.9.1: credit that we take", () => {
  test("DATA within both windows goes out at once", () => {
    const { wire, stream } = serverWithRequest();
    expect(stream.sendData(new Uint8Array(20_000), 0, 20_000, false)).toBe(20_000);
    expect(wire.read()).toEqual(["DATA 1 16384 bytes", "DATA 1 3616 bytes"]);
    expect(wire.events).toEqual([]);
  });

  test("what the stream's window does not take waits, and its owner is told when it leaves", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 10]] });
    expect(stream.sendData(new Uint8Array(25), 0, 25, false)).toBe(10);
    expect(wire.read()).toEqual(["DATA 1 10 bytes"]);
    wire.send(windowUpdate(1, 7));
    expect(wire.read()).toEqual(["DATA 1 7 bytes"]);
    wire.send(windowUpdate(1, 100));
    expect(wire.read()).toEqual(["DATA 1 8 bytes"]);
    expect(wire.events).toEqual(["sent 1 7", "sent 1 8"]);
  });

  test("what the connection's window does not take waits for the connection's credit", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 1_000_000]] });
    expect(stream.sendData(new Uint8Array(70_000), 0, 70_000, false)).toBe(65_535);
    wire.read();
    wire.send(windowUpdate(1, 1000));
    expect(wire.read()).toEqual([]);
    wire.send(windowUpdate(0, 4000));
    expect(wire.read()).toEqual(["DATA 1 4000 bytes"]);
    wire.send(windowUpdate(0, 4000));
    expect(wire.read()).toEqual(["DATA 1 465 bytes"]);
  });

  test("END_STREAM goes with the last byte, not before", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 10]] });
    stream.sendData(new Uint8Array(15), 0, 15, true);
    expect(wire.read()).toEqual(["DATA 1 10 bytes"]);
    expect(stream.state).toBe("open");
    wire.send(windowUpdate(1, 10));
    expect(wire.read()).toEqual(["DATA 1 5 bytes END_STREAM"]);
    expect(stream.state).toBe("half-closed (local)");
  });

  test("an end without DATA goes out whatever the windows", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 0]] });
    stream.sendEnd();
    expect(wire.read()).toEqual(["DATA 1 0 bytes END_STREAM"]);
  });

  test("an end behind queued DATA goes out with it", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 10]] });
    stream.sendData(new Uint8Array(15), 0, 15, false);
    stream.sendEnd();
    expect(wire.read()).toEqual(["DATA 1 10 bytes"]);
    wire.send(windowUpdate(1, 10));
    expect(wire.read()).toEqual(["DATA 1 5 bytes END_STREAM"]);
    expect(stream.localEnded).toBe(true);
  });

  test("trailers wait behind queued DATA", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 10]] });
    stream.sendData(new Uint8Array(15), 0, 15, false);
    stream.sendTrailers(fields([["grpc-status", "0"]]));
    expect(wire.read()).toEqual(["DATA 1 10 bytes"]);
    wire.send(windowUpdate(1, 10));
    expect(wire.read()).toEqual(["DATA 1 5 bytes", "HEADERS 1 grpc-status=0 END_STREAM"]);
    expect(stream.localEnded).toBe(true);
  });

  test("nothing is taken behind an end that still waits", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 10]] });
    stream.sendData(new Uint8Array(15), 0, 15, true);
    expect(stream.sendData(new Uint8Array(9), 0, 9, false)).toBe(9);
    stream.sendTrailers(fields([["grpc-status", "0"]]));
    wire.send(windowUpdate(1, 100));
    expect(wire.read()).toEqual(["DATA 1 10 bytes", "DATA 1 5 bytes END_STREAM"]);
  });

  test("queued pieces leave in order and unharmed, though their owner changes its buffer", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 1]] });
    const buffer = new Uint8Array(8);
    for (const piece of ["alpha ", "beta ", "gamma ", "delta"]) {
      buffer.set(new TextEncoder().encode(piece));
      stream.sendData(buffer, 0, piece.length, false);
    }
    buffer.fill(0);
    for (let i = 0; i < 7; i++) {
      wire.send(windowUpdate(1, 3));
      wire.read();
    }
    expect(wire.receivedText(1)).toBe("alpha beta gamma delta");
    expect(stream.queuedBytes).toBe(0);
  });

  test("many small queued pieces leave in few frames", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 0]] });
    for (let i = 0; i < 10_000; i++) stream.sendData(Uint8Array.of(i), 0, 1, false);
    wire.send(windowUpdate(1, 20_000));
    expect(wire.read()).toEqual(["DATA 1 4096 bytes", "DATA 1 4096 bytes", "DATA 1 1808 bytes"]);
  });

  test("a reset stream's queue is dropped", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 0]] });
    stream.sendData(new Uint8Array(100), 0, 100, false);
    expect(wire.connection.heldBytes).toBe(100);
    stream.reset(8);
    expect(wire.connection.heldBytes).toBe(0);
    wire.send(windowUpdate(0, 100));
    expect(wire.read()).toEqual(["RST_STREAM 1 CANCEL"]);
  });

  test("a peer with large frames gets large frames from the queue", () => {
    const { wire, stream } = serverWithRequest({
      peerSettings: [
        [INITIAL_WINDOW_SIZE, 0],
        [MAX_FRAME_SIZE, 40_000],
      ],
    });
    stream.sendData(new Uint8Array(40_000), 0, 40_000, true);
    wire.send(windowUpdate(1, 65_535));
    expect(wire.read()).toEqual(["DATA 1 40000 bytes END_STREAM"]);
  });
});
