/** The states of a stream and what each frame means in them (RFC 9113 §5.1). */
import { describe, expect, test } from "bun:test";
import { CANCEL, data, END_STREAM, rstStream, windowUpdate } from "./frames.ts";
import {
  client,
  clientWithRequest,
  fields,
  open,
  REQUEST,
  RESPONSE,
  request,
  server,
  serverWithRequest,
} from "./wire.ts";

const TRAILERS = [["x-checksum", "1"]] as const;

describe("RFC 9113 §5.1: idle streams", () => {
  for (const [name, frame] of [
    ["DATA", data(3, "x")],
    ["RST_STREAM", rstStream(3, CANCEL)],
    ["WINDOW_UPDATE", windowUpdate(3, 1)],
  ] as const) {
    test(`${name} on an idle stream ends the connection, at both ends`, () => {
      for (const wire of [server(), client()]) {
        wire.send(frame);
        expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
      }
    });
  }

  test("HEADERS on an idle stream opens it", () => {
    const wire = server();
    wire.send(wire.headers(5, REQUEST));
    expect(wire.events).toEqual(["request 5 POST /kv"]);
    expect(wire.streams.get(5)?.state).toBe("open");
  });

  test("HEADERS with END_STREAM opens it half-closed", () => {
    const wire = server();
    wire.send(wire.headers(1, REQUEST, END_STREAM));
    expect(wire.events).toEqual(["request 1 POST /kv END_STREAM"]);
    expect(wire.streams.get(1)?.state).toBe("half-closed (remote)");
  });

  test("a server that opens a stream loses its connection", () => {
    for (const id of [2, 1, 101]) {
      const wire = client();
      wire.send(wire.headers(id, RESPONSE));
      expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
    }
  });
});

describe("RFC 9113 §5.1.1: stream identifiers", () => {
  test("a client's streams have odd numbers", () => {
    const wire = server();
    wire.send(wire.headers(2, REQUEST));
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });

  test("numbers may be left out, and those are closed then", () => {
    const wire = server();
    wire.send(wire.headers(5, REQUEST));
    wire.takeEvents();
    wire.send(wire.headers(3, REQUEST));
    expect(wire.events.at(-1)).toBe("end by self with STREAM_CLOSED");
  });

  test("the engine's client counts 1, 3, 5", () => {
    const wire = client();
    open(wire, true);
    open(wire, true);
    open(wire, true);
    const request = ":method=POST :scheme=http :authority=etcd :path=/kv END_STREAM";
    expect(wire.read()).toEqual([`HEADERS 1 ${request}`, `HEADERS 3 ${request}`, `HEADERS 5 ${request}`]);
  });
});

describe("RFC 9113 §5.1: half-closed streams", () => {
  test("DATA behind END_STREAM resets the stream", () => {
    const { wire } = serverWithRequest();
    wire.send(data(1, "last", END_STREAM));
    wire.takeEvents();
    wire.send(data(1, "more"));
    expect(wire.read()).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);
    expect(wire.events).toEqual(["reset 1 by self with STREAM_CLOSED"]);
  });

  test("HEADERS behind END_STREAM resets the stream", () => {
    const { wire } = serverWithRequest();
    wire.send(data(1, "last", END_STREAM));
    wire.send(wire.headers(1, TRAILERS, END_STREAM));
    expect(wire.read()).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);
  });

  test("at the client too", () => {
    for (const late of ["DATA", "HEADERS"]) {
      const { wire } = clientWithRequest();
      wire.send(wire.headers(1, RESPONSE, END_STREAM));
      wire.send(late === "DATA" ? data(1, "more") : wire.headers(1, TRAILERS, END_STREAM));
      expect(wire.read()).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);
    }
  });

  test("WINDOW_UPDATE and RST_STREAM behind END_STREAM count", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(data(1, "last", END_STREAM), windowUpdate(1, 1000));
    expect(stream.sendWindowBytes).toBe(66_535);
    wire.takeEvents();
    wire.send(rstStream(1, CANCEL));
    expect(wire.events).toEqual(["reset 1 by peer with CANCEL"]);
  });

  test("a server that has answered still takes the rest of the request", () => {
    const { wire, stream } = serverWithRequest();
    stream.sendHeaders(fields(RESPONSE), true);
    expect(stream.state).toBe("half-closed (local)");
    wire.send(data(1, "more"), wire.headers(1, TRAILERS, END_STREAM));
    expect(wire.events).toEqual(['data 1 "more"', "trailers 1 x-checksum=1"]);
    expect(stream.state).toBe("closed");
    expect(wire.connection.streams.size).toBe(0);
  });

  test("a side that has ended sends nothing more", () => {
    const { wire, stream } = serverWithRequest();
    stream.sendHeaders(fields(RESPONSE), true);
    stream.sendHeaders(fields(TRAILERS), true);
    stream.sendData(new Uint8Array(5), 0, 5, true);
    stream.sendTrailers(fields(TRAILERS));
    stream.sendEnd();
    expect(wire.read()).toEqual(["HEADERS 1 :status=200 END_STREAM"]);
  });
});

describe("RFC 9113 §5.1: streams that both sides have ended", () => {
  function finished() {
    const { wire, stream } = serverWithRequest();
    wire.send(data(1, "", END_STREAM));
    stream.sendHeaders(fields(RESPONSE), true);
    wire.read();
    wire.takeEvents();
    return wire;
  }

  test("DATA on one is answered by RST_STREAM, and the next by nothing", () => {
    const wire = finished();
    wire.send(data(1, "x"));
    expect(wire.read()).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);
    wire.send(data(1, "x"));
    expect(wire.read()).toEqual([]);
  });

  test("HEADERS on one ends the connection", () => {
    const wire = finished();
    wire.send(wire.headers(1, REQUEST));
    expect(wire.events).toEqual(["end by self with STREAM_CLOSED"]);
  });

  test("WINDOW_UPDATE and RST_STREAM cross its end and are ignored, however many", () => {
    const wire = finished();
    for (let i = 0; i < 10_000; i++) wire.send(windowUpdate(1, 1), rstStream(1, CANCEL));
    expect(wire.read()).toEqual([]);
    expect(wire.events).toEqual([]);
  });
});

describe("RFC 9113 §5.1: streams that were reset", () => {
  test("RST_STREAM ends the stream, and nothing is sent on it any more", () => {
    const { wire, stream } = serverWithRequest();
    wire.send(rstStream(1, CANCEL));
    expect(wire.events).toEqual(["reset 1 by peer with CANCEL"]);
    stream.sendHeaders(fields(RESPONSE), true);
    expect(wire.read()).toEqual([]);
  });

  test("DATA on a stream that the client has reset is answered by RST_STREAM", () => {
    const { wire } = serverWithRequest();
    wire.send(rstStream(1, CANCEL), data(1, "x"));
    expect(wire.read()).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);
  });

  test("HEADERS on a stream that the client has reset ends the connection", () => {
    const { wire } = serverWithRequest();
    wire.send(rstStream(1, CANCEL), wire.headers(1, TRAILERS, END_STREAM));
    expect(wire.events.at(-1)).toBe("end by self with STREAM_CLOSED");
  });

  test("what was under way to a stream that we have reset is ignored", () => {
    const { wire, stream } = serverWithRequest();
    stream.reset(CANCEL);
    expect(wire.read()).toEqual(["RST_STREAM 1 CANCEL"]);
    wire.send(
      data(1, "late"),
      windowUpdate(1, 5),
      wire.headers(1, TRAILERS, END_STREAM),
      rstStream(1, CANCEL),
    );
    expect(wire.read()).toEqual([]);
    expect(wire.events).toEqual([]);
  });

  test("the header sections on it still keep the compression state right", () => {
    const { wire, stream } = serverWithRequest();
    stream.reset(CANCEL);
    wire.send(wire.headers(1, [["x-new-in-table", "value"]], END_STREAM));
    wire.send(wire.headers(3, [...REQUEST, ["x-new-in-table", "value"]]));
    expect(wire.events).toEqual(["request 3 POST /kv"]);
  });

  test("the connection's credit for DATA on it is given back", () => {
    const { wire, stream } = serverWithRequest();
    stream.reset(CANCEL);
    wire.read();
    for (let i = 0; i < 600; i++) wire.send(data(1, new Uint8Array(16_384)));
    expect(wire.read()).toEqual([`WINDOW_UPDATE 0 +${513 * 16_384}`]);
  });

  test("a stream is reset once", () => {
    const { wire, stream } = serverWithRequest();
    stream.reset(CANCEL);
    stream.reset(CANCEL);
    expect(wire.read()).toEqual(["RST_STREAM 1 CANCEL"]);
  });

  test("late answers to calls that the engine's client has cancelled are ignored", () => {
    const { wire, stream } = clientWithRequest();
    stream.reset(CANCEL);
    wire.read();
    wire.takeEvents();
    wire.send(wire.headers(1, RESPONSE), data(1, "late"), wire.headers(1, TRAILERS, END_STREAM));
    expect(wire.read()).toEqual([]);
    expect(wire.events).toEqual([]);
  });
});

describe("RFC 9113 §5.1.2: our MAX_CONCURRENT_STREAMS", () => {
  const OPTIONS = { settings: { concurrentStreamsMax: 2 } };

  test("a stream above it is refused, its neighbours go on", () => {
    const wire = server(OPTIONS);
    request(wire, 1);
    request(wire, 3);
    wire.send(wire.headers(5, REQUEST), data(1, "on"));
    expect(wire.read()).toEqual(["RST_STREAM 5 REFUSED_STREAM"]);
    expect(wire.events).toEqual(['data 1 "on"']);
  });

  test("DATA on a refused stream is ignored", () => {
    const wire = server(OPTIONS);
    request(wire, 1);
    request(wire, 3);
    wire.send(wire.headers(5, REQUEST), data(5, "body", END_STREAM));
    expect(wire.read()).toEqual(["RST_STREAM 5 REFUSED_STREAM"]);
  });

  test("an ended stream makes room", () => {
    const wire = server(OPTIONS);
    request(wire, 1).reset(CANCEL);
    request(wire, 3);
    wire.send(wire.headers(5, REQUEST));
    expect(wire.events).toEqual(["request 5 POST /kv"]);
  });
});
