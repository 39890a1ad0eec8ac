/**
 * The server side of a connection: takes the client's preface, opens a stream for each request, drains.
 */
import type { HeaderField } from "../hpack/header-field.ts";
import { headerField } from "../hpack/header-field.ts";
import { Connection } from "./connection.ts";
import type { ConnectionHandler, ConnectionOptions } from "./connection-handler.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { CONNECTION_PREFACE, writeGoaway, writePing } from "./frame.ts";
import { HeadCache } from "./head-cache.ts";
import { type RequestHead, readRequestHead } from "./header-rules.ts";
import { PingStrikes, TOO_MANY_PINGS } from "./ping-strikes.ts";
import { NO_HANDLER, Stream } from "./stream.ts";

export interface ServerConnectionHandler extends ConnectionHandler {
  /** A request has begun. The owner sets `stream.handler` before it returns. */
  onRequest(stream: Stream, head: RequestHead, endStream: boolean): void;
}

const PREFACE = Buffer.from(CONNECTION_PREFACE, "latin1");

/** GOAWAY's last stream id while new streams are still taken (RFC 9113 §6.8). */
const STREAM_ID_MAX = 0x7fffffff;

/** Marks the PING that tells when the client must have seen our first GOAWAY. */
const DRAIN_PING = Buffer.from("drainetc", "latin1");

export class ServerConnection extends Connection {
  readonly #handler: ServerConnectionHandler;
  readonly #heads = new HeadCache<RequestHead | string>(readRequestHead);
  readonly #pingStrikes: PingStrikes;
  #prefaceBytes = 0;
  #drain: "no" | "announced" | "last stream told" = "no";

  constructor(options: ConnectionOptions, handler: ServerConnectionHandler) {
    super("server", options, "");
    this.#pingStrikes = new PingStrikes(options.limits.pingIntervalMinMs);
    this.handler = handler;
    this.#handler = handler;
  }

  /**
   * Lets the client finish (RFC 9113 §6.8): it is told to open no more streams, then, when it must have heard
   * that, which one was the last; the connection ends with its last stream.
   */
  drain(): void {
    if (this.ended || this.#drain !== "no") return;
    this.#drain = "announced";
    writeGoaway(this.outbound.output, STREAM_ID_MAX, ErrorCode.NO_ERROR, "draining");
    writePing(this.outbound.output, false, DRAIN_PING, 0);
    this.outbound.announce();
    this.outbound.settle();
  }

  /** The client has had time enough to hear of `drain`, whether it has said so or not. */
  finishDrain(): void {
    if (this.ended || this.#drain !== "announced") return;
    this.#tellLastStream();
    if (!this.ended) this.outbound.settle();
  }

  get draining(): boolean {
    return this.#drain !== "no";
  }

  protected override receiveBytes(chunk: Uint8Array): void {
    let at = 0;
    while (this.#prefaceBytes < PREFACE.length && at < chunk.length) {
      if (chunk[at] !== PREFACE[this.#prefaceBytes]) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "not an HTTP/2 connection preface");
      }
      this.#prefaceBytes++;
      at++;
    }
    if (at < chunk.length) this.receiveFrames(chunk, at);
  }

  protected override onHeaderSection(
    id: number,
    fields: readonly HeaderField[],
    tooLarge: boolean,
    endStream: boolean,
  ): void {
    const known = this.streams.get(id);
    if (known !== undefined) {
      if (known.remoteEnded) this.failStream(known, ErrorCode.STREAM_CLOSED, "HEADERS behind END_STREAM");
      else this.receiveTrailers(known, fields, tooLarge, endStream);
      return;
    }
    if ((id & 1) === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `client opened stream ${id}`);
    if (id <= this.lastRemoteStreamId) {
      if (this.resetStreams.has(id)) return;
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, `HEADERS on closed stream ${id}`);
    }
    if (this.#drain === "last stream told") return; // Above GOAWAY's last stream: ignored (RFC 9113 §6.8).
    this.lastRemoteStreamId = id;
    if (this.streams.size >= this.localSettings.concurrentStreamsMax) {
      this.handler.onLimit?.("concurrentStreams", "request beyond MAX_CONCURRENT_STREAMS");
      this.refuse(id, ErrorCode.REFUSED_STREAM);
      return;
    }
    if (tooLarge) {
      this.#answerTooLarge(id, endStream);
      return;
    }
    const head = this.#heads.get(fields);
    if (typeof head === "string" || (endStream && head.contentLengthBytes > 0)) {
      this.refuse(id, ErrorCode.PROTOCOL_ERROR); // Malformed (RFC 9113 §8.1.1).
      return;
    }
    const stream = this.#newStream(id);
    stream.contentBytesLeft = head.contentLengthBytes;
    if (endStream) stream.remoteEnd();
    this.#handler.onRequest(stream, head, endStream);
  }

  #newStream(id: number): Stream {
    const stream = new Stream(this, id, this.outbound.remoteSettings.initialWindowBytes, NO_HANDLER);
    stream.headReceived = true;
    this.streams.add(stream);
    return stream;
  }

  /** RFC 6585 §5. The stream never reaches the handler. */
  #answerTooLarge(id: number, endStream: boolean): void {
    this.handler.onLimit?.("headerList", "header section is too large");
    this.floods.note("resets", this.nowMs);
    const stream = this.#newStream(id);
    if (endStream) stream.remoteEnd();
    stream.sendHeaders(TOO_LARGE, true);
    stream.reset(ErrorCode.NO_ERROR);
  }

  protected override onLateData(id: number): void {
    if (this.resetStreams.has(id)) return; // Sent before it knew.
    if (id <= this.lastRemoteStreamId) this.refuse(id, ErrorCode.STREAM_CLOSED);
  }

  protected override onLateReset(): void {
    this.floods.note("resets", this.nowMs);
  }

  protected override onResetByPeer(): void {
    this.floods.note("resets", this.nowMs);
  }

  /** The client opens no stream we could have to refuse; it closes when it is done. */
  protected override onGoaway(): void {}

  protected override onPingAck(bytes: Uint8Array, start: number): void {
    if (this.#drain !== "announced") return;
    if (DRAIN_PING.compare(bytes, start, start + DRAIN_PING.length) !== 0) return;
    this.#tellLastStream();
  }

  #tellLastStream(): void {
    this.#drain = "last stream told";
    writeGoaway(this.outbound.output, this.lastRemoteStreamId, ErrorCode.NO_ERROR, "draining");
    this.outbound.announce();
    this.finishWhenIdle();
  }

  protected override onPing(sentSincePing: boolean): void {
    if (!this.#pingStrikes.note(sentSincePing, this.nowMs)) return;
    throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS, "pingStrikes");
  }

  protected override get finished(): boolean {
    return this.#drain === "last stream told" && this.streams.size === 0;
  }

  /** Above GOAWAY's last stream id there are streams that we ignore and know nothing of. */
  protected override isIdle(id: number): boolean {
    return (id & 1) === 0 || (id > this.lastRemoteStreamId && this.#drain !== "last stream told");
  }
}

const TOO_LARGE = [headerField(":status", "431"), headerField("content-length", "0")];
