/** Header sections: their frames, their compression, what they may contain (RFC 9113 §4.3, §6.10, §8). */
import { describe, expect, test } from "bun:test";
import { CONTINUATION, data, END_HEADERS, END_STREAM, frame, HEADERS, ping } from "./frames.ts";
import {
  client,
  clientWithRequest,
  type FieldList,
  fields,
  open,
  REQUEST,
  RESPONSE,
  request,
  server,
  serverWithRequest,
} from "./wire.ts";

const PROTOCOL_ERROR = ["end by self with PROTOCOL_ERROR"];
const MALFORMED = ["RST_STREAM 1 PROTOCOL_ERROR"];

describe("RFC 9113 §6.10: CONTINUATION", () => {
  test("a block cut into frames, empty ones among them, is one section", () => {
    const wire = server();
    const block = wire.block(REQUEST);
    wire.send(
      frame(HEADERS, END_STREAM, 1, block.subarray(0, 3)),
      frame(CONTINUATION, 0, 1),
      frame(CONTINUATION, 0, 1, block.subarray(3, 4)),
      frame(CONTINUATION, END_HEADERS, 1, block.subarray(4)),
    );
    expect(wire.events).toEqual(["request 1 POST /kv END_STREAM"]);
  });

  test("END_STREAM on CONTINUATION means nothing", () => {
    const wire = server();
    const block = wire.block(REQUEST);
    wire.send(
      frame(HEADERS, 0, 1, block.subarray(0, 3)),
      frame(CONTINUATION, END_HEADERS | END_STREAM, 1, block.subarray(3)),
    );
    expect(wire.events).toEqual(["request 1 POST /kv"]);
  });

  test("trailers may be cut too", () => {
    const { wire } = serverWithRequest();
    const block = wire.block([["x-checksum", "1"]]);
    wire.send(
      frame(HEADERS, END_STREAM, 1, block.subarray(0, 1)),
      frame(CONTINUATION, END_HEADERS, 1, block.subarray(1)),
    );
    expect(wire.events).toEqual(["trailers 1 x-checksum=1"]);
  });

  for (const [name, between] of [
    ["a PING", ping("12345678")],
    ["a CONTINUATION of another stream", frame(CONTINUATION, END_HEADERS, 3)],
    ["HEADERS of the same stream", frame(HEADERS, END_HEADERS, 1)],
    ["an unknown frame", frame(0x42, 0, 1)],
  ] as const) {
    test(`${name} within a block ends the connection`, () => {
      const wire = server();
      wire.send(frame(HEADERS, 0, 1, wire.block(REQUEST)), between);
      expect(wire.events).toEqual(PROTOCOL_ERROR);
    });
  }

  test("one behind a block that is whole ends the connection", () => {
    const { wire } = serverWithRequest();
    wire.send(frame(CONTINUATION, END_HEADERS, 1));
    expect(wire.events.at(-1)).toBe("end by self with PROTOCOL_ERROR");
  });

  test("sections above the peer's frame size go out in CONTINUATION frames", () => {
    const { wire, stream } = serverWithRequest();
    const value = "~".repeat(20_000); // thirteen bits each in the Huffman code, so it goes out as it is
    stream.sendHeaders(fields([...RESPONSE, ["x-long", value]]), true);
    const frames = wire.readFrames();
    expect(frames.map(({ type, flags }) => [type, flags])).toEqual([
      [HEADERS, END_STREAM],
      [CONTINUATION, END_HEADERS],
    ]);
    expect(frames[0]?.payload.length).toBe(16_384);
  });
});

describe("RFC 9113 §4.3: field section compression", () => {
  test("a block that cannot be decoded ends the connection", () => {
    for (const wire of [server(), client()]) {
      wire.send(frame(HEADERS, END_HEADERS, 1, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)));
      expect(wire.events).toEqual(["end by self with COMPRESSION_ERROR"]);
    }
  });

  test("a block that is cut off ends the connection", () => {
    const wire = server();
    wire.send(frame(HEADERS, END_HEADERS, 1, wire.block([["x-name", "value"]]).subarray(0, 4)));
    expect(wire.read()).toEqual(["GOAWAY 0 COMPRESSION_ERROR"]);
  });

  test("a block that goes to a stream that is refused is decoded all the same", () => {
    const wire = server({ settings: { concurrentStreamsMax: 1 } });
    request(wire, 1);
    wire.send(wire.headers(3, [...REQUEST, ["x-new-in-table", "1"]]));
    wire.streams.get(1)?.reset(8);
    wire.send(wire.headers(5, [...REQUEST, ["x-new-in-table", "1"]]));
    expect(wire.events).toEqual(["request 5 POST /kv"]);
  });
});

/** Each case: a request's section that is malformed and why. */
const without = (name: string): FieldList => REQUEST.filter(([each]) => each !== name);
const MALFORMED_REQUESTS: readonly (readonly [why: string, list: FieldList])[] = [
  ["§8.2.1: a name in upper case", [...REQUEST, ["X-Upper", "1"]]],
  ["§8.2.1: an empty name", [...REQUEST, ["", "1"]]],
  ["§8.2.1: a name with a space", [...REQUEST, ["x name", "1"]]],
  ["§8.2.1: a name with a colon", [...REQUEST, ["x:name", "1"]]],
  ["§8.2.1: a name with an octet above 0x7f", [...REQUEST, ["x-\u00e9", "1"]]],
  ["§8.2.1: a value with NUL", [...REQUEST, ["x-value", "a\0b"]]],
  ["§8.2.1: a value with CR", [...REQUEST, ["x-value", "a\rb"]]],
  ["§8.2.1: a value with LF", [...REQUEST, ["x-value", "a\nb"]]],
  ["§8.2.1: a value that begins with a space", [...REQUEST, ["x-value", " a"]]],
  ["§8.2.1: a value that ends with a tab", [...REQUEST, ["x-value", "a\t"]]],
  ["§8.2.1: a pseudo-header value with LF", [...without(":path"), [":path", "/a\nb"]]],
  ["§8.2.2: connection", [...REQUEST, ["connection", "close"]]],
  ["§8.2.2: proxy-connection", [...REQUEST, ["proxy-connection", "close"]]],
  ["§8.2.2: keep-alive", [...REQUEST, ["keep-alive", "timeout=5"]]],
  ["§8.2.2: transfer-encoding", [...REQUEST, ["transfer-encoding", "chunked"]]],
  ["§8.2.2: upgrade", [...REQUEST, ["upgrade", "h2c"]]],
  ["§8.2.2: te other than trailers", [...REQUEST, ["te", "trailers, deflate"]]],
  ["§8.3: a pseudo-header behind a regular field", [...without(":path"), ["x-a", "1"], [":path", "/"]]],
  ["§8.3: an unknown pseudo-header", [[":unknown", "1"], ...REQUEST]],
  ["§8.3: a response's pseudo-header", [[":status", "200"], ...REQUEST]],
  ["§8.3: a bare colon", [[":", "1"], ...REQUEST]],
  ["§8.3.1: no :method", without(":method")],
  ["§8.3.1: no :scheme", without(":scheme")],
  ["§8.3.1: no :path", without(":path")],
  ["§8.3.1: an empty :path", [...without(":path"), [":path", ""]]],
  ["§8.3.1: :method twice", [[":method", "POST"], ...REQUEST]],
  ["§8.3.1: :scheme twice", [[":scheme", "http"], ...REQUEST]],
  ["§8.3.1: :authority twice", [[":authority", "etcd"], ...REQUEST]],
  ["§8.3.1: :path twice", [[":path", "/kv"], ...REQUEST]],
  [
    "§8.5: CONNECT, which is not served",
    [
      [":method", "CONNECT"],
      [":authority", "etcd"],
    ],
  ],
  ["§8.1.1: content-length that is no number", [...REQUEST, ["content-length", "12a"]]],
  ["§8.1.1: content-length below zero", [...REQUEST, ["content-length", "-1"]]],
  ["§8.1.1: content-length twice, different", [...REQUEST, ["content-length", "1"], ["content-length", "2"]]],
];

describe("RFC 9113 §8.2, §8.3: a malformed request resets its stream", () => {
  for (const [why, list] of MALFORMED_REQUESTS) {
    test(why, () => {
      const wire = server();
      wire.send(wire.headers(1, list));
      expect(wire.read()).toEqual(MALFORMED);
      expect(wire.events).toEqual([]);
    });
  }

  test("and what follows on it is ignored, while its neighbours go on", () => {
    const wire = server();
    wire.send(wire.headers(1, [...REQUEST, ["Upper", "1"]]), data(1, "body", END_STREAM));
    wire.send(wire.headers(3, REQUEST));
    expect(wire.read()).toEqual(MALFORMED);
    expect(wire.events).toEqual(["request 3 POST /kv"]);
  });

  for (const [name, list] of [
    ["te: trailers", [...REQUEST, ["te", "trailers"]]],
    ["an empty value", [...REQUEST, ["x-empty", ""]]],
    ["a value with a space and a tab inside", [...REQUEST, ["x-value", "a \tb"]]],
    ["a value with octets above 0x7f", [...REQUEST, ["x-value", "\u00e9"]]],
    ["the same content-length twice", [...REQUEST, ["content-length", "3"], ["content-length", "3"]]],
    ["host in place of :authority", [...without(":authority"), ["host", "etcd"]]],
  ] as readonly (readonly [string, FieldList])[]) {
    test(`${name} is allowed`, () => {
      const wire = server();
      wire.send(wire.headers(1, list));
      expect(wire.events).toEqual(["request 1 POST /kv"]);
    });
  }
});

describe("RFC 9113 §8.3.2: responses", () => {
  for (const [why, list] of [
    ["no :status", [["content-type", "application/grpc"]]],
    ["two :status", [...RESPONSE, [":status", "200"]]],
    [":status that is no number of three digits", [[":status", "20"]]],
    [":status 000", [[":status", "000"]]],
    ["a request's pseudo-header", [...RESPONSE, [":path", "/"]]],
    [":status behind a regular field", [["server", "etcd"], ...RESPONSE]],
    ["a connection-specific field", [...RESPONSE, ["connection", "close"]]],
    ["a name in upper case", [...RESPONSE, ["Server", "etcd"]]],
  ] as readonly (readonly [string, FieldList])[]) {
    test(`${why} resets the stream`, () => {
      const { wire } = clientWithRequest();
      wire.send(wire.headers(1, list));
      expect(wire.read()).toEqual(MALFORMED);
      expect(wire.events).toEqual(["stream ended", "reset 1 by self with PROTOCOL_ERROR"]);
    });
  }

  test("DATA before HEADERS resets the stream", () => {
    const { wire } = clientWithRequest();
    wire.send(data(1, "early"));
    expect(wire.read()).toEqual(MALFORMED);
  });
});

describe("RFC 9113 §8.1: informational responses", () => {
  test("they are not passed on, and the final one is", () => {
    const { wire } = clientWithRequest();
    wire.send(wire.headers(1, [[":status", "100"]]), wire.headers(1, [[":status", "103"]]));
    expect(wire.events).toEqual([]);
    wire.send(wire.headers(1, RESPONSE), data(1, "x"), wire.headers(1, [["grpc-status", "0"]], END_STREAM));
    expect(wire.events).toEqual(["response 1 200", 'data 1 "x"', "trailers 1 grpc-status=0"]);
  });

  for (const [why, status, flags] of [
    ["one that ends the stream", "100", END_STREAM],
    ["101, which HTTP/2 has not (§8.6)", "101", 0],
  ] as const) {
    test(`${why} resets the stream`, () => {
      const { wire } = clientWithRequest();
      wire.send(wire.headers(1, [[":status", status]], flags));
      expect(wire.read()).toEqual(MALFORMED);
    });
  }

  test("DATA behind one resets the stream", () => {
    const { wire } = clientWithRequest();
    wire.send(wire.headers(1, [[":status", "100"]]), data(1, "early"));
    expect(wire.read()).toEqual(MALFORMED);
  });
});

describe("RFC 9113 §8.1: trailers", () => {
  test("a request's trailers end it", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(data(1, "x"), wire.headers(1, [["x-checksum", "1"]], END_STREAM));
    expect(wire.events).toEqual(['data 1 "x"', "trailers 1 x-checksum=1"]);
    expect(stream.state).toBe("half-closed (remote)");
  });

  for (const [why, list, flags] of [
    ["trailers without END_STREAM", [["x-checksum", "1"]], 0],
    ["trailers with a pseudo-header", [[":status", "200"]], END_STREAM],
    ["trailers with a connection-specific field", [["connection", "close"]], END_STREAM],
  ] as readonly (readonly [string, FieldList, number])[]) {
    test(`${why} reset the stream, at both ends`, () => {
      const { wire } = serverWithRequest();
      wire.send(wire.headers(1, list, flags));
      expect(wire.read()).toEqual(MALFORMED);
      const other = clientWithRequest().wire;
      other.send(other.headers(1, RESPONSE), other.headers(1, list, flags));
      expect(other.read()).toEqual(MALFORMED);
    });
  }

  test("a response of one section with END_STREAM has no trailers", () => {
    const { wire, stream } = clientWithRequest({}, true);
    wire.send(wire.headers(1, [...RESPONSE, ["grpc-status", "5"]], END_STREAM));
    expect(wire.events).toEqual(["stream ended", "response 1 200 END_STREAM"]);
    expect(stream.closed).toBe(true);
  });
});

describe("RFC 9113 §8.1.1: content-length", () => {
  const LENGTH_5: FieldList = [...REQUEST, ["content-length", "5"]];

  test("DATA that adds up to it is fine, padding aside", () => {
    const wire = server();
    request(wire, 1, 0, LENGTH_5);
    wire.send(data(1, "he"), frame(0, 0x9, 1, Uint8Array.of(2, 0x6c, 0x6c, 0x6f, 0, 0)));
    expect(wire.events).toEqual(['data 1 "he"', 'data 1 "llo" END_STREAM']);
  });

  for (const [why, frames] of [
    ["more DATA", [data(1, "hello!")]],
    ["less DATA", [data(1, "hell", END_STREAM)]],
    ["DATA that goes beyond it in a later frame", [data(1, "hello"), data(1, "!", END_STREAM)]],
  ] as const) {
    test(`${why} resets the stream`, () => {
      const wire = server();
      request(wire, 1, 0, LENGTH_5);
      wire.send(...frames);
      expect(wire.read()).toEqual(MALFORMED);
      expect(wire.events.at(-1)).toBe("reset 1 by self with PROTOCOL_ERROR");
    });
  }

  test("trailers before all DATA has come reset the stream", () => {
    const wire = server();
    request(wire, 1, 0, LENGTH_5);
    wire.send(data(1, "hell"), wire.headers(1, [["x-checksum", "1"]], END_STREAM));
    expect(wire.read()).toEqual(MALFORMED);
  });

  test("a section with END_STREAM that declares content resets the stream, at both ends", () => {
    const wire = server();
    wire.send(wire.headers(1, LENGTH_5, END_STREAM));
    expect(wire.read()).toEqual(MALFORMED);
    const other = client();
    open(other);
    other.read();
    other.send(other.headers(1, [...RESPONSE, ["content-length", "5"]], END_STREAM));
    expect(other.read()).toEqual(MALFORMED);
  });

  test("a length of zero is none", () => {
    const wire = server();
    wire.send(wire.headers(1, [...REQUEST, ["content-length", "0"]], END_STREAM));
    expect(wire.events).toEqual(["request 1 POST /kv END_STREAM"]);
  });

  test("a response's content is counted too", () => {
    const { wire } = clientWithRequest();
    wire.send(wire.headers(1, [...RESPONSE, ["content-length", "5"]]), data(1, "hello!"));
    expect(wire.read()).toEqual(MALFORMED);
  });
});

describe("RFC 9113 §10.5.1: header sections above the limit", () => {
  const LARGE: FieldList = [...REQUEST, ["x-large", "a".repeat(17_000)]];

  test("a request is answered with 431 and never reaches the owner", () => {
    const wire = server();
    wire.send(wire.headers(1, LARGE, END_STREAM));
    expect(wire.read()).toEqual(["HEADERS 1 :status=431 content-length=0 END_STREAM"]);
    expect(wire.events).toEqual([]);
    expect(wire.connection.streams.size).toBe(0);
  });

  test("one whose content is still to come is told to stop", () => {
    const wire = server();
    wire.send(wire.headers(1, LARGE));
    expect(wire.read()).toEqual([
      "HEADERS 1 :status=431 content-length=0 END_STREAM",
      "RST_STREAM 1 NO_ERROR",
    ]);
    wire.send(data(1, "body", END_STREAM), wire.headers(3, REQUEST));
    expect(wire.events).toEqual(["request 3 POST /kv"]);
  });

  test("many small fields count with 32 octets each", () => {
    const wire = server();
    const many = Array.from({ length: 470 }, (): [string, string] => ["a", "b"]);
    wire.send(wire.headers(1, [...REQUEST, ...many]));
    expect(wire.events).toEqual(["request 1 POST /kv"]);
    wire.send(wire.headers(3, [...REQUEST, ...many, ...many.slice(0, 10)]));
    expect(wire.read()[0]).toBe("HEADERS 3 :status=431 content-length=0 END_STREAM");
  });

  test("trailers above it reset the stream", () => {
    const { wire } = serverWithRequest();
    wire.send(wire.headers(1, [["x-large", "a".repeat(17_000)]], END_STREAM));
    expect(wire.read()).toEqual(MALFORMED);
  });

  test("a response above it resets the stream", () => {
    const { wire } = clientWithRequest();
    wire.send(wire.headers(1, [...RESPONSE, ["x-large", "a".repeat(17_000)]]));
    expect(wire.read()).toEqual(["RST_STREAM 1 ENHANCE_YOUR_CALM"]);
  });
});
