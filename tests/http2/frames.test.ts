/** Frames as such: layout, size, padding, where they belong, and the end of a connection (RFC 9113 §4, §5.4, §6). */
import { describe, expect, test } from "bun:test";
import {
  ACK,
  concat,
  DATA,
  data,
  END_HEADERS,
  frame,
  GOAWAY,
  goaway,
  HAS_PRIORITY,
  HEADERS,
  MAX_FRAME_SIZE,
  PADDED,
  PING,
  PRIORITY,
  PUSH_PROMISE,
  paddedData,
  ping,
  priorityField,
  RST_STREAM,
  SETTINGS,
  settings,
  uint32,
  WINDOW_UPDATE,
} from "./frames.ts";
import { client, REQUEST, server, serverWithRequest } from "./wire.ts";

const FRAME_SIZE_ERROR = ["end by self with FRAME_SIZE_ERROR"];
const PROTOCOL_ERROR = ["end by self with PROTOCOL_ERROR"];

describe("RFC 9113 §4.1: frames", () => {
  test("an unknown frame is ignored, on the connection and on a stream", () => {
    const { wire } = serverWithRequest();
    wire.send(frame(0x42, 0xff, 0, new Uint8Array(100)), frame(0xff, 0xff, 1, new Uint8Array(100)));
    wire.send(data(1, "on"));
    expect(wire.events).toEqual(['data 1 "on"']);
  });

  test("undefined flags are ignored", () => {
    const wire = server();
    wire.send(ping("12345678", 0xfe));
    expect(wire.read()).toEqual(["PING 12345678 ACK"]);
  });

  test("the reserved bit of a stream identifier is ignored", () => {
    const { wire } = serverWithRequest();
    wire.send(frame(DATA, 0, 0x80000001, new Uint8Array(3)));
    expect(wire.events).toHaveLength(1);
  });

  test("a frame cut anywhere is the same frame", () => {
    const { wire } = serverWithRequest();
    const bytes = data(1, "hello");
    for (let cut = 1; cut < bytes.length; cut++) {
      wire.send(bytes.subarray(0, cut));
      expect(wire.takeEvents()).toEqual([]);
      wire.send(bytes.subarray(cut));
      expect(wire.takeEvents()).toEqual(['data 1 "hello"']);
    }
  });

  test("content handed out stays as it was when more bytes come", () => {
    const { wire, stream } = serverWithRequest();
    const views: Uint8Array[] = [];
    stream.handler = {
      ...stream.handler,
      onData: (bytes, start, end) => views.push(bytes.subarray(start, end)),
    };
    const bytes = data(1, "hello");
    wire.send(bytes.subarray(0, 4));
    wire.send(bytes.subarray(4, 10));
    wire.send(bytes.subarray(10), data(1, "world"));
    wire.send(data(1, "again"));
    expect(views.map((view) => new TextDecoder().decode(view))).toEqual(["hello", "world", "again"]);
  });
});

describe("RFC 9113 §4.2: frame size", () => {
  test("a frame of exactly the advertised size is taken", () => {
    const { wire } = serverWithRequest();
    wire.send(data(1, new Uint8Array(16_384)));
    expect(wire.events).toEqual(["data 1 16384 bytes"]);
  });

  test("a frame above it ends the connection as soon as its header has come", () => {
    const { wire } = serverWithRequest();
    wire.send(data(1, new Uint8Array(16_385)).subarray(0, 9));
    expect(wire.events.at(-1)).toBe("end by self with FRAME_SIZE_ERROR");
  });

  test("a larger frame is taken where a larger size is advertised", () => {
    const { wire } = serverWithRequest({ settings: { frameBytesMax: 32_768 } });
    wire.send(data(1, new Uint8Array(32_768)));
    expect(wire.events).toEqual(["data 1 32768 bytes"]);
  });

  test("DATA is cut to the size the peer advertises", () => {
    const { wire, stream } = serverWithRequest({ peerSettings: [[MAX_FRAME_SIZE, 20_000]] });
    stream.sendData(new Uint8Array(40_001), 0, 40_001, false);
    expect(wire.read()).toEqual(["DATA 1 20000 bytes", "DATA 1 20000 bytes", "DATA 1 1 bytes"]);
  });

  for (const [name, wrong] of [
    ["PING of 7 bytes", frame(PING, 0, 0, new Uint8Array(7))],
    ["acknowledgement of SETTINGS with content", frame(SETTINGS, ACK, 0, new Uint8Array(6))],
    ["SETTINGS of 7 bytes", frame(SETTINGS, 0, 0, new Uint8Array(7))],
    ["WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, new Uint8Array(3))],
    ["WINDOW_UPDATE of 5 bytes on a stream", frame(WINDOW_UPDATE, 0, 1, new Uint8Array(5))],
    ["RST_STREAM of 3 bytes", frame(RST_STREAM, 0, 1, new Uint8Array(3))],
    ["GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, new Uint8Array(7))],
    ["padded DATA without its padding length", frame(DATA, PADDED, 1)],
    ["padded HEADERS without its padding length", frame(HEADERS, PADDED | END_HEADERS, 3)],
    [
      "HEADERS too short for its priority field",
      frame(HEADERS, HAS_PRIORITY | END_HEADERS, 3, new Uint8Array(4)),
    ],
  ] as const) {
    test(`${name} ends the connection`, () => {
      const { wire } = serverWithRequest();
      wire.send(wrong);
      expect(wire.events.slice(-1)).toEqual(FRAME_SIZE_ERROR);
    });
  }
});

describe("RFC 9113 §6: which frames belong to streams", () => {
  for (const [name, wrong] of [
    ["DATA", data(0, "x")],
    ["HEADERS", frame(HEADERS, END_HEADERS, 0)],
    ["PRIORITY", frame(PRIORITY, 0, 0, priorityField(1))],
    ["RST_STREAM", frame(RST_STREAM, 0, 0, uint32(8))],
    ["CONTINUATION", frame(9, END_HEADERS, 0)],
  ] as const) {
    test(`${name} on stream 0 ends the connection`, () => {
      const wire = server();
      wire.send(wrong);
      expect(wire.events).toEqual(PROTOCOL_ERROR);
    });
  }

  for (const [name, wrong] of [
    ["SETTINGS", frame(SETTINGS, 0, 1)],
    ["PING", frame(PING, 0, 1, new Uint8Array(8))],
    ["GOAWAY", frame(GOAWAY, 0, 1, new Uint8Array(8))],
  ] as const) {
    test(`${name} on a stream ends the connection`, () => {
      const wire = server();
      wire.send(wrong);
      expect(wire.events).toEqual(PROTOCOL_ERROR);
    });
  }
});

describe("RFC 9113 §6.1, §6.2: padding", () => {
  test("padding of DATA is not handed out", () => {
    const { wire } = serverWithRequest();
    wire.send(paddedData(1, "hello", 20));
    expect(wire.events).toEqual(['data 1 "hello"']);
  });

  test("DATA may be nothing but padding", () => {
    const { wire } = serverWithRequest();
    wire.send(paddedData(1, "", 255, 1));
    expect(wire.events).toEqual(['data 1 "" END_STREAM']);
  });

  test("padding as long as the DATA frame ends the connection", () => {
    const { wire } = serverWithRequest();
    wire.send(frame(DATA, PADDED, 1, Uint8Array.of(5, 1, 2, 3, 4)));
    expect(wire.events.at(-1)).toBe("end by self with PROTOCOL_ERROR");
  });

  test("HEADERS with padding and a priority field is read", () => {
    const wire = server();
    const block = wire.block(REQUEST);
    const payload = concat([Uint8Array.of(7), priorityField(0), block, new Uint8Array(7)]);
    wire.send(frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 1, payload));
    expect(wire.events).toEqual(["request 1 POST /kv"]);
  });

  test("padding longer than the HEADERS frame ends the connection", () => {
    const wire = server();
    wire.send(frame(HEADERS, END_HEADERS | PADDED, 1, concat([Uint8Array.of(250), wire.block(REQUEST)])));
    expect(wire.events).toEqual(PROTOCOL_ERROR);
  });
});

describe("RFC 9113 §6.3: PRIORITY", () => {
  test("it is ignored in every state of a stream", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(frame(PRIORITY, 0, 1, priorityField(0)), frame(PRIORITY, 0, 7, priorityField(1)));
    stream.reset(8);
    wire.send(frame(PRIORITY, 0, 1, priorityField(0)));
    expect(wire.events).toEqual([]);
    expect(wire.connection.ended).toBe(false);
  });

  test("one of a wrong size resets its stream", () => {
    const { wire } = serverWithRequest();
    wire.send(frame(PRIORITY, 0, 1, new Uint8Array(4)));
    expect(wire.read()).toEqual(["RST_STREAM 1 FRAME_SIZE_ERROR"]);
    expect(wire.events).toEqual(["reset 1 by self with FRAME_SIZE_ERROR"]);
  });

  test("one of a wrong size for a stream that is not open ends the connection", () => {
    const wire = server();
    wire.send(frame(PRIORITY, 0, 1, new Uint8Array(6)));
    expect(wire.events).toEqual(FRAME_SIZE_ERROR);
  });

  test("a stream that depends on itself ends the connection (RFC 7540 §5.3.1)", () => {
    const byPriority = server();
    byPriority.send(frame(PRIORITY, 0, 1, priorityField(1)));
    expect(byPriority.events).toEqual(PROTOCOL_ERROR);
    const byHeaders = server();
    const payload = concat([priorityField(1), byHeaders.block(REQUEST)]);
    byHeaders.send(frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, payload));
    expect(byHeaders.events).toEqual(PROTOCOL_ERROR);
  });
});

describe("RFC 9113 §6.6, §6.7: PUSH_PROMISE and PING", () => {
  test("PUSH_PROMISE ends the connection at both ends", () => {
    for (const wire of [server(), client()]) {
      wire.send(frame(PUSH_PROMISE, END_HEADERS, 1, uint32(2)));
      expect(wire.events).toEqual(PROTOCOL_ERROR);
    }
  });

  test("PING is acknowledged with its content, in order", () => {
    const wire = client();
    wire.send(ping("12345678"), ping("abcdefgh"));
    expect(wire.read()).toEqual(["PING 12345678 ACK", "PING abcdefgh ACK"]);
  });

  test("the acknowledgement of a PING is not answered", () => {
    for (const wire of [server(), client()]) {
      wire.send(ping("12345678", ACK));
      expect(wire.read()).toEqual([]);
    }
  });
});

describe("RFC 9113 §5.4.1: the end of a connection", () => {
  test("GOAWAY names the last stream the client has opened", () => {
    const wire = server();
    wire.send(wire.headers(1, REQUEST), wire.headers(7, REQUEST), data(0, "x"));
    expect(wire.read().at(-1)).toBe("GOAWAY 7 PROTOCOL_ERROR");
  });

  test("every open stream ends with the connection, before the connection's owner is told", () => {
    const wire = server();
    wire.send(wire.headers(1, REQUEST), wire.headers(3, REQUEST), data(0, "x"));
    expect(wire.events.slice(2)).toEqual([
      "reset 1 by connection with CANCEL",
      "reset 3 by connection with CANCEL",
      "end by self with PROTOCOL_ERROR",
    ]);
    expect(wire.connection.streams.size).toBe(0);
  });

  test("the socket's end ends every stream, once", () => {
    const { wire } = serverWithRequest();
    wire.connection.transportClosed("connection closed");
    wire.connection.transportClosed("connection closed");
    expect(wire.events).toEqual(["reset 1 by connection with CANCEL", "end by transport with NO_ERROR"]);
  });

  test("streams of an ended connection take what they are given and send nothing", () => {
    const { wire, stream } = serverWithRequest();
    wire.read();
    wire.connection.transportClosed("connection closed");
    stream.sendHeaders([], false);
    expect(stream.sendData(new Uint8Array(10), 0, 10, false)).toBe(10);
    stream.sendTrailers([]);
    stream.reset(8);
    stream.consume(5);
    expect(wire.read()).toEqual([]);
  });

  test("a fault in the owner's code ends the connection and is not hidden", () => {
    const { wire, stream } = serverWithRequest();
    stream.handler = {
      ...stream.handler,
      onData() {
        throw new Error("a fault of ours");
      },
    };
    expect(() => wire.send(data(1, "x"))).toThrow("a fault of ours");
    expect(wire.events.at(-1)).toBe("end by self with INTERNAL_ERROR");
  });

  test("a client that says GOAWAY may finish its streams", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(goaway(0, 0, "bye"), settings());
    stream.sendData(new Uint8Array(3), 0, 3, false);
    expect(wire.read()).toEqual(["SETTINGS ACK", "DATA 1 3 bytes"]);
  });
});
