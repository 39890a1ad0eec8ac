/** Silent peers are asked whether they live, never more often than gRPC's servers let pass (gRFC A8). */
import { describe, expect, test } from "bun:test";
import type { Connection } from "../../src/http2/connection.ts";
import { IDLE_PINGS_MAX, Keepalive, type KeepalivePolicy } from "../../src/http2/keepalive.ts";
import { ACK, data, END_STREAM, ping, settings } from "./frames.ts";
import { client, clientWithRequest, type ClientWire, open, RESPONSE, server, type Wire } from "./wire.ts";

const TIME_MS = 10_000;
const TIMEOUT_MS = 3000;
const NEVER = Number.POSITIVE_INFINITY;
const PING = "PING are u ok";
const ANSWER = ping("are u ok", ACK);
const LOST = "end by transport with NO_ERROR";

/** A connection with its keepalive, both at the same time of day. */
class Kept<C extends Connection> {
  readonly wire: Wire<C>;
  readonly keepalive: Keepalive;

  constructor(wire: Wire<C>, policy: Partial<KeepalivePolicy> = {}) {
    this.wire = wire;
    this.keepalive = new Keepalive(
      wire.connection,
      { timeMs: TIME_MS, timeoutMs: TIMEOUT_MS, idlePingsMax: 0, ...policy },
      wire.nowMs,
    );
  }

  /** Lets time pass and looks. Returns in how many milliseconds to look again. */
  after(ms: number): number {
    this.wire.nowMs += ms;
    return this.keepalive.check(this.wire.nowMs) - this.wire.nowMs;
  }

  /** Lets the time pass after which a PING is due; tells what was sent, and answers it. */
  askedAndAnswered(): string[] {
    this.after(TIME_MS);
    const sent = this.wire.read();
    if (sent.length > 0) this.wire.send(ANSWER);
    return sent;
  }
}

/** A client with one call that waits for its answer. */
const withCall = (): Kept<ClientWire["connection"]> => new Kept(clientWithRequest().wire);

describe("a peer that is silent while a call is open", () => {
  test("is asked once its time is over, not before", () => {
    const kept = withCall();
    expect(kept.after(0)).toBe(TIME_MS);
    expect(kept.after(TIME_MS - 1)).toBe(1);
    expect(kept.wire.read()).toEqual([]);
    expect(kept.after(1)).toBe(TIMEOUT_MS);
    expect(kept.wire.read()).toEqual([PING]);
  });

  test("is given up, with the reason, when it stays silent", () => {
    const kept = withCall();
    kept.after(TIME_MS);
    expect(kept.after(TIMEOUT_MS - 1)).toBe(1);
    expect(kept.wire.connection.ended).toBe(false);
    kept.after(1);
    expect(kept.after(1)).toBe(NEVER);
    expect(kept.wire.events.slice(-2)).toEqual(["reset 1 by connection with CANCEL", LOST]);
  });

  test("tells why its calls end", () => {
    const kept = withCall();
    let reason = "";
    kept.wire.streams.get(1)!.handler.onReset = ({ message }) => {
      reason = message;
    };
    for (const ms of [TIME_MS, TIMEOUT_MS, 1]) kept.after(ms);
    expect(reason).toBe("no answer to a keepalive ping within 3 s");
  });

  test("lives as soon as anything comes, though the ping is unanswered", () => {
    const kept = withCall();
    kept.after(TIME_MS);
    kept.wire.nowMs += TIMEOUT_MS - 1;
    kept.wire.send(settings());
    expect(kept.after(1)).toBe(TIME_MS - 1);
    expect(kept.wire.connection.ended).toBe(false);
  });

  test("is not given up for a time in which this process did not run: its answer is read first", () => {
    const kept = withCall();
    kept.after(TIME_MS);
    kept.wire.read();
    kept.after(3_600_000);
    expect(kept.wire.connection.ended).toBe(false);
    kept.wire.send(ANSWER);
    expect(kept.after(1)).toBe(TIME_MS - 1);
    expect(kept.wire.connection.ended).toBe(false);
    // And once more, with no answer this time.
    for (const ms of [TIME_MS, TIMEOUT_MS]) kept.after(ms);
    expect(kept.wire.connection.ended).toBe(false);
    kept.after(1);
    expect(kept.wire.connection.ended).toBe(true);
  });

  test("that answers at once is looked at when the next ping is due, though this one's time is not over", () => {
    const kept = new Kept(clientWithRequest().wire, { timeoutMs: 3 * TIME_MS });
    expect(kept.after(TIME_MS)).toBe(TIME_MS);
    kept.wire.read();
    kept.wire.nowMs += 5;
    kept.wire.send(ANSWER);
    expect(kept.after(TIME_MS - 5)).toBe(5);
    kept.after(5);
    expect(kept.wire.read()).toEqual([PING]);
    // Without an answer the whole time is waited.
    expect([kept.after(TIME_MS), kept.after(TIME_MS), kept.after(TIME_MS - 1)]).toEqual([
      TIME_MS,
      TIME_MS,
      1,
    ]);
    expect(kept.wire.connection.ended).toBe(false);
  });

  test("is asked again, for as long as it answers", () => {
    const kept = withCall();
    for (let i = 0; i < 100; i++) expect(kept.askedAndAnswered()).toEqual([PING]);
    expect(kept.wire.connection.ended).toBe(false);
  });

  test("gets no second ping before it has acknowledged the first: they could come together", () => {
    const kept = withCall();
    kept.after(TIME_MS);
    expect(kept.wire.read()).toEqual([PING]);
    kept.wire.send(settings());
    kept.wire.read();
    kept.after(TIME_MS);
    expect(kept.wire.read()).toEqual([]);
    // It is waited for all the same.
    kept.after(TIMEOUT_MS);
    kept.after(1);
    expect(kept.wire.connection.ended).toBe(true);
  });

  test("gets the next ping its time after it has answered the last, however late that was", () => {
    const kept = withCall();
    kept.after(TIME_MS);
    kept.wire.nowMs += TIMEOUT_MS - 1;
    kept.wire.send(ANSWER);
    kept.wire.read();
    expect(kept.after(TIME_MS - 1)).toBe(1);
    expect(kept.wire.read()).toEqual([]);
    kept.after(1);
    expect(kept.wire.read()).toEqual([PING]);
  });
});

test("a peer that says something all the time is never asked", () => {
  const kept = withCall();
  kept.wire.send(kept.wire.headers(1, RESPONSE));
  for (let i = 0; i < 100; i++) {
    kept.after(TIME_MS - 1);
    kept.wire.send(data(1, "x"));
  }
  expect(kept.wire.read()).toEqual([]);
});

describe("a connection without a call", () => {
  test("is not asked: nobody looks at it until a call opens", () => {
    const kept = new Kept(client());
    expect(kept.after(TIME_MS)).toBe(NEVER);
    expect(kept.wire.read()).toEqual([]);
  });

  test("is asked behind the first call, when it has been silent for long", () => {
    const kept = new Kept(client());
    kept.after(TIME_MS);
    kept.wire.nowMs += 3_600_000;
    open(kept.wire);
    expect(kept.wire.takeEvents()).toEqual(["awake"]);
    expect(kept.after(0)).toBe(TIMEOUT_MS);
    expect(kept.wire.read().map((line) => line.slice(0, 7))).toEqual(["HEADERS", "PING ar"]);
    open(kept.wire);
    expect(kept.wire.takeEvents()).toEqual([]);
  });

  test("is asked without one where that is permitted, twice and no more", () => {
    const kept = new Kept(client(), { idlePingsMax: IDLE_PINGS_MAX });
    expect([1, 2, 3, 4].map(() => kept.askedAndAnswered())).toEqual([[PING], [PING], [], []]);
    expect(kept.wire.connection.ended).toBe(false);
  });

  test("is asked twice more behind a response", () => {
    const kept = new Kept(client(), { idlePingsMax: IDLE_PINGS_MAX });
    for (let i = 0; i < 3; i++) kept.askedAndAnswered();
    open(kept.wire, true);
    expect(kept.wire.takeEvents()).toEqual(["awake"]);
    kept.wire.send(kept.wire.headers(1, RESPONSE, END_STREAM));
    kept.wire.read();
    expect([1, 2, 3].map(() => kept.askedAndAnswered())).toEqual([[PING], [PING], []]);
  });

  test("is not asked more behind a call without a response", () => {
    const kept = new Kept(client(), { idlePingsMax: IDLE_PINGS_MAX });
    for (let i = 0; i < 3; i++) kept.askedAndAnswered();
    open(kept.wire).reset(8);
    kept.wire.read();
    expect(kept.askedAndAnswered()).toEqual([]);
  });

  test("does not count pings while a call is open", () => {
    const { wire, stream } = clientWithRequest();
    const kept = new Kept(wire, { idlePingsMax: IDLE_PINGS_MAX });
    for (let i = 0; i < 10; i++) expect(kept.askedAndAnswered()).toEqual([PING]);
    stream.reset(8);
    kept.wire.read();
    expect([1, 2, 3].map(() => kept.askedAndAnswered())).toEqual([[PING], [PING], []]);
  });
});

describe("towards a client", () => {
  test("silence is asked about without a call too, for ever", () => {
    const kept = new Kept(server(), { idlePingsMax: NEVER });
    for (let i = 0; i < 10; i++) expect(kept.askedAndAnswered()).toEqual([PING]);
  });

  test("one that has vanished is given up without a word", () => {
    const kept = new Kept(server(), { idlePingsMax: NEVER });
    kept.after(TIME_MS);
    kept.wire.read();
    kept.after(TIMEOUT_MS);
    kept.after(1);
    expect(kept.wire.events).toEqual([LOST]);
    expect(kept.wire.read()).toEqual([]);
  });

  test("the answer to a drain's ping is none to a keepalive ping, and the other way round", () => {
    const kept = new Kept(server(), { idlePingsMax: NEVER });
    kept.after(TIME_MS);
    kept.wire.connection.drain();
    kept.wire.read();
    kept.wire.send(ANSWER);
    expect(kept.wire.connection.ended).toBe(false);
    kept.wire.send(ping("drainetc", ACK));
    expect(kept.wire.events).toEqual(["end by finished with NO_ERROR"]);
  });
});

test("an ended connection is not looked at again", () => {
  const kept = withCall();
  kept.wire.connection.transportClosed("gone");
  kept.wire.takeEvents();
  expect(kept.after(TIME_MS)).toBe(NEVER);
  expect([kept.wire.takeEvents(), kept.wire.read()]).toEqual([[], []]);
});

test("silence counts from when the keepalive began, whatever the clock says", () => {
  const wire = client();
  const keepalive = new Keepalive(
    wire.connection,
    { timeMs: TIME_MS, timeoutMs: TIMEOUT_MS, idlePingsMax: 1 },
    900_000,
  );
  expect(keepalive.check(900_000)).toBe(900_000 + TIME_MS);
});
