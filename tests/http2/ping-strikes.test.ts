/** Clients that ask too often whether we live: strikes as gRPC's servers give them (gRFC A8, A9). */
import { describe, expect, test } from "bun:test";
import { ACK, data, END_STREAM, parseFrames, ping, windowUpdate } from "./frames.ts";
import { fields, request, RESPONSE, server, type ServerWire, serverWithRequest } from "./wire.ts";

const MIN_TIME_MS = 5000;
const LIMITS = { pingIntervalMinMs: MIN_TIME_MS };
const PING = ping("12345678");
const CALM = "end by self with ENHANCE_YOUR_CALM";

/** How many PINGs `everyMs` apart the client may send; 100 is for ever. */
function pingsUntilCalm(wire: ServerWire, everyMs: number, before: () => void = () => {}): number {
  for (let i = 0; i < 100; i++) {
    before();
    wire.send(PING);
    wire.read();
    if (wire.connection.ended) return i;
    wire.nowMs += everyMs;
  }
  return 100;
}

describe("a client that pings", () => {
  test("as often as it may is left alone, with a call and without", () => {
    expect(pingsUntilCalm(server({ limits: LIMITS }), MIN_TIME_MS)).toBe(100);
    expect(pingsUntilCalm(serverWithRequest({ limits: LIMITS }).wire, MIN_TIME_MS)).toBe(100);
  });

  test("more often is cut with its fourth: the first is none too many, two are forgiven", () => {
    expect(pingsUntilCalm(server({ limits: LIMITS }), MIN_TIME_MS - 1)).toBe(3);
    expect(pingsUntilCalm(serverWithRequest({ limits: LIMITS }).wire, MIN_TIME_MS - 1)).toBe(3);
  });

  test("more often is told so in the words that gRPC's clients know, behind the last answer", () => {
    const wire = server({ limits: LIMITS });
    for (let i = 0; i < 3; i++) wire.send(PING);
    wire.read();
    wire.send(PING);
    const [answer, goaway] = parseFrames(wire.connection.outbound.output.toBytes());
    expect([answer!.type, answer!.flags]).toEqual([6, ACK]);
    expect(Buffer.from(goaway!.payload.subarray(8)).toString()).toBe("too_many_pings");
    expect(wire.read().at(-1)).toBe("GOAWAY 0 ENHANCE_YOUR_CALM");
    expect([wire.events, wire.limits]).toEqual([[CALM], ["pingStrikes"]]);
  });

  test("for each answer it gets is left alone: gRPC's clients probe the bandwidth so", () => {
    const { wire, stream } = serverWithRequest({ limits: LIMITS });
    wire.send(windowUpdate(1, 1_000_000));
    stream.sendHeaders(fields(RESPONSE), false);
    expect(pingsUntilCalm(wire, 1, () => stream.sendData(Uint8Array.of(1), 0, 1, false))).toBe(100);
  });

  test("has a clean slate when a call of its is answered", () => {
    const wire = server({ limits: LIMITS });
    for (let round = 0; round < 10; round++) {
      // One that finds something sent, and two that are forgiven.
      for (let i = 0; i < 3; i++) wire.send(PING);
      const stream = request(wire, 1 + 2 * round, END_STREAM);
      stream.sendHeaders(fields(RESPONSE), true);
      wire.read();
    }
    expect(wire.connection.ended).toBe(false);
  });

  test("keeps its strikes when it only sends itself", () => {
    const { wire } = serverWithRequest({ limits: LIMITS });
    expect(pingsUntilCalm(wire, 1, () => wire.send(data(1, "x")))).toBe(3);
  });

  test("keeps its strikes while it waits long: only what we send clears them", () => {
    const wire = server({ limits: LIMITS });
    for (let i = 0; i < 3; i++) wire.send(PING);
    wire.nowMs += 10 * MIN_TIME_MS;
    wire.send(PING);
    expect(wire.connection.ended).toBe(false);
    wire.send(PING);
    expect(wire.connection.ended).toBe(true);
  });

  test("as often as it likes is left to the limit on floods where no interval is demanded", () => {
    expect(pingsUntilCalm(server({ limits: { pingIntervalMinMs: 0 } }), 10)).toBe(100);
    const flooded = server({ limits: { ...LIMITS, pings: { burst: 1, perSecond: 0 } } });
    expect(pingsUntilCalm(flooded, MIN_TIME_MS)).toBe(1);
    expect(flooded.limits).toEqual(["pings"]);
  });

  test("answers of a client to our own pings are no pings", () => {
    const wire = server({ limits: LIMITS });
    for (let i = 0; i < 100; i++) wire.send(ping("12345678", ACK));
    expect(wire.connection.ended).toBe(false);
  });
});
