/** The record that judges what a proxy leaves upstream is held to frames that are written by hand. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/byte-writer.ts";
import { HpackEncoder } from "../../src/hpack/encoder.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import type { RelayTap } from "../harness/tcp-relay.ts";
import {
  CANCEL,
  concat,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  PREFACE,
  rstStream,
  settings,
} from "../http2/frames.ts";
import { StreamRecord } from "./stream-record.ts";

/** Frames of a client, with its encoder. */
class RecordedClient {
  readonly tap: RelayTap;
  readonly #encoder = new HpackEncoder();

  constructor(record: StreamRecord) {
    this.tap = record.tap();
    this.tap.onClientBytes(concat([PREFACE, settings()]));
  }

  head(streamId: number, path: string, flags = 0): Uint8Array {
    const block = new ByteWriter();
    this.#encoder.encode([headerField(":path", path)], block);
    return frame(HEADERS, END_HEADERS | flags, streamId, block.toBytes());
  }
}

describe("a stream of the record", () => {
  test("is open from its HEADERS until the client resets it", () => {
    const record = new StreamRecord();
    const client = new RecordedClient(record);
    client.tap.onClientBytes(concat([client.head(1, "/a/Lock"), client.head(3, "/a/Lock")]));
    client.tap.onClientBytes(data(1, "request", END_STREAM));
    expect(record.open()).toEqual({ Lock: 2 });
    client.tap.onClientBytes(rstStream(1, CANCEL));
    expect(record.open()).toEqual({ Lock: 1 });
    client.tap.onClientBytes(rstStream(3, CANCEL));
    expect(record.open()).toEqual({});
    expect(record.begun).toEqual({ Lock: 2 });
  });

  test("is over when the member resets it", () => {
    const record = new StreamRecord();
    const client = new RecordedClient(record);
    client.tap.onClientBytes(client.head(1, "/a/Watch"));
    client.tap.onTargetBytes(rstStream(1, CANCEL));
    expect(record.open()).toEqual({});
  });

  test("is over when both sides have ended it, not before", () => {
    const record = new StreamRecord();
    const client = new RecordedClient(record);
    client.tap.onClientBytes(client.head(1, "/a/Range"));
    client.tap.onTargetBytes(frame(HEADERS, END_HEADERS, 1));
    client.tap.onTargetBytes(frame(HEADERS, END_HEADERS | END_STREAM, 1));
    expect(record.open()).toEqual({ Range: 1 });
    client.tap.onClientBytes(data(1, "", END_STREAM));
    expect(record.open()).toEqual({});
  });

  test("is not mistaken for the one with its number on another connection", () => {
    const record = new StreamRecord();
    const [one, other] = [new RecordedClient(record), new RecordedClient(record)];
    one.tap.onClientBytes(one.head(1, "/a/Lock"));
    other.tap.onClientBytes(other.head(1, "/a/Watch"));
    other.tap.onClientBytes(rstStream(1, CANCEL));
    expect(record.open()).toEqual({ Lock: 1 });
  });
});

test("frames are recorded the same however their bytes come", () => {
  const record = new StreamRecord();
  const client = new RecordedClient(record);
  const frames = concat([
    client.head(1, "/a/Lock"),
    data(1, "request", END_STREAM),
    client.head(3, "/a/Lock"),
    rstStream(1, CANCEL),
  ]);
  for (const byte of frames) client.tap.onClientBytes(Uint8Array.of(byte));
  expect(record.begun).toEqual({ Lock: 2 });
  expect(record.open()).toEqual({ Lock: 1 });
});
