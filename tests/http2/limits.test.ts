/** What a peer may make us spend: floods, unread output, bytes held (RFC 9113 §10.5). */
import { describe, expect, test } from "bun:test";
import { BufferBudget } from "../../src/http2/buffer-budget.ts";
import { HTTP2_LIMITS, type Http2LimitName, type Http2Limits } from "../../src/http2/limits.ts";
import {
  CANCEL,
  CONTINUATION,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  PRIORITY,
  ping,
  priorityField,
  rstStream,
  settings,
  windowUpdate,
} from "./frames.ts";
import {
  client,
  type ClientWire,
  clientWithRequest,
  fields,
  REQUEST,
  RESPONSE,
  request,
  type ServerWire,
  server,
  serverWithRequest,
} from "./wire.ts";

const CALM = "end by self with ENHANCE_YOUR_CALM";
const LIMIT = { burst: 10, perSecond: 5 };

/** How often `act` can be done before the connection ends; 1000 is for ever. */
function timesUntilCalm(wire: ServerWire, act: (i: number) => void): number {
  for (let i = 0; i < 1000; i++) {
    act(i);
    wire.read();
    if (wire.connection.ended) {
      expect(wire.events.at(-1)).toBe(CALM);
      return i;
    }
  }
  return 1000;
}

describe("RFC 9113 §10.5: floods", () => {
  test("streams opened and reset at once (rapid reset)", () => {
    const wire = server({ limits: { resets: LIMIT } });
    const times = timesUntilCalm(wire, (i) =>
      wire.send(wire.headers(1 + 2 * i, REQUEST), rstStream(1 + 2 * i, CANCEL)),
    );
    expect(times).toBe(10);
  });

  test("streams that the client makes us reset", () => {
    const wire = server({ limits: { resets: LIMIT } });
    const times = timesUntilCalm(wire, (i) =>
      wire.send(wire.headers(1 + 2 * i, REQUEST), windowUpdate(1 + 2 * i, 0)),
    );
    expect(times).toBe(10);
  });

  test("malformed requests", () => {
    const wire = server({ limits: { resets: LIMIT } });
    expect(timesUntilCalm(wire, (i) => wire.send(wire.headers(1 + 2 * i, [["X", "1"]])))).toBe(10);
  });

  test("requests above MAX_CONCURRENT_STREAMS", () => {
    const wire = server({ limits: { resets: LIMIT }, settings: { concurrentStreamsMax: 0 } });
    expect(timesUntilCalm(wire, (i) => wire.send(wire.headers(1 + 2 * i, REQUEST)))).toBe(10);
  });

  test("header sections that are too large", () => {
    const wire = server({ limits: { resets: LIMIT, headerListBytesMax: 100 } });
    expect(timesUntilCalm(wire, (i) => wire.send(wire.headers(1 + 2 * i, REQUEST)))).toBe(10);
  });

  test("DATA on streams that have ended", () => {
    const wire = server({ limits: { resets: LIMIT } });
    for (let i = 0; i < 20; i++) request(wire, 1 + 2 * i, END_STREAM).sendHeaders(fields(RESPONSE), true);
    expect(timesUntilCalm(wire, (i) => wire.send(data(1 + 2 * i, "x")))).toBe(10);
  });

  test("PINGs that nothing of ours gave rise to", () => {
    const wire = server({ limits: { pings: LIMIT } });
    expect(timesUntilCalm(wire, () => wire.send(ping("12345678")))).toBe(10);
  });

  test("a PING for each answer is no flood: gRPC peers probe the bandwidth so", () => {
    const { wire, stream } = serverWithRequest({ limits: { pings: LIMIT } });
    wire.send(windowUpdate(1, 1_000_000));
    const times = timesUntilCalm(wire, () => {
      stream.sendData(Uint8Array.of(1), 0, 1, false);
      wire.send(ping("12345678"));
    });
    expect(times).toBe(1000);
  });

  test("SETTINGS", () => {
    const wire = server({ limits: { settings: LIMIT } });
    expect(timesUntilCalm(wire, () => wire.send(settings()))).toBe(9); // The first came with the preface.
  });

  test("DATA frames that carry nothing", () => {
    const { wire } = serverWithRequest({ limits: { emptyData: LIMIT } });
    expect(timesUntilCalm(wire, () => wire.send(data(1, "")))).toBe(10);
  });

  test("PRIORITY frames", () => {
    const wire = server({ limits: { idleFrames: LIMIT } });
    expect(timesUntilCalm(wire, () => wire.send(frame(PRIORITY, 0, 1, priorityField(0))))).toBe(10);
  });

  test("unknown frames", () => {
    const wire = server({ limits: { idleFrames: LIMIT } });
    expect(timesUntilCalm(wire, () => wire.send(frame(0x42, 0, 0)))).toBe(10);
  });

  test("RST_STREAM of streams that have ended", () => {
    const wire = server({ limits: { resets: LIMIT } });
    request(wire, 1, END_STREAM).sendHeaders(fields(RESPONSE), true);
    expect(timesUntilCalm(wire, () => wire.send(rstStream(1, CANCEL)))).toBe(10);
  });

  test("WINDOW_UPDATEs that nothing of ours gave rise to", () => {
    const wire = server({ limits: { windowUpdates: LIMIT } });
    expect(timesUntilCalm(wire, () => wire.send(windowUpdate(0, 1)))).toBe(10);
  });

  test("two WINDOW_UPDATEs for each frame that we send are no flood: a reader gives credit", () => {
    const { wire, stream } = serverWithRequest({ limits: { windowUpdates: LIMIT } });
    const times = timesUntilCalm(wire, () => {
      stream.sendData(Uint8Array.of(1), 0, 1, false);
      wire.send(windowUpdate(0, 1), windowUpdate(1, 1));
    });
    expect(times).toBe(1000);
  });

  test("what comes no faster than the limit goes on for ever", () => {
    const wire = server({ limits: { pings: LIMIT } });
    const times = timesUntilCalm(wire, () => {
      wire.nowMs += 200;
      wire.send(ping("12345678"));
    });
    expect(times).toBe(1000);
  });

  test("a burst is forgiven with time", () => {
    const wire = server({ limits: { pings: LIMIT } });
    for (let i = 0; i < 10; i++) wire.send(ping("12345678"));
    wire.nowMs += 2000;
    for (let i = 0; i < 10; i++) wire.send(ping("12345678"));
    expect(wire.connection.ended).toBe(false);
    wire.send(ping("12345678"));
    expect(wire.connection.ended).toBe(true);
  });

  test("a client's own resets are not counted against it", () => {
    const wire = client({ limits: { resets: LIMIT } });
    for (let i = 0; i < 50; i++)
      wire.connection
        .open(
          fields(REQUEST),
          false,
          wire.streamHandler(() => 0),
        )
        .reset(CANCEL);
    expect(wire.connection.ended).toBe(false);
  });
});

describe("RFC 9113 §10.5.1: CONTINUATION floods", () => {
  test("too many frames end the connection", () => {
    const wire = server();
    wire.send(frame(HEADERS, 0, 1));
    for (let i = 0; i < HTTP2_LIMITS.continuationFramesMax; i++) wire.send(frame(CONTINUATION, 0, 1));
    expect(wire.connection.ended).toBe(false);
    wire.send(frame(CONTINUATION, 0, 1));
    expect(wire.events).toEqual([CALM]);
  });

  test("too many bytes end the connection", () => {
    const wire = server();
    wire.send(
      frame(HEADERS, 0, 1, new Uint8Array(16_384)),
      frame(CONTINUATION, 0, 1, new Uint8Array(16_384)),
    );
    expect(wire.connection.ended).toBe(false);
    wire.send(frame(CONTINUATION, 0, 1, Uint8Array.of(0)));
    expect(wire.events).toEqual([CALM]);
  });

  test("each block is counted by itself", () => {
    const wire = server();
    for (const id of [1, 3, 5]) {
      const block = wire.block(REQUEST);
      wire.send(frame(HEADERS, 0, id));
      for (let i = 1; i < HTTP2_LIMITS.continuationFramesMax; i++) wire.send(frame(CONTINUATION, 0, id));
      wire.send(frame(CONTINUATION, END_HEADERS, id, block));
    }
    expect(wire.events).toHaveLength(3);
  });
});

describe("output that the peer does not read", () => {
  test("a peer that never reads its PINGs' acknowledgements loses its connection", () => {
    const wire = server({ limits: { pings: { burst: 1e9, perSecond: 1 }, outputBytesMax: 100_000 } });
    const pings = Array.from({ length: 1000 }, () => ping("12345678"));
    for (let i = 0; i < 10 && !wire.connection.ended; i++) wire.send(...pings);
    expect(wire.events).toEqual([CALM]);
    expect(wire.connection.outbound.output.length).toBeLessThan(101_000);
  });

  test("answers nobody reads end the connection too", () => {
    const wire = server({ limits: { outputBytesMax: 100_000 } });
    for (let id = 1; !wire.connection.ended && id < 1000; id += 2) {
      wire.send(wire.headers(id, REQUEST, END_STREAM));
      wire.streams.get(id)?.sendHeaders(fields([...RESPONSE, ["x-note", "~".repeat(3000)]]), true);
    }
    expect(wire.events.at(-1)).toBe(CALM);
  });

  test("it counts as held until it is read", () => {
    const budget = new BufferBudget(1e9);
    const wire = server({ budget });
    const stream = request(wire, 1);
    for (let i = 0; i < 100; i++)
      stream.sendHeaders(fields([...RESPONSE, ["x-note", "~".repeat(3000)]]), false);
    const unread = wire.connection.outbound.output.length;
    expect(unread).toBeGreaterThan(100_000);
    expect(wire.connection.heldBytes).toBe(unread);
    expect(budget.heldBytes).toBe(unread);
    wire.read();
    expect(wire.connection.heldBytes).toBe(0);
    expect(budget.heldBytes).toBe(0);
  });

  test("a process short of memory gives up the connection that holds nothing else", () => {
    const budget = new BufferBudget(150_000);
    const wire = server({ budget });
    const stream = request(wire, 1, END_STREAM);
    for (let i = 0; i < 150; i++)
      stream.sendHeaders(fields([...RESPONSE, ["x-note", "~".repeat(3000)]]), false);
    expect(wire.events.at(-1)).toBe(CALM);
    expect(budget.heldBytes).toBe(0);
  });
});

describe("bytes that a connection may make us hold", () => {
  const FULL = new Uint8Array(16_384);

  test("beyond the limit the stream that holds most is reset, its neighbours go on", () => {
    const wire = server({ limits: { connectionBufferBytesMax: 100_000 } });
    request(wire, 1);
    request(wire, 3);
    request(wire, 5);
    for (const id of [1, 3, 3, 3, 3, 5]) wire.send(data(id, FULL));
    expect(wire.read()).toEqual([]);
    wire.send(data(5, FULL));
    expect(wire.read()).toEqual(["RST_STREAM 3 ENHANCE_YOUR_CALM"]);
    expect(wire.events.filter((event) => event.startsWith("reset"))).toEqual([
      "reset 3 by self with ENHANCE_YOUR_CALM",
    ]);
    expect(wire.connection.heldBytes).toBe(3 * FULL.length);
    wire.send(data(1, "on"));
    expect(wire.events.at(-1)).toBe('data 1 "on"');
  });

  test("the stream whose DATA goes beyond it may be the one, and hears of no DATA then", () => {
    const { wire } = serverWithRequest({ limits: { connectionBufferBytesMax: 20_000 } });
    wire.send(data(1, FULL));
    wire.takeEvents();
    wire.send(data(1, FULL));
    expect(wire.events).toEqual(["reset 1 by self with ENHANCE_YOUR_CALM"]);
    expect(wire.connection.heldBytes).toBe(0);
  });

  test("frames and header blocks that are not whole count until they are", () => {
    const budget = new BufferBudget(1e9);
    const wire = server({ budget });
    const whole = frame(HEADERS, 0, 1, new Uint8Array(1000));
    wire.send(whole.subarray(0, 100));
    expect(budget.heldBytes).toBe(whole.length);
    wire.send(whole.subarray(100));
    expect(budget.heldBytes).toBeGreaterThanOrEqual(1000);
    wire.send(frame(CONTINUATION, 0, 1, new Uint8Array(10)).subarray(0, 12));
    expect(budget.heldBytes).toBeGreaterThanOrEqual(1019);
    wire.connection.transportClosed("connection closed");
    expect(budget.heldBytes).toBe(0);
  });

  test("queued DATA counts as well", () => {
    const { wire, stream } = serverWithRequest({
      limits: { connectionBufferBytesMax: 20_000 },
      peerSettings: [[INITIAL_WINDOW_SIZE, 0]],
    });
    stream.sendData(new Uint8Array(20_000), 0, 20_000, false);
    expect(wire.events).toEqual([]);
    stream.sendData(Uint8Array.of(1), 0, 1, false);
    expect(wire.events).toEqual(["reset 1 by self with ENHANCE_YOUR_CALM"]);
    expect(stream.closed).toBe(true);
  });

  test("streams that we give up do not count as the peer's faults", () => {
    const wire = server({
      limits: { connectionBufferBytesMax: 10, resets: { burst: 1, perSecond: 0 } },
      peerSettings: [[INITIAL_WINDOW_SIZE, 0]],
    });
    for (let i = 0; i < 5; i++) request(wire, 1 + 2 * i).sendData(new Uint8Array(11), 0, 11, false);
    expect(wire.connection.ended).toBe(false);
    expect(wire.takeEvents()).toHaveLength(1); // `request` forgets the others.
  });

  test("credit for a stream that has more than one limit's worth consumed comes back", () => {
    const { wire, stream } = clientWithRequest({ limits: { connectionBufferBytesMax: 50_000 } });
    wire.send(wire.headers(1, RESPONSE));
    for (let i = 0; i < 100; i++) {
      wire.send(data(1, FULL));
      stream.consume(FULL.length);
    }
    expect(wire.connection.streams.size).toBe(1);
    expect(wire.connection.heldBytes).toBe(0);
  });
});

describe("bytes that all connections may make the process hold", () => {
  test("the connection that holds most gives up its largest stream", () => {
    const budget = new BufferBudget(50_000);
    const modest = serverWithRequest({ budget }).wire;
    const greedy = serverWithRequest({ budget }).wire;
    greedy.send(data(1, new Uint8Array(16_384)), data(1, new Uint8Array(16_384)));
    modest.send(data(1, new Uint8Array(16_384)));
    expect(greedy.connection.streams.size).toBe(1);
    modest.send(data(1, new Uint8Array(1_000)));
    expect(greedy.events.at(-1)).toBe("reset 1 by self with ENHANCE_YOUR_CALM");
    expect(modest.events.at(-1)).toBe("data 1 1000 bytes");
    expect(budget.heldBytes).toBe(17_384);
  });

  test("where many hold little many are given up at once, so that each further one is not a search of all", () => {
    let searches = 0;
    class Holder {
      held = 10;
      get budgetedBytes(): number {
        searches++;
        return this.held;
      }
      shedLargest(): void {
        budget.changed(-this.held);
        this.held = 0;
      }
    }
    const budget = new BufferBudget(10_000);
    for (let i = 0; i < 3000; i++) {
      const holder = new Holder();
      budget.join(holder);
      budget.changed(holder.held);
    }
    expect(budget.heldBytes).toBeLessThanOrEqual(10_000);
    expect(budget.heldBytes).toBeGreaterThan(9_000);
    expect(searches).toBeLessThan(3000 * 100);
  });

  test("where many streams hold little many are given up at once", () => {
    const wire = server({ limits: { connectionBufferBytesMax: 1000 } });
    for (let id = 1; id < 200; id += 2) {
      request(wire, id);
      wire.send(data(id, new Uint8Array(10)));
    }
    request(wire, 201);
    wire.send(data(201, new Uint8Array(10)));
    const resets = wire.read().filter((line) => line.startsWith("RST_STREAM"));
    expect(resets.length).toBeGreaterThan(4);
    expect(resets.length).toBeLessThan(10);
  });

  test("what it costs the greedy connection never ends the modest one", () => {
    const limits = { resets: { burst: 1, perSecond: 0 } };
    const budget = new BufferBudget(20_000);
    const modest = serverWithRequest({ budget }).wire;
    const greedy = server({ budget, limits });
    for (let id = 1; id < 20; id += 2) {
      request(greedy, id);
      greedy.send(data(id, new Uint8Array(16_000)));
      modest.send(data(1, new Uint8Array(5_000)));
      modest.streams.get(1)!.consume(5_000);
    }
    expect(modest.connection.ended).toBe(false);
    expect(greedy.connection.ended).toBe(false);
  });

  test("an ended connection holds nothing", () => {
    const budget = new BufferBudget(1e9);
    const { wire, stream } = serverWithRequest({ budget, peerSettings: [[INITIAL_WINDOW_SIZE, 0]] });
    stream.sendData(new Uint8Array(500), 0, 500, false);
    wire.send(data(1, new Uint8Array(300)));
    expect(budget.heldBytes).toBe(800);
    wire.connection.transportClosed("connection closed");
    expect(budget.heldBytes).toBe(0);
  });
});

describe("the owner of a connection hears the name of each limit", () => {
  const FULL = new Uint8Array(16_384);
  const NONE = { burst: 0, perSecond: 0 };

  const cases: readonly (readonly [limit: Http2LimitName, attack: () => ServerWire | ClientWire])[] = [
    ["resets", () => attacked({ resets: NONE }, (wire) => [wire.headers(1, [["X", "1"]])])],
    ["pings", () => attacked({ pings: NONE }, () => [ping("12345678")])],
    ["pingStrikes", () => attacked({ pingIntervalMinMs: 9 }, () => Array(4).fill(ping("12345678")))],
    ["settings", () => attacked({ settings: { burst: 1, perSecond: 0 } }, () => [settings()])],
    ["emptyData", () => attacked({ emptyData: NONE }, (wire) => [wire.headers(1, REQUEST), data(1, "")])],
    ["windowUpdates", () => attacked({ windowUpdates: NONE }, () => [windowUpdate(0, 1)])],
    ["idleFrames", () => attacked({ idleFrames: NONE }, () => [frame(0x42, 0, 0)])],
    [
      "continuationFrames",
      () => attacked({ continuationFramesMax: 0 }, () => [frame(HEADERS, 0, 1), frame(CONTINUATION, 0, 1)]),
    ],
    ["headerBlock", () => attacked({ headerBlockBytesMax: 9 }, () => [frame(HEADERS, 0, 1, FULL)])],
    ["headerList", () => attacked({ headerListBytesMax: 9 }, (wire) => [wire.headers(1, REQUEST)])],
    ["frameSize", () => attacked({}, () => [frame(0x42, 0, 0, new Uint8Array(16_385))])],
    [
      "streamWindow",
      () =>
        attacked({}, (wire) => [
          wire.headers(1, REQUEST),
          ...Array.from({ length: 17 }, () => data(1, FULL)),
        ]),
    ],
    [
      "connectionBuffers",
      () => attacked({ connectionBufferBytesMax: 9 }, (wire) => [wire.headers(1, REQUEST), data(1, FULL)]),
    ],
    [
      "headerList",
      () => {
        const { wire } = clientWithRequest({ limits: { headerListBytesMax: 9 } });
        wire.send(wire.headers(1, RESPONSE));
        return wire;
      },
    ],
    [
      "headerList",
      () => {
        const { wire } = serverWithRequest({ limits: { headerListBytesMax: 1000 } });
        wire.send(wire.headers(1, [["x-note", "~".repeat(1000)]], END_STREAM));
        return wire;
      },
    ],
    [
      "concurrentStreams",
      () => {
        const { wire } = serverWithRequest({ settings: { concurrentStreamsMax: 1 } });
        wire.send(wire.headers(3, REQUEST));
        return wire;
      },
    ],
    [
      "processBuffers",
      () => {
        const { wire } = serverWithRequest({ budget: new BufferBudget(9) });
        wire.send(data(1, FULL));
        return wire;
      },
    ],
    [
      "unreadOutput",
      () => {
        const { wire, stream } = serverWithRequest({ limits: { outputBytesMax: 100_000 } });
        while (!wire.connection.ended) stream.sendHeaders(fields([["x-note", "~".repeat(9000)]]), false);
        return wire;
      },
    ],
  ];

  test.each(cases)("%s", (limit, attack) => {
    expect(attack().limits).toEqual([limit]);
  });

  test("what breaks the protocol is no limit", () => {
    const wire = server();
    wire.send(data(0, "x"));
    expect(wire.connection.ended).toBe(true);
    expect(wire.limits).toEqual([]);
  });

  function attacked(limits: Partial<Http2Limits>, frames: (wire: ServerWire) => Uint8Array[]): ServerWire {
    const wire = server({ limits });
    wire.send(...frames(wire));
    return wire;
  }
});
