/** What a server may make a client spend: frames for calls that are over, responses that are none, frames too large. */
import { describe, expect, test } from "bun:test";
import { HTTP2_LIMITS, LATE_DATA_BYTES_MAX, STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import { applySettings, defaultSettings } from "../../src/http2/settings.ts";
import {
  CANCEL,
  data,
  END_STREAM,
  goaway,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  NO_ERROR,
  rstStream,
  settings,
} from "./frames.ts";
import { client, type ClientWire, clientWithRequest, open, RESPONSE } from "./wire.ts";

const LIMIT = { burst: 10, perSecond: 5 };
const PIECE = new Uint8Array(16_384);

/** How often `act` can be done before the connection ends; 1000 is for ever. */
function timesUntilOver(wire: ClientWire, act: () => void): number {
  for (let i = 0; i < 1000; i++) {
    act();
    wire.read();
    if (wire.connection.ended) return i;
  }
  return 1000;
}

/** A client whose call is over: the server has answered it. */
function withEndedCall(options: Parameters<typeof clientWithRequest>[0] = {}): ClientWire {
  const { wire } = clientWithRequest(options, true);
  wire.send(wire.headers(1, RESPONSE, END_STREAM));
  wire.read();
  return wire;
}

describe("frames for a call that is over", () => {
  test("HEADERS have a rate", () => {
    const wire = withEndedCall({ limits: { lateFrames: LIMIT } });
    expect(timesUntilOver(wire, () => wire.send(wire.headers(1, RESPONSE, END_STREAM)))).toBe(10);
    expect(wire.events.at(-1)).toBe("end by self with ENHANCE_YOUR_CALM");
  });

  test("RST_STREAM have a rate", () => {
    const wire = withEndedCall({ limits: { lateFrames: LIMIT } });
    expect(timesUntilOver(wire, () => wire.send(rstStream(1, CANCEL)))).toBe(10);
  });

  test("20,000 calls that are cancelled just as they are answered stay within the rate", () => {
    const wire = client();
    for (let i = 0; i < 20_000; i++) {
      const stream = open(wire);
      stream.reset(CANCEL);
      wire.send(wire.headers(stream.id, RESPONSE), rstStream(stream.id, CANCEL));
    }
    expect(wire.connection.ended).toBe(false);
  });

  test("DATA behind the end of the answer is an error of the connection", () => {
    const wire = withEndedCall();
    wire.send(data(1, "more"));
    expect(wire.events.at(-1)).toBe("end by self with STREAM_CLOSED");
  });

  test("DATA may come on a call that was cancelled, as far as its window went", () => {
    const { wire, stream } = clientWithRequest();
    wire.send(wire.headers(1, RESPONSE));
    stream.reset(CANCEL);
    const pieces = STREAM_WINDOW_BYTES / PIECE.length;
    expect(timesUntilOver(wire, () => wire.send(data(1, PIECE)))).toBe(pieces);
    expect(wire.events.at(-1)).toBe("end by self with STREAM_CLOSED");
  });

  test("of many calls that were cancelled not all windows are kept open", () => {
    const wire = client();
    const calls = (2 * LATE_DATA_BYTES_MAX) / STREAM_WINDOW_BYTES;
    for (let i = 0; i < calls; i++) open(wire).reset(CANCEL);
    let pieces = 0;
    while (!wire.connection.ended) {
      wire.send(data(1, PIECE));
      wire.read();
      pieces++;
    }
    expect(pieces * PIECE.length).toBe(LATE_DATA_BYTES_MAX + PIECE.length);
  });
});

describe("frames that say nothing", () => {
  test("informational responses have a rate", () => {
    const { wire } = clientWithRequest({ limits: { idleFrames: LIMIT } });
    expect(timesUntilOver(wire, () => wire.send(wire.headers(1, [[":status", "103"]])))).toBe(10);
  });

  test("GOAWAYs behind the first one have a rate", () => {
    const { wire } = clientWithRequest({ limits: { idleFrames: LIMIT } });
    expect(timesUntilOver(wire, () => wire.send(goaway(1, NO_ERROR)))).toBe(11);
  });
});

describe("settings of a server", () => {
  test("no frame is sent that is larger than the output's high water, whatever the server takes", () => {
    const remote = defaultSettings();
    const payload = settings([MAX_FRAME_SIZE, 16_777_215]).subarray(9);
    applySettings(remote, 0, payload, 0, payload.length);
    expect(remote.frameBytesMax).toBeLessThanOrEqual(HTTP2_LIMITS.outputHighWaterBytes);
  });

  test("MAX_CONCURRENT_STREAMS of 0 means that no end of a call makes room", () => {
    const wire = client({ peerSettings: [[MAX_CONCURRENT_STREAMS, 0]] });
    expect([wire.connection.canOpen, wire.connection.takesNoStreams]).toEqual([false, true]);
    wire.send(settings([MAX_CONCURRENT_STREAMS, 1]));
    expect([wire.connection.canOpen, wire.connection.takesNoStreams]).toEqual([true, false]);
  });
});
