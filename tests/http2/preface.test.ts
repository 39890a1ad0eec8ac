/** How a connection begins (RFC 9113 §3.4). */
import { describe, expect, test } from "bun:test";
import { ACK, ENABLE_PUSH, frame, PREFACE, ping, SETTINGS, settings, text, windowUpdate } from "./frames.ts";
import { freshClient, freshServer, REQUEST } from "./wire.ts";

describe("RFC 9113 §3.4: what a server says and hears first", () => {
  test("a server says its SETTINGS and its connection window before the client has said anything", () => {
    const wire = freshServer({ settings: { concurrentStreamsMax: 100 } });
    expect(wire.read()).toEqual(["SETTINGS 3=100 4=262144", "WINDOW_UPDATE 0 +16711681"]);
  });

  test("the client's preface and SETTINGS are acknowledged", () => {
    const wire = freshServer();
    wire.read();
    wire.send(PREFACE, settings());
    expect(wire.read()).toEqual(["SETTINGS ACK"]);
    expect(wire.connection.settingsReceived).toBe(true);
  });

  test("a preface that comes byte by byte is the same preface", () => {
    const wire = freshServer();
    wire.read();
    for (const byte of PREFACE) wire.send(Uint8Array.of(byte));
    for (const byte of settings()) wire.send(Uint8Array.of(byte));
    expect(wire.read()).toEqual(["SETTINGS ACK"]);
  });

  test("a request may follow preface and SETTINGS in the same chunk", () => {
    const wire = freshServer();
    wire.send(PREFACE, settings(), wire.headers(1, REQUEST));
    expect(wire.events).toEqual(["request 1 POST /kv"]);
  });

  test("bytes that are no preface end the connection", () => {
    const wire = freshServer();
    wire.read();
    wire.send(text("GET / HTTP/1.1\r\n\r\n"));
    expect(wire.read()).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });

  test("a preface that is wrong in its last byte ends the connection", () => {
    const wire = freshServer();
    wire.send(PREFACE.subarray(0, 23));
    expect(wire.connection.ended).toBe(false);
    wire.send(text("!"));
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });

  for (const [name, first] of [
    ["PING", ping("12345678")],
    ["WINDOW_UPDATE", windowUpdate(0, 1)],
    ["an unknown frame", frame(0x42, 0, 0)],
    ["the acknowledgement of SETTINGS", frame(SETTINGS, ACK, 0)],
  ] as const) {
    test(`${name} before the client's SETTINGS ends the connection`, () => {
      const wire = freshServer();
      wire.send(PREFACE, first);
      expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
    });
  }

  test("nothing is heard once the connection has ended", () => {
    const wire = freshServer();
    wire.send(PREFACE, ping("12345678"));
    wire.takeEvents();
    wire.read();
    wire.send(settings(), wire.headers(1, REQUEST));
    expect(wire.events).toEqual([]);
    expect(wire.read()).toEqual([]);
  });

  test("frames behind the one that ends the connection are not looked at", () => {
    const wire = freshServer();
    wire.send(PREFACE, ping("12345678"), settings(), wire.headers(1, REQUEST));
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });
});

describe("RFC 9113 §3.4: what a client says and hears first", () => {
  test("a client says the preface, its SETTINGS with push refused, and its connection window", () => {
    const wire = freshClient();
    const { output } = wire.connection.outbound;
    expect(output.toBytes().subarray(0, PREFACE.length)).toEqual(PREFACE);
    output.discard(PREFACE.length);
    expect(wire.read()).toEqual(["SETTINGS 2=0 4=262144", "WINDOW_UPDATE 0 +16711681"]);
  });

  test("a client opens no stream before the server's SETTINGS", () => {
    const wire = freshClient();
    expect(wire.connection.canOpen).toBe(false);
    wire.send(settings());
    expect(wire.events).toEqual(["ready"]);
    expect(wire.connection.canOpen).toBe(true);
  });

  test("a server that answers in HTTP/1.1 is no server of ours", () => {
    const wire = freshClient();
    wire.send(text("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(wire.connection.ended).toBe(true);
    expect(wire.connection.settingsReceived).toBe(false);
  });

  test("a server whose first frame is not SETTINGS loses its connection", () => {
    const wire = freshClient();
    wire.send(ping("12345678"));
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });

  test("a server that asks for push loses its connection (§6.5.2)", () => {
    const wire = freshClient();
    wire.send(settings([ENABLE_PUSH, 1]));
    expect(wire.events).toEqual(["end by self with PROTOCOL_ERROR"]);
  });

  test("a server may say that it does not push", () => {
    const wire = freshClient();
    wire.send(settings([ENABLE_PUSH, 0]));
    expect(wire.events).toEqual(["ready"]);
  });
});
