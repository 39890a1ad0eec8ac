/** Laws of the HTTP/2 engine that hold for any bytes, chunks, sizes and orders (RFC 9113). */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  ACK,
  concat,
  DATA,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  goaway,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  MAX_FRAME_SIZE,
  PREFACE,
  paddedData,
  ping,
  rstStream,
  SETTINGS,
  settings,
  windowUpdate,
} from "../http2/frames.ts";
import { type Content, JoinedPair } from "../http2/joined-pair.ts";
import {
  freshClient,
  freshServer,
  open,
  REQUEST,
  RESPONSE,
  request,
  type ServerWire,
  server,
} from "../http2/wire.ts";
import { runs } from "./runs.ts";

const streamId = fc.oneof(fc.constantFrom(1, 1, 1, 3, 3, 5, 7), fc.nat(12));
const credit = fc.oneof(fc.nat(1000), fc.constantFrom(0, 1, 65_535, 0x7fffffff));

/** Frames of a peer that may be at fault. HEADERS are made by the wire's encoder, in their order. */
type Act = (wire: { headers: ServerWire["headers"]; block: ServerWire["block"] }) => Uint8Array;

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(streamId, fc.boolean()).map(
      ([id, end]): Act =>
        (wire) =>
          wire.headers(id, REQUEST, end ? END_STREAM : 0),
    ),
  },
  {
    weight: 2,
    arbitrary: streamId.map(
      (id): Act =>
        (wire) =>
          wire.headers(id, RESPONSE, 0),
    ),
  },
  {
    weight: 2,
    arbitrary: streamId.map(
      (id): Act =>
        (wire) =>
          wire.headers(id, [["x-checksum", "1"]], END_STREAM),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(streamId, fc.nat(20)).map(([id, cut]): Act => (wire) => {
      const block = wire.block(REQUEST);
      return concat([
        frame(HEADERS, 0, id, block.subarray(0, cut)),
        frame(9, END_HEADERS, id, block.subarray(cut)),
      ]);
    }),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(streamId, fc.string({ maxLength: 50 }), fc.boolean()).map(
      ([id, text, end]): Act =>
        () =>
          data(id, text, end ? END_STREAM : 0),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(streamId, fc.nat(255)).map(
      ([id, padding]): Act =>
        () =>
          paddedData(id, "x", padding),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(streamId, credit).map(
      ([id, bytes]): Act =>
        () =>
          windowUpdate(id, bytes),
    ),
  },
  {
    weight: 2,
    arbitrary: streamId.map(
      (id): Act =>
        () =>
          rstStream(id, 8),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Act>(() => ping("12345678")) },
  { weight: 1, arbitrary: fc.constant<Act>(() => ping("drainetc", ACK)) },
  {
    weight: 1,
    arbitrary: fc.nat(0x7fffffff).map(
      (bytes): Act =>
        () =>
          settings([INITIAL_WINDOW_SIZE, bytes]),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Act>(() => frame(SETTINGS, ACK, 0)) },
  {
    weight: 1,
    arbitrary: fc.nat(10).map(
      (id): Act =>
        () =>
          goaway(id, 0),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(12), fc.nat(255), streamId, fc.uint8Array({ maxLength: 30 })).map(
      ([type, flags, id, payload]): Act =>
        () =>
          frame(type, flags, id, payload),
    ),
  },
);

/** Cuts bytes into chunks of the given sizes, used over and over. */
function chunks(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    cut.push(bytes.slice(at, at + size));
    at += size;
  }
  return cut;
}

const chunkSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 200 })), {
  minLength: 1,
  maxLength: 20,
});

describe("any chunking of the same bytes", () => {
  function told(wire: {
    events: string[];
    connection: ServerWire["connection"] | ReturnType<typeof freshClient>["connection"];
  }) {
    return {
      events: wire.events,
      output: Buffer.from(wire.connection.outbound.output.toBytes()).toString("hex"),
    };
  }

  test("gives the same events and the same output at a server", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 30 }), chunkSizes, fc.boolean(), (acts, sizes, drain) => {
        const whole = freshServer();
        const bytes = concat([PREFACE, settings(), ...acts.map((each) => each(whole))]);
        const cut = freshServer();
        if (drain) for (const wire of [whole, cut]) wire.connection.drain();
        whole.send(bytes);
        for (const chunk of chunks(bytes, sizes)) cut.send(chunk);
        expect(told(cut)).toEqual(told(whole));
      }),
      { numRuns: runs(500) },
    );
  });

  test("gives the same events and the same output at a client", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 30 }), chunkSizes, (acts, sizes) => {
        const wires = [freshClient(), freshClient()] as const;
        const bytes = concat(acts.map((each) => each(wires[0])));
        for (const wire of wires) {
          wire.send(settings());
          for (let i = 0; i < 4; i++) open(wire, i % 2 === 0);
        }
        wires[0].send(bytes);
        for (const chunk of chunks(bytes, sizes)) wires[1].send(chunk);
        expect(told(wires[1])).toEqual(told(wires[0]));
      }),
      { numRuns: runs(500) },
    );
  });
});

describe("any bytes", () => {
  /** The connection answers a PING, or is over and everything in it. */
  function usableOrEnded(wire: ServerWire | ReturnType<typeof freshClient>): void {
    wire.connection.outbound.output.release();
    wire.connection.outbound.drained();
    wire.connection.outbound.output.release();
    wire.send(ping("12345678"));
    if (!wire.connection.ended) {
      expect(wire.read()).toContain("PING 12345678 ACK");
      wire.connection.transportClosed("connection closed");
    }
    expect(wire.connection.streams.size).toBe(0);
    expect(wire.connection.heldBytes).toBe(0);
  }

  test("never throw, and end a server with all that it holds or leave it waiting for more", () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }),
        (hello, noise) => {
          const wire = freshServer();
          if (hello) wire.send(PREFACE, settings());
          for (const chunk of noise) wire.send(chunk);
          wire.connection.transportClosed("connection closed");
          expect(wire.events.filter((event) => event.startsWith("end by"))).toHaveLength(1);
          expect(wire.connection.streams.size).toBe(0);
          expect(wire.connection.heldBytes).toBe(0);
        },
      ),
      { numRuns: runs(500) },
    );
  });

  test("in frames of any kind leave either end usable or ended", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        const atServer = freshServer();
        atServer.send(PREFACE, settings());
        for (const each of acts) atServer.send(each(atServer));
        usableOrEnded(atServer);
        const atClient = freshClient();
        atClient.send(settings());
        for (let i = 0; i < 4; i++) open(atClient);
        for (const each of acts) atClient.send(each(atClient));
        usableOrEnded(atClient);
      }),
      { numRuns: runs(500) },
    );
  });
});

const content: fc.Arbitrary<Content> = fc.record({
  bytes: fc.oneof(fc.constantFrom(0, 1, 16_384, 16_385, 65_535), fc.nat(5_000), fc.nat(150_000)),
  withTrailers: fc.boolean(),
});
const windowBytes = fc.constantFrom(500, 5_000, 65_535, 262_144);
const step = fc.tuple(
  fc.constantFrom("open", "send", "consume", "flush", "deliver"),
  fc.boolean(),
  fc.nat(9),
  fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 40_000 })),
);

describe("a client and a server, joined back to back", () => {
  test("carry every call's content whole and in order, within the credit, and hold nothing afterwards", () => {
    fc.assert(
      fc.property(
        windowBytes,
        windowBytes,
        fc.constantFrom(16_384, 40_000),
        fc.array(fc.record({ request: content, response: content }), { minLength: 1, maxLength: 6 }),
        fc.array(step, { maxLength: 200, size: "max" }),
        (clientWindowBytes, serverWindowBytes, frameBytesMax, calls, steps) => {
          const pair = new JoinedPair({ clientWindowBytes, serverWindowBytes, frameBytesMax, calls });
          for (const [what, up, which, bytes] of steps) {
            const pipe = up ? pair.up : pair.down;
            const ends = up ? pair.clientEnds : pair.serverEnds;
            const end = ends[which % Math.max(1, ends.length)];
            if (what === "open") pair.open();
            else if (what === "flush") pipe.flush(bytes);
            else if (what === "deliver") pipe.deliver(bytes);
            else if (what === "send") end?.send(bytes);
            else end?.consume(bytes);
          }
          pair.finish();
          expect(pair.done).toBe(true);
          pair.check();
          expect([pair.client.heldBytes, pair.server.heldBytes, pair.budget.heldBytes]).toEqual([0, 0, 0]);
        },
      ),
      { numRuns: runs(150) },
    );
  });
});

describe("a peer that changes its windows at will", () => {
  const change = fc.oneof(
    fc.record({ initial: fc.oneof(fc.nat(200), fc.nat(50_000)) }),
    fc.record({ credit: fc.integer({ min: 1, max: 20_000 }), stream: fc.nat(3) }),
    fc.record({ send: fc.nat(30_000), stream: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ frameBytes: fc.integer({ min: 16_384, max: 60_000 }) }),
  );

  test("never gets more DATA than its windows allow, and all of it once they allow it", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60, size: "max" }), (changes) => {
        const wire = server();
        const streams = [1, 3, 5].map((id) => request(wire, id));
        const windows = new Map([0, 1, 3, 5].map((id) => [id, 65_535]));
        const totals = new Map([1, 3, 5].map((id) => [id, 0]));
        let initial = 65_535;
        let frameBytes = 16_384;
        const settle = () => {
          let frames = wire.readFrames();
          while (frames.length > 0) {
            for (const { type, streamId: id, payload } of frames) {
              if (type !== DATA) continue;
              expect(payload.length).toBeLessThanOrEqual(frameBytes);
              for (const each of [0, id]) {
                const left = windows.get(each)! - payload.length;
                expect(left).toBeGreaterThanOrEqual(0);
                windows.set(each, left);
              }
              totals.set(id, totals.get(id)! - payload.length);
            }
            frames = wire.readFrames();
          }
          // Whatever may go has gone: what waits is held by a window.
          for (const stream of streams) {
            const held = windows.get(0)! <= 0 || windows.get(stream.id)! <= 0;
            if (!held) expect(stream.queuedBytes).toBe(0);
          }
        };
        for (const each of changes) {
          if ("initial" in each) {
            for (const id of [1, 3, 5]) windows.set(id, windows.get(id)! + each.initial - initial);
            initial = each.initial;
            wire.send(settings([INITIAL_WINDOW_SIZE, initial]));
            wire.nowMs += 1000;
          } else if ("credit" in each) {
            const id = [0, 1, 3, 5][each.stream]!;
            windows.set(id, windows.get(id)! + each.credit);
            wire.send(windowUpdate(id, each.credit));
          } else if ("frameBytes" in each) {
            frameBytes = each.frameBytes;
            wire.send(settings([MAX_FRAME_SIZE, frameBytes]));
            wire.nowMs += 1000;
          } else {
            const stream = streams[each.stream - 1]!;
            totals.set(stream.id, totals.get(stream.id)! + each.send);
            stream.sendData(new Uint8Array(each.send), 0, each.send, false);
          }
          settle();
        }
        for (const id of [0, 1, 3, 5]) {
          windows.set(id, windows.get(id)! + 5_000_000);
          wire.send(windowUpdate(id, 5_000_000));
        }
        settle();
        expect([...totals.values()]).toEqual([0, 0, 0]);
        expect(wire.connection.heldBytes).toBe(0);
        expect(wire.connection.ended).toBe(false);
      }),
      { numRuns: runs(300) },
    );
  });
});
