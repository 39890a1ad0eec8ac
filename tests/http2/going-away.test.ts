/** How connections end in peace: GOAWAY, REFUSED_STREAM, the last stream id (RFC 9113 §5.1.1, §6.8, §8.7). */
import { describe, expect, test } from "bun:test";
import {
  ACK,
  CANCEL,
  data,
  END_STREAM,
  goaway,
  NO_ERROR,
  ping,
  REFUSED_STREAM,
  rstStream,
} from "./frames.ts";
import {
  client,
  clientWithRequest,
  fields,
  open,
  REQUEST,
  RESPONSE,
  server,
  serverWithRequest,
} from "./wire.ts";

const STREAM_ID_MAX = 0x7fffffff;
const DRAIN_ACK = ping("drainetc", ACK);

describe("RFC 9113 §6.8: a server that drains", () => {
  test("it says GOAWAY with the highest id and asks for a sign that it was heard", () => {
    const { wire } = serverWithRequest();
    wire.connection.drain();
    expect(wire.read()).toEqual([`GOAWAY ${STREAM_ID_MAX} NO_ERROR`, "PING drainetc"]);
    expect(wire.connection.draining).toBe(true);
  });

  test("it takes requests that were under way", () => {
    const { wire } = serverWithRequest();
    wire.connection.drain();
    wire.send(wire.headers(3, REQUEST));
    expect(wire.events).toEqual(["request 3 POST /kv"]);
  });

  test("it tells the last stream once the client has heard", () => {
    const { wire } = serverWithRequest();
    wire.connection.drain();
    wire.send(wire.headers(3, REQUEST));
    wire.read();
    wire.send(DRAIN_ACK);
    expect(wire.read()).toEqual(["GOAWAY 3 NO_ERROR"]);
    expect(wire.connection.ended).toBe(false);
  });

  test("another PING's acknowledgement is no sign", () => {
    const { wire } = serverWithRequest();
    wire.connection.drain();
    wire.read();
    wire.send(ping("12345678", ACK));
    expect(wire.read()).toEqual([]);
  });

  test("it ends with its last stream, whose answer goes out", () => {
    const { wire, stream } = serverWithRequest();
    wire.connection.drain();
    wire.send(DRAIN_ACK, data(1, "", END_STREAM));
    wire.read();
    wire.takeEvents();
    stream.sendHeaders(fields(RESPONSE), true);
    expect(wire.read()).toEqual(["HEADERS 1 :status=200 END_STREAM"]);
    expect(wire.events).toEqual(["end by finished with NO_ERROR"]);
  });

  test("it ends at once when no stream is open", () => {
    const wire = server();
    wire.connection.drain();
    wire.send(DRAIN_ACK);
    expect(wire.read().at(-1)).toBe("GOAWAY 0 NO_ERROR");
    expect(wire.events).toEqual(["end by finished with NO_ERROR"]);
  });

  test("the owner hears of the last stream's end before the connection's", () => {
    const { wire } = serverWithRequest();
    wire.connection.drain();
    wire.send(DRAIN_ACK);
    wire.send(rstStream(1, CANCEL));
    expect(wire.events).toEqual(["reset 1 by peer with CANCEL", "end by finished with NO_ERROR"]);
  });

  test("requests above the last stream are ignored, with their DATA, and harm nobody", () => {
    const { wire, stream } = serverWithRequest();
    wire.connection.drain();
    wire.send(DRAIN_ACK);
    wire.read();
    wire.send(wire.headers(3, REQUEST), data(3, "body"), rstStream(3, CANCEL), data(1, "on"));
    expect(wire.events).toEqual(['data 1 "on"']);
    stream.sendHeaders(fields(RESPONSE), true);
    expect(wire.read()).toEqual(["HEADERS 1 :status=200 END_STREAM"]);
  });

  test("a client that does not say that it has heard is told the last stream when its time is up", () => {
    const { wire, stream } = serverWithRequest();
    wire.connection.drain();
    wire.read();
    wire.connection.finishDrain();
    expect(wire.read()).toEqual(["GOAWAY 1 NO_ERROR"]);
    expect(wire.connection.ended).toBe(false);
    wire.takeEvents();
    wire.send(DRAIN_ACK, data(1, "", END_STREAM));
    stream.sendHeaders(fields(RESPONSE), true);
    expect(wire.read()).toEqual(["HEADERS 1 :status=200 END_STREAM"]);
    expect(wire.events.at(-1)).toBe("end by finished with NO_ERROR");
  });

  test("the same client ends at once where no stream is open", () => {
    const wire = server();
    wire.connection.drain();
    wire.connection.finishDrain();
    expect(wire.read().at(-1)).toBe("GOAWAY 0 NO_ERROR");
    expect(wire.events).toEqual(["end by finished with NO_ERROR"]);
  });

  test("the end of a drain that has not begun is nothing", () => {
    const wire = server();
    wire.connection.finishDrain();
    expect(wire.read()).toEqual([]);
    expect(wire.connection.ended).toBe(false);
  });

  test("draining twice is draining once", () => {
    const wire = server();
    wire.connection.drain();
    wire.connection.drain();
    expect(wire.read()).toHaveLength(2);
  });
});

describe("RFC 9113 §6.8: a client that is told GOAWAY", () => {
  test("it opens no more streams, and those that were taken go on", () => {
    const { wire } = clientWithRequest();
    wire.send(goaway(STREAM_ID_MAX, NO_ERROR, "draining"));
    expect(wire.events).toEqual(["goaway NO_ERROR draining"]);
    expect(wire.connection.goingAway).toBe(true);
    expect(wire.connection.canOpen).toBe(false);
    wire.send(wire.headers(1, RESPONSE, END_STREAM));
    expect(wire.events).toContain("response 1 200 END_STREAM");
  });

  test("streams above the last id were never processed", () => {
    const wire = client();
    open(wire);
    open(wire);
    open(wire);
    wire.send(goaway(1, NO_ERROR));
    expect(wire.events.filter((event) => event.startsWith("reset"))).toEqual([
      "reset 3 by connection with CANCEL, never processed",
      "reset 5 by connection with CANCEL, never processed",
    ]);
    expect(wire.connection.streams.size).toBe(1);
  });

  test("the last id may come later", () => {
    const wire = client();
    open(wire);
    open(wire);
    wire.send(goaway(STREAM_ID_MAX, NO_ERROR));
    expect(wire.connection.streams.size).toBe(2);
    wire.send(goaway(1, NO_ERROR));
    expect(wire.connection.streams.size).toBe(1);
  });

  test("streams that were taken and lost with the connection may have been processed", () => {
    const { wire } = clientWithRequest();
    wire.send(goaway(1, NO_ERROR));
    wire.takeEvents();
    wire.connection.transportClosed("connection closed");
    expect(wire.events[0]).toBe("reset 1 by connection with CANCEL");
  });

  test("it ends with its last stream, and its owner hears that last", () => {
    const { wire } = clientWithRequest({}, true);
    wire.send(goaway(1, NO_ERROR));
    wire.takeEvents();
    wire.send(wire.headers(1, RESPONSE, END_STREAM));
    expect(wire.events).toEqual([
      "stream ended",
      "response 1 200 END_STREAM",
      "end by finished with NO_ERROR",
    ]);
  });

  test("it ends at once when no taken stream is left, and its owner hears that last", () => {
    const { wire } = clientWithRequest();
    wire.send(goaway(0, 11, "too_many_pings"));
    expect(wire.events).toEqual([
      "stream ended",
      "reset 1 by connection with CANCEL, never processed",
      "goaway ENHANCE_YOUR_CALM too_many_pings",
      "end by finished with NO_ERROR",
    ]);
  });
});

describe("RFC 9113 §8.7: REFUSED_STREAM", () => {
  test("a refused stream was never processed", () => {
    const { wire } = clientWithRequest();
    wire.send(rstStream(1, REFUSED_STREAM));
    expect(wire.events).toContain("reset 1 by peer with REFUSED_STREAM, never processed");
  });

  test("a stream refused behind its response's head was", () => {
    const { wire } = clientWithRequest();
    wire.send(wire.headers(1, RESPONSE), rstStream(1, REFUSED_STREAM));
    expect(wire.events.at(-1)).toBe("reset 1 by peer with REFUSED_STREAM");
  });

  test("a stream reset with another code may have been processed", () => {
    const { wire } = clientWithRequest();
    wire.send(rstStream(1, CANCEL));
    expect(wire.events).toContain("reset 1 by peer with CANCEL");
  });

  test("an unknown code is passed on", () => {
    const { wire } = clientWithRequest();
    wire.send(rstStream(1, 0xffffffff));
    expect(wire.events).toContain("reset 1 by peer with error code 4294967295");
  });
});

describe("RFC 9113 §5.1.1: a client whose stream ids end", () => {
  test("a connection near its last id says so while it still opens streams", () => {
    expect(client({}, STREAM_ID_MAX - 200_002).connection.retiring).toBe(false);
    const wire = client({}, STREAM_ID_MAX - 199_998);
    expect(wire.connection.retiring).toBe(true);
    expect(wire.connection.canOpen).toBe(true);
  });

  test("the last id is used, and none behind it", () => {
    const wire = client({}, STREAM_ID_MAX);
    const stream = open(wire, true);
    expect(stream.id).toBe(STREAM_ID_MAX);
    expect(wire.connection.canOpen).toBe(false);
    wire.send(wire.headers(STREAM_ID_MAX, RESPONSE, END_STREAM));
    expect(wire.events).toContain(`response ${STREAM_ID_MAX} 200 END_STREAM`);
  });

  test("a retired connection opens no more streams and ends with its last one", () => {
    const { wire, stream } = clientWithRequest();
    wire.connection.retire();
    expect(wire.connection.goingAway).toBe(true);
    expect(wire.connection.canOpen).toBe(false);
    expect(wire.connection.ended).toBe(false);
    stream.reset(CANCEL);
    expect(wire.events).toEqual(["stream ended", "end by finished with NO_ERROR"]);
    expect(wire.read()).toEqual(["RST_STREAM 1 CANCEL"]);
  });

  test("a retired connection without streams ends at once", () => {
    const wire = client();
    wire.connection.retire();
    expect(wire.events).toEqual(["end by finished with NO_ERROR"]);
  });
});

describe("frames that a client's calls are made of", () => {
  test("a call with content", () => {
    const { wire, stream } = clientWithRequest();
    stream.sendData(new TextEncoder().encode("hello"), 0, 5, true);
    expect(wire.read()).toEqual(["DATA 1 5 bytes END_STREAM"]);
    expect(wire.receivedText(1)).toBe("hello");
  });

  test("a server that answers before the call has ended, and stops it", () => {
    const { wire } = clientWithRequest();
    wire.send(wire.headers(1, RESPONSE, END_STREAM), rstStream(1, NO_ERROR));
    expect(wire.events).toEqual([
      "response 1 200 END_STREAM",
      "stream ended",
      "reset 1 by peer with NO_ERROR",
    ]);
  });

  test("calls of several streams do not mix", () => {
    const wire = client();
    open(wire, true);
    open(wire, true);
    wire.send(wire.headers(3, RESPONSE), wire.headers(1, RESPONSE), data(3, "three"), data(1, "one"));
    expect(wire.events).toEqual(["response 3 200", "response 1 200", 'data 3 "three"', 'data 1 "one"']);
  });
});
