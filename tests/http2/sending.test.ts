/** Which stream sends next, and what a socket that takes no more, or all at once, does to that. */
import { describe, expect, test } from "bun:test";
import { INITIAL_WINDOW_SIZE, ping, rstStream, windowUpdate } from "./frames.ts";
import { fields, RESPONSE, request, type ServerWire, server, serverWithRequest } from "./wire.ts";

const LARGE_WINDOWS = { peerSettings: [[INITIAL_WINDOW_SIZE, 0x7fffffff]] } as const;

/** A server whose connection window is closed, and streams 1, 3, … of it. */
function closedConnection(count: number, options = LARGE_WINDOWS) {
  const wire = server(options);
  const filler = request(wire, 1);
  filler.sendData(new Uint8Array(65_535), 0, 65_535, false);
  wire.read();
  filler.reset(8);
  const streams = Array.from({ length: count }, (_, i) => request(wire, 3 + 2 * i));
  wire.read();
  return { wire, streams };
}

function dataStreams(lines: readonly string[]): number[] {
  return lines.filter((line) => line.startsWith("DATA")).map((line) => Number(line.split(" ")[1]));
}

describe("whose turn it is to send", () => {
  test("streams with queued DATA send one frame each in turn", () => {
    const { wire, streams } = closedConnection(3);
    for (const stream of streams) stream.sendData(new Uint8Array(40_000), 0, 40_000, true);
    wire.send(windowUpdate(0, 1_000_000));
    expect(wire.read()).toEqual([
      "DATA 3 16384 bytes",
      "DATA 5 16384 bytes",
      "DATA 7 16384 bytes",
      "DATA 3 16384 bytes",
      "DATA 5 16384 bytes",
      "DATA 7 16384 bytes",
      "DATA 3 7232 bytes END_STREAM",
      "DATA 5 7232 bytes END_STREAM",
      "DATA 7 7232 bytes END_STREAM",
    ]);
  });

  for (const count of [2, 3, 4, 5, 6, 7, 9]) {
    test(`no one of ${count} streams starves when the socket takes one output at a time`, () => {
      const { wire, streams } = closedConnection(count);
      for (const stream of streams) stream.sendData(new Uint8Array(800_000), 0, 800_000, false);
      wire.send(windowUpdate(0, 0x7fffff00));
      const turns: number[] = [];
      for (let i = 0; i < 30; i++) turns.push(...wire.readFrames().map(({ streamId }) => streamId));
      for (let round = 0; round + count <= turns.length; round += count) {
        expect(new Set(turns.slice(round, round + count)).size).toBe(count);
      }
      expect(turns.length).toBeGreaterThan(90);
    });
  }

  test("credit in small portions goes round as well", () => {
    const { wire, streams } = closedConnection(3);
    for (const stream of streams) stream.sendData(new Uint8Array(1000), 0, 1000, false);
    const turns: number[] = [];
    for (let i = 0; i < 9; i++) {
      wire.send(windowUpdate(0, 10));
      turns.push(...dataStreams(wire.read()));
    }
    expect(turns).toEqual([3, 5, 7, 3, 5, 7, 3, 5, 7]);
  });

  test("a stream that its own window blocks does not hold up the others", () => {
    const wire = server({ peerSettings: [[INITIAL_WINDOW_SIZE, 0]] });
    const blocked = request(wire, 1);
    const other = request(wire, 3);
    blocked.sendData(new Uint8Array(100), 0, 100, false);
    other.sendData(new Uint8Array(100), 0, 100, true);
    wire.send(windowUpdate(3, 100));
    expect(wire.read()).toEqual(["DATA 3 100 bytes END_STREAM"]);
    wire.send(windowUpdate(1, 100));
    expect(wire.read()).toEqual(["DATA 1 100 bytes"]);
  });

  test("a stream that is reset while it waits leaves the line to the others", () => {
    const { wire, streams } = closedConnection(4);
    for (const stream of streams) stream.sendData(new Uint8Array(10), 0, 10, false);
    for (const at of [0, 2, 3]) wire.send(rstStream(streams[at]!.id, 8));
    streams[1]!.sendData(new Uint8Array(10), 0, 10, false);
    wire.send(windowUpdate(0, 1000));
    expect(wire.read()).toEqual(["DATA 5 20 bytes"]);
  });

  test("what an owner sends when it is told that DATA has left takes its turn", () => {
    const { wire, streams } = closedConnection(2);
    const [first, second] = streams;
    let more = 3;
    first!.handler = {
      ...first!.handler,
      onSent() {
        if (more-- > 0) first!.sendData(new Uint8Array(10), 0, 10, false);
      },
    };
    first!.sendData(new Uint8Array(10), 0, 10, false);
    second!.sendData(new Uint8Array(40_000), 0, 40_000, false);
    wire.send(windowUpdate(0, 1_000_000));
    expect(wire.read()).toEqual([
      "DATA 3 10 bytes",
      "DATA 5 16384 bytes",
      "DATA 3 10 bytes",
      "DATA 5 16384 bytes",
      "DATA 3 10 bytes",
      "DATA 5 7232 bytes",
      "DATA 3 10 bytes",
    ]);
  });
});

describe("a socket that takes no more", () => {
  test("DATA stays in its stream's queue once the output is at its high water", () => {
    const wire = server(LARGE_WINDOWS);
    wire.send(windowUpdate(0, 10_000_000));
    const stream = request(wire, 1);
    const sent = stream.sendData(new Uint8Array(1_000_000), 0, 1_000_000, false);
    expect(sent).toBe(4 * 16_384);
    expect(wire.connection.outbound.output.length).toBeLessThan(80_000);
    expect(stream.queuedBytes).toBe(1_000_000 - sent);
    wire.read();
    expect(stream.queuedBytes).toBe(0);
  });

  test("header sections and acknowledgements go into the output all the same", () => {
    const wire = server(LARGE_WINDOWS);
    wire.send(windowUpdate(0, 10_000_000));
    const stream = request(wire, 1);
    stream.sendData(new Uint8Array(100_000), 0, 100_000, false);
    request(wire, 3).sendHeaders(fields(RESPONSE), true);
    wire.send(ping("12345678"));
    const lines = wire.readFrames().map(({ type }) => type);
    expect(lines).toEqual([0, 0, 0, 0, 1, 6]);
  });

  test("its owner is asked once for a flush until it has flushed", () => {
    let asked = 0;
    const { wire, stream } = serverWithRequest();
    wire.read();
    wire.connection.handler = { ...wire.connection.handler, onOutput: () => asked++ };
    stream.sendHeaders(fields(RESPONSE), false);
    stream.sendData(new Uint8Array(10), 0, 10, false);
    expect(asked).toBe(1);
    wire.read();
    stream.sendEnd();
    expect(asked).toBe(2);
  });
});

describe("an owner that flushes while output is being written", () => {
  /** The owner's `onOutputLarge` takes everything at once, as a socket with room does. */
  function eager(wire: ServerWire, onFlush: () => void = () => {}): () => string[] {
    const lines: string[] = [];
    wire.connection.handler = {
      ...wire.connection.handler,
      onOutputLarge() {
        lines.push(
          ...wire.readFrames().map((frame) => `${frame.type} ${frame.streamId} ${frame.payload.length}`),
        );
        onFlush();
      },
    };
    return () => [
      ...lines,
      ...wire.readFrames().map((frame) => `${frame.type} ${frame.streamId} ${frame.payload.length}`),
    ];
  }

  test("a large message leaves whole without being queued", () => {
    const wire = server(LARGE_WINDOWS);
    wire.send(windowUpdate(0, 10_000_000));
    const stream = request(wire, 1);
    const taken = eager(wire);
    expect(stream.sendData(new Uint8Array(1_000_000), 0, 1_000_000, true)).toBe(1_000_000);
    const lines = taken();
    expect(lines).toHaveLength(Math.ceil(1_000_000 / 16_384));
    expect(lines.reduce((sum, line) => sum + Number(line.split(" ")[2]), 0)).toBe(1_000_000);
  });

  test("streams that waited for room go on, each byte once", () => {
    const { wire, streams } = closedConnection(3);
    for (const stream of streams) stream.sendData(new Uint8Array(200_000), 0, 200_000, true);
    const taken = eager(wire);
    wire.send(windowUpdate(0, 10_000_000));
    const bytes = new Map<string, number>();
    for (const line of taken()) {
      const [, id, size] = line.split(" ");
      bytes.set(id!, (bytes.get(id!) ?? 0) + Number(size));
    }
    expect(Object.fromEntries(bytes)).toEqual({ "3": 200_000, "5": 200_000, "7": 200_000 });
    expect(wire.connection.heldBytes).toBe(0);
  });

  test("a header section that makes the owner flush leaves no stream waiting for ever", () => {
    const wire = server(LARGE_WINDOWS);
    wire.send(windowUpdate(0, 10_000_000));
    const waiting = request(wire, 1);
    const other = request(wire, 3);
    waiting.sendData(new Uint8Array(100_000), 0, 100_000, false);
    expect(waiting.queuedBytes).toBeGreaterThan(0);
    const taken = eager(wire);
    other.sendHeaders(fields(RESPONSE), false);
    taken();
    expect(waiting.queuedBytes).toBe(0);
  });

  test("nothing follows the RST_STREAM of a stream that had DATA waiting", () => {
    const wire = server(LARGE_WINDOWS);
    wire.send(windowUpdate(0, 10_000_000));
    const stream = request(wire, 1);
    stream.sendData(new Uint8Array(100_000), 0, 100_000, false);
    const taken = eager(wire);
    stream.reset(8);
    expect(taken().map((line) => line.split(" ")[0])).toEqual(["0", "0", "0", "0", "3"]);
  });

  test("a socket that turns out to be closed ends everything without harm", () => {
    const { wire, streams } = closedConnection(2);
    for (const stream of streams) stream.sendData(new Uint8Array(200_000), 0, 200_000, true);
    eager(wire, () => wire.connection.transportClosed("connection lost"));
    wire.send(windowUpdate(0, 10_000_000));
    expect(wire.events.slice(-3)).toEqual([
      "reset 3 by connection with CANCEL",
      "reset 5 by connection with CANCEL",
      "end by transport with NO_ERROR",
    ]);
    expect(wire.connection.heldBytes).toBe(0);
    expect(streams[0]!.queuedBytes).toBe(0);
  });
});
