/**
 * The client side of a connection: opens streams, takes responses, obeys GOAWAY.
 *
 * Stream ids end at 2^31 - 1, which a busy proxy reaches within hours: `retiring` turns true while there are
 * still enough ids for its owner to bring up a successor without a failed call.
 */
import type { HeaderField } from "../hpack/header-field.ts";
import { Connection } from "./connection.ts";
import type { ConnectionHandler, ConnectionOptions } from "./connection-handler.ts";
import { ConnectionError, ErrorCode, errorCodeName } from "./error-code.ts";
import { CONNECTION_PREFACE } from "./frame.ts";
import { HeadCache } from "./head-cache.ts";
import { type ResponseHead, readResponseHead } from "./header-rules.ts";
import { LATE_DATA_BYTES_MAX, STREAM_IDS_RESERVE } from "./limits.ts";
import type { Goaway } from "./malformed-frame.ts";
import { connectionReset, Stream, type StreamHandler } from "./stream.ts";

export interface ClientConnectionHandler extends ConnectionHandler {
  /** The server's SETTINGS have come: it speaks HTTP/2 and takes calls. */
  onReady(): void;
  /** The server takes no more streams; those it has taken go on. */
  onGoaway(code: number, debugText: string): void;
  /**
   * A stream has ended, or the server has changed its settings: where its MAX_CONCURRENT_STREAMS was reached,
   * another one may open.
   */
  onStreamEnded(): void;
  /** A stream has opened while the keepalive rested: look at it again. */
  onAwake?(): void;
}

const STREAM_ID_MAX = 0x7fffffff;

export class ClientConnection extends Connection {
  readonly #handler: ClientConnectionHandler;
  readonly #heads = new HeadCache<ResponseHead | string>(readResponseHead);
  #nextStreamId: number;
  /** DATA that may still come for streams that we have ended: what the server could send before it knew. */
  #lateDataBytes = 0;
  #goaway = false;
  #retired = false;

  /** `firstStreamId` is 1 but in tests of a connection near its last id. */
  constructor(options: ConnectionOptions, handler: ClientConnectionHandler, firstStreamId = 1) {
    super("client", options, CONNECTION_PREFACE);
    this.handler = handler;
    this.#handler = handler;
    this.#nextStreamId = firstStreamId;
    this.outbound.remoteSettings.pushEnabled = false; // We refuse it, and a server may not ask (RFC 9113 §6.5.2).
  }

  /** True when `open` will open a stream now. */
  get canOpen(): boolean {
    return (
      this.settingsReceived &&
      !this.ended &&
      !this.#goaway &&
      !this.#retired &&
      this.#nextStreamId <= STREAM_ID_MAX &&
      this.streams.size < this.outbound.remoteSettings.concurrentStreamsMax
    );
  }

  /** How many streams the server takes beside those that are open. */
  get streamsFree(): number {
    return this.outbound.remoteSettings.concurrentStreamsMax - this.streams.size;
  }

  /** True while the server's MAX_CONCURRENT_STREAMS is 0: there is nothing whose end could be waited for. */
  get takesNoStreams(): boolean {
    return this.settingsReceived && this.outbound.remoteSettings.concurrentStreamsMax === 0;
  }

  /** True when the server would take no stream ever again: bring up another connection. */
  get goingAway(): boolean {
    return this.#goaway || this.#retired || this.ended;
  }

  /** True when stream ids are about to run out: bring up another connection, then `retire` this one. */
  get retiring(): boolean {
    return this.#nextStreamId > STREAM_ID_MAX - 2 * STREAM_IDS_RESERVE;
  }

  /** Opens a stream with a request's header section. Only while `canOpen`. */
  open(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): Stream {
    if (!this.canOpen) throw new Error("no stream can be opened on this connection");
    const id = this.#nextStreamId;
    this.#nextStreamId += 2;
    const stream = new Stream(this, id, this.outbound.remoteSettings.initialWindowBytes, handler);
    this.streams.add(stream);
    stream.sendHeaders(fields, endStream);
    if (this.liveness.resting) this.#handler.onAwake?.();
    return stream;
  }

  /** Opens no more streams; ends with the last one. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.finishWhenIdle();
  }

  protected override onHeaderSection(
    id: number,
    fields: readonly HeaderField[],
    tooLarge: boolean,
    endStream: boolean,
  ): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id))
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `HEADERS on idle stream ${id}`);
      this.floods.note("lateFrames", this.nowMs); // Of a stream we have cancelled.
      return;
    }
    if (stream.remoteEnded) {
      this.failStream(stream, ErrorCode.STREAM_CLOSED, "HEADERS behind END_STREAM");
    } else if (tooLarge) {
      this.failStream(stream, ErrorCode.ENHANCE_YOUR_CALM, "header section is too large", "headerList");
    } else if (stream.headReceived) {
      this.receiveTrailers(stream, fields, tooLarge, endStream);
    } else {
      this.#onResponse(stream, fields, endStream);
    }
  }

  #onResponse(stream: Stream, fields: readonly HeaderField[], endStream: boolean): void {
    const head = this.#heads.get(fields);
    if (typeof head === "string") {
      this.failStream(stream, ErrorCode.PROTOCOL_ERROR, head);
      return;
    }
    if (head.status < 200) {
      if (endStream || head.status === 101) {
        this.failStream(stream, ErrorCode.PROTOCOL_ERROR, `status ${head.status} is no final response`);
      } else {
        this.floods.note("idleFrames", this.nowMs);
      }
      return;
    }
    stream.headReceived = true;
    this.liveness.idlePings = 0;
    stream.contentBytesLeft = head.contentLengthBytes;
    if (endStream && head.contentLengthBytes > 0) {
      this.failStream(stream, ErrorCode.PROTOCOL_ERROR, "content-length without content");
      return;
    }
    const handler = stream.handler;
    if (endStream) stream.remoteEnd();
    handler.onResponse(head, endStream);
  }

  /** What a server had sent on streams before it knew that we ended them is dropped; it cannot be more than that. */
  protected override onLateData(id: number, bytes: number): void {
    if (bytes === 0) this.floods.note("emptyData", this.nowMs);
    this.#lateDataBytes -= bytes;
    if (this.#lateDataBytes >= 0) return;
    throw new ConnectionError(ErrorCode.STREAM_CLOSED, `DATA on closed stream ${id}`, "streamWindow");
  }

  protected override onLateReset(): void {
    this.floods.note("lateFrames", this.nowMs);
  }

  override writeReset(id: number, code: number): void {
    const stream = this.streams.get(id);
    if (stream !== undefined && !stream.remoteEnded) {
      this.#lateDataBytes = Math.min(LATE_DATA_BYTES_MAX, this.#lateDataBytes + stream.receiveWindowBytes);
    }
    super.writeReset(id, code);
  }

  protected override onRemoteSettings(first: boolean): void {
    if (this.outbound.remoteSettings.pushEnabled) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH of 1 from a server");
    }
    if (first) this.#handler.onReady();
    else this.#handler.onStreamEnded();
  }

  protected override onGoaway({ lastStreamId, code, debugText }: Goaway): void {
    if (this.#goaway) this.floods.note("idleFrames", this.nowMs);
    this.#goaway = true;
    const why = `member is going away with ${errorCodeName(code)}${debugText === "" ? "" : `: ${debugText}`}`;
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId) continue;
      stream.abort(connectionReset(why, true));
    }
    this.#handler.onGoaway(code, debugText);
    this.finishWhenIdle();
  }

  protected override onForgotten(): void {
    this.#handler.onStreamEnded();
  }

  protected override get finished(): boolean {
    return (this.#goaway || this.#retired) && this.streams.size === 0;
  }

  protected override isIdle(id: number): boolean {
    return (id & 1) === 0 || id >= this.#nextStreamId;
  }
}
