/** SETTINGS, and what a change of each means for what is under way (RFC 9113 §6.5). */
import { describe, expect, test } from "bun:test";
import {
  ACK,
  ENABLE_PUSH,
  frame,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  SETTINGS,
  settings,
  windowUpdate,
} from "./frames.ts";
import { client, fields, open, RESPONSE, request, server, serverWithRequest } from "./wire.ts";

const WINDOW_MAX = 0x7fffffff;

describe("RFC 9113 §6.5: SETTINGS", () => {
  test("each frame is acknowledged, an empty one too", () => {
    const wire = server();
    wire.send(settings(), settings([HEADER_TABLE_SIZE, 100]));
    expect(wire.read()).toEqual(["SETTINGS ACK", "SETTINGS ACK"]);
  });

  test("an acknowledgement is not acknowledged", () => {
    const wire = server();
    wire.send(frame(SETTINGS, ACK, 0));
    expect(wire.read()).toEqual([]);
  });

  test("unknown settings are ignored", () => {
    const wire = server();
    wire.send(settings([0x99, 5], [0xffff, 7]));
    expect(wire.read()).toEqual(["SETTINGS ACK"]);
  });

  test("of two values of one setting the later counts", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(settings([MAX_FRAME_SIZE, 20_000], [MAX_FRAME_SIZE, 30_000]));
    wire.read();
    stream.sendData(new Uint8Array(30_000), 0, 30_000, false);
    expect(wire.read()).toEqual(["DATA 1 30000 bytes"]);
  });
});

describe("RFC 9113 §6.5.2: settings out of range end the connection", () => {
  for (const [name, id, value, code] of [
    ["ENABLE_PUSH of 2", ENABLE_PUSH, 2, "PROTOCOL_ERROR"],
    ["INITIAL_WINDOW_SIZE of 2^31", INITIAL_WINDOW_SIZE, 2 ** 31, "FLOW_CONTROL_ERROR"],
    ["MAX_FRAME_SIZE of 16383", MAX_FRAME_SIZE, 16_383, "PROTOCOL_ERROR"],
    ["MAX_FRAME_SIZE of 2^24", MAX_FRAME_SIZE, 2 ** 24, "PROTOCOL_ERROR"],
  ] as const) {
    test(`${name} with ${code}`, () => {
      const wire = server();
      wire.send(settings([id, value]));
      expect(wire.read()).toEqual([`GOAWAY 0 ${code}`]);
    });
  }

  for (const [name, id, value] of [
    ["ENABLE_PUSH of 1 from a client", ENABLE_PUSH, 1],
    ["INITIAL_WINDOW_SIZE of 2^31-1", INITIAL_WINDOW_SIZE, WINDOW_MAX],
    ["MAX_FRAME_SIZE of 16384", MAX_FRAME_SIZE, 16_384],
    ["MAX_FRAME_SIZE of 2^24-1", MAX_FRAME_SIZE, 2 ** 24 - 1],
    ["HEADER_TABLE_SIZE of 2^32-1", HEADER_TABLE_SIZE, 2 ** 32 - 1],
  ] as const) {
    test(`${name} is in range`, () => {
      const wire = server();
      wire.send(settings([id, value]));
      expect(wire.read()).toEqual(["SETTINGS ACK"]);
    });
  }
});

describe("RFC 9113 §6.9.2: a change of the initial window", () => {
  test("new streams begin with it", () => {
    const wire = server({ peerSettings: [[INITIAL_WINDOW_SIZE, 5]] });
    const stream = request(wire, 1);
    expect(stream.sendData(new Uint8Array(8), 0, 8, false)).toBe(5);
    expect(wire.read()).toEqual(["DATA 1 5 bytes"]);
  });

  test("a larger one lets open streams go on behind the acknowledgement", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 5]] });
    stream.sendData(new Uint8Array(8), 0, 8, false);
    wire.read();
    wire.send(settings([INITIAL_WINDOW_SIZE, 7]));
    expect(wire.read()).toEqual(["SETTINGS ACK", "DATA 1 2 bytes"]);
  });

  test("a smaller one can make a window negative, which credit must first make good", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 100]] });
    stream.sendData(new Uint8Array(100), 0, 100, false);
    stream.sendData(new Uint8Array(10), 0, 10, false);
    wire.read();
    wire.send(settings([INITIAL_WINDOW_SIZE, 20]));
    expect(stream.sendWindowBytes).toBe(-80);
    wire.send(windowUpdate(1, 80));
    expect(wire.read()).toEqual(["SETTINGS ACK"]);
    wire.send(windowUpdate(1, 4));
    expect(wire.read()).toEqual(["DATA 1 4 bytes"]);
  });

  test("a window of zero holds DATA, not header sections and trailers", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 0]] });
    stream.sendHeaders(fields(RESPONSE), false);
    stream.sendTrailers(fields([["grpc-status", "0"]]));
    expect(wire.read()).toEqual(["HEADERS 1 :status=200", "HEADERS 1 grpc-status=0 END_STREAM"]);
  });

  test("one that takes a stream's window beyond 2^31-1 ends the connection", () => {
    const { wire } = serverWithRequest();
    wire.send(windowUpdate(1, WINDOW_MAX - 65_535));
    expect(wire.connection.ended).toBe(false);
    wire.send(settings([INITIAL_WINDOW_SIZE, 65_536]));
    expect(wire.events.at(-1)).toBe("end by self with FLOW_CONTROL_ERROR");
  });

  test("it does not change the connection's window", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[INITIAL_WINDOW_SIZE, 1_000_000]] });
    stream.sendData(new Uint8Array(100_000), 0, 100_000, false);
    wire.read();
    expect(stream.queuedBytes).toBe(100_000 - 65_535);
  });
});

describe("RFC 9113 §4.3.1: a change of the peer's header table", () => {
  test("the next header block announces the smaller table", () => {
    const wire = server();
    const first = request(wire, 1);
    first.sendHeaders(fields([...RESPONSE, ["x-custom", "value"]]), true);
    expect(wire.read()).toEqual(["HEADERS 1 :status=200 x-custom=value END_STREAM"]);
    wire.send(settings([HEADER_TABLE_SIZE, 0]));
    const second = request(wire, 3);
    second.sendHeaders(fields([...RESPONSE, ["x-custom", "value"]]), true);
    const [acknowledgement, head] = wire.readFrames();
    expect(acknowledgement?.type).toBe(SETTINGS);
    expect(head?.payload[0]).toBe(0x20); // size update to 0 (RFC 7541 §6.3)
  });
});

describe("RFC 9113 §5.1.2: the server's MAX_CONCURRENT_STREAMS", () => {
  test("a client opens no more than it, and goes on when a stream has ended", () => {
    const wire = client({ peerSettings: [[MAX_CONCURRENT_STREAMS, 2]] });
    const first = open(wire);
    open(wire);
    expect(wire.connection.canOpen).toBe(false);
    expect(() => open(wire)).toThrow("no stream can be opened");
    first.reset(8);
    expect(wire.events).toEqual(["stream ended"]);
    expect(wire.connection.canOpen).toBe(true);
  });

  test("a client is told when the server allows more", () => {
    const wire = client({ peerSettings: [[MAX_CONCURRENT_STREAMS, 0]] });
    expect(wire.connection.canOpen).toBe(false);
    wire.send(settings([MAX_CONCURRENT_STREAMS, 1]));
    expect(wire.events).toEqual(["stream ended"]);
    expect(wire.connection.canOpen).toBe(true);
  });
});
