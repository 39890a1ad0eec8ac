/**
 * One side of an HTTP/2 connection (RFC 9113) as a pure machine: bytes and the time in, bytes and events out.
 *
 * Stands between a socket, whose owner feeds `receive` and empties `output`, and the streams. It reads no
 * clock and does no I/O. What the peer does wrong ends a stream or this connection with the RFC's code,
 * in one place each (`failStream`, `fail`), and never throws out of `receive`.
 *
 * Two rules of flow control: the connection's credit goes back to the peer on receipt, a stream's only when
 * the stream's owner has consumed the bytes. So one stalled stream never holds up its neighbours.
 */
import { HpackError } from "../hpack/decoder.ts";
import type { HeaderField } from "../hpack/header-field.ts";
import { ConnectionBuffers } from "./connection-buffers.ts";
import {
  type ConnectionEnd,
  type ConnectionHandler,
  type ConnectionOptions,
  SILENT_HANDLER,
} from "./connection-handler.ts";
import { ConnectionError, ErrorCode, errorCodeName } from "./error-code.ts";
import { FloodGuard } from "./flood-guard.ts";
import {
  Flag,
  FrameType,
  readUint32,
  writeGoaway,
  writePing,
  writeRstStream,
  writeSettingsAck,
  writeWindowUpdate,
} from "./frame.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { checkDependency, HeaderBlockReader } from "./header-block-reader.ts";
import { trailerProblem } from "./header-rules.ts";
import { KEEPALIVE_PING, type Liveness } from "./keepalive.ts";
import { CONNECTION_WINDOW_BYTES, type Http2LimitName } from "./limits.ts";
import {
  type Goaway,
  onConnection,
  onIdle,
  onStream,
  paddingBytes,
  readGoaway,
  wrongSize,
} from "./malformed-frame.ts";
import { Outbound, type OutputListener } from "./outbound.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { ResetMemory } from "./reset-memory.ts";
import {
  applySettings,
  type Settings,
  WINDOW_BYTES_DEFAULT,
  WINDOW_BYTES_MAX,
  writeSettings,
} from "./settings.ts";
import { connectionReset, largestHolders, type Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

/** Where no stream holds so large a part, many are given up at once: looking for the largest takes time. */
const SHED_PARTS = 16;

export abstract class Connection extends ConnectionBuffers implements FrameSink, OutputListener {
  readonly outbound: Outbound;
  readonly localSettings: Settings;
  /** Set by the socket's owner before the first byte. */
  handler: ConnectionHandler = SILENT_HANDLER;
  /** The time given with the bytes being handled, in milliseconds of a monotonic clock. */
  nowMs = 0;
  /** True once the connection is over; nothing is received or sent any more. */
  ended = false;
  /** The peer's SETTINGS have come: it speaks HTTP/2 and is alive. */
  settingsReceived = false;
  /** What `Keepalive` knows of its PINGs; see there. */
  readonly liveness: Liveness = { pingUnanswered: false, idlePings: 0, resting: false };
  readonly streams = new StreamTable();
  protected readonly floods: FloodGuard;
  /** The highest stream id the peer has opened. */
  protected lastRemoteStreamId = 0;
  /** Streams we have reset lately: their late frames are ignored. */
  protected readonly resetStreams = new ResetMemory();
  readonly #reader: FrameReader;
  readonly #blocks: HeaderBlockReader;
  readonly #receiveWindow = new ReceiveWindow();
  #settingsUnacknowledged = 1;
  #handling = false;
  #finishOwed = false;

  protected constructor(role: "client" | "server", options: ConnectionOptions, preface: string) {
    super(options.limits, options.budget);
    this.outbound = new Outbound(options.limits, this);
    this.localSettings = options.settings;
    this.#reader = new FrameReader(options.settings.frameBytesMax, this);
    this.#blocks = new HeaderBlockReader(options.limits, options.settings.headerTableBytes);
    this.floods = new FloodGuard(options.limits);
    this.outbound.output.write(Buffer.from(preface, "latin1"));
    writeSettings(this.outbound.output, options.settings, role);
    writeWindowUpdate(this.outbound.output, 0, CONNECTION_WINDOW_BYTES - WINDOW_BYTES_DEFAULT);
  }

  /** Takes in bytes from the socket. Never throws for what the peer sent. */
  receive(chunk: Uint8Array, nowMs: number): void {
    if (this.ended) return;
    this.nowMs = nowMs;
    try {
      this.receiveBytes(chunk);
      this.outbound.settle();
      if (!this.ended) this.unfinishedBytesChanged(this.#reader.heldBytes + this.#blocks.heldBytes);
    } catch (error) {
      if (error instanceof ConnectionError) this.fail(error.code, error.message, error.limit);
      else if (error instanceof HpackError) this.fail(ErrorCode.COMPRESSION_ERROR, error.message);
      else {
        this.fail(ErrorCode.INTERNAL_ERROR, "internal error");
        throw error;
      }
    }
  }

  protected receiveBytes(chunk: Uint8Array): void {
    this.receiveFrames(chunk, 0);
  }

  /** The rest of a chunk whose first bytes a subclass has taken. */
  protected receiveFrames(chunk: Uint8Array, start: number): void {
    this.#reader.read(chunk, start);
  }

  /** The socket is gone. Every open stream ends. */
  transportClosed(message: string): void {
    this.end({ code: ErrorCode.NO_ERROR, cause: "transport", message, limit: null });
  }

  /** Ends the connection with GOAWAY (RFC 9113 §5.4.1). */
  fail(code: number, message: string, limit: Http2LimitName | null = null): void {
    if (this.ended) return;
    writeGoaway(this.outbound.output, this.lastRemoteStreamId, code, message);
    this.end({ code, cause: "self", message, limit });
  }

  protected end(end: ConnectionEnd): void {
    if (this.ended) return;
    this.ended = true;
    const reset = connectionReset(end.message, false);
    for (const stream of this.streams.all()) stream.abort(reset);
    this.leaveBudget();
    this.handler.onEnd(end);
  }

  // ── frames in ──────────────────────────────────────────────────────────────────────────────────────

  onFrame(type: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    this.#handling = true;
    this.#handleFrame(type, flags, id, bytes, start, end);
    this.#handling = false;
    if (this.#finishOwed) this.finishWhenIdle();
  }

  #handleFrame(type: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#blocks.open && (type !== FrameType.CONTINUATION || id !== this.#blocks.streamId)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "header block cut short by another frame");
    }
    if (!this.settingsReceived && (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "first frame is not SETTINGS");
    }
    switch (type) {
      case FrameType.DATA:
        this.#onData(flags, id, bytes, start, end);
        break;
      case FrameType.HEADERS:
        if (id === 0) throw onConnection("HEADERS");
        this.#onHeaderSection(id, this.#blocks.headers(flags, id, bytes, start, end));
        break;
      case FrameType.CONTINUATION:
        this.#onHeaderSection(id, this.#blocks.continuation(flags, bytes, start, end));
        break;
      case FrameType.RST_STREAM:
        this.#onRstStream(id, bytes, start, end);
        break;
      case FrameType.SETTINGS:
        this.#onSettings(flags, id, bytes, start, end);
        break;
      case FrameType.PING:
        this.#onPing(flags, id, bytes, start, end);
        break;
      case FrameType.GOAWAY:
        if (id !== 0) throw onStream("GOAWAY");
        this.onGoaway(readGoaway(bytes, start, end));
        break;
      case FrameType.WINDOW_UPDATE:
        this.#onWindowUpdate(id, bytes, start, end);
        break;
      case FrameType.PRIORITY:
        this.#onPriority(id, bytes, start, end);
        break;
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE although push is off");
      default:
        this.floods.note("idleFrames", this.nowMs); // Unknown frames are ignored (RFC 9113 §4.1).
    }
  }

  #onData(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id === 0) throw onConnection("DATA");
    const payloadBytes = end - start;
    const creditBytes = this.#receiveWindow.use(payloadBytes);
    if (creditBytes > 0) this.writeCredit(0, creditBytes);
    const endStream = (flags & Flag.END_STREAM) !== 0;
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      to -= paddingBytes("DATA", bytes, start, end);
      from++;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) throw onIdle("DATA", id);
      this.onLateData(id, payloadBytes);
      return;
    }
    if (stream.remoteEnded) {
      this.failStream(stream, ErrorCode.STREAM_CLOSED, "DATA behind END_STREAM");
      return;
    }
    if (payloadBytes > stream.receiveWindowBytes) {
      this.failStream(
        stream,
        ErrorCode.FLOW_CONTROL_ERROR,
        "DATA beyond the stream's window",
        "streamWindow",
      );
      return;
    }
    if (!stream.headReceived) {
      this.failStream(stream, ErrorCode.PROTOCOL_ERROR, "DATA before HEADERS");
      return;
    }
    const dataBytes = to - from;
    if (stream.contentBytesLeft >= 0) {
      stream.contentBytesLeft -= dataBytes;
      if (stream.contentBytesLeft < 0 || (endStream && stream.contentBytesLeft > 0)) {
        this.failStream(stream, ErrorCode.PROTOCOL_ERROR, "DATA does not add up to content-length");
        return;
      }
    }
    if (dataBytes === 0 && !endStream) this.floods.note("emptyData", this.nowMs);
    if (payloadBytes > 0) stream.received(payloadBytes);
    if (payloadBytes > dataBytes) stream.consume(payloadBytes - dataBytes);
    if (stream.closed) return; // shed by the buffer limit
    const handler = stream.handler;
    if (endStream) stream.remoteEnd();
    handler.onData(bytes, from, to, endStream);
  }

  #onHeaderSection(id: number, fields: readonly HeaderField[] | null): void {
    const { tooLarge, endStream } = this.#blocks;
    if (fields !== null) this.onHeaderSection(id, fields, tooLarge, endStream);
  }

  #onRstStream(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id === 0) throw onConnection("RST_STREAM");
    if (end - start !== 4) throw wrongSize("RST_STREAM");
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) throw onIdle("RST_STREAM", id);
      this.onLateReset(); // It crossed the end of the stream, or is one of a flood.
      return;
    }
    this.onResetByPeer();
    const code = readUint32(bytes, start);
    stream.abort({
      code,
      cause: "peer",
      neverProcessed: code === ErrorCode.REFUSED_STREAM && !stream.headReceived,
      message: `stream reset by peer with ${errorCodeName(code)}`,
    });
  }

  #onSettings(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id !== 0) throw onStream("SETTINGS");
    if ((flags & Flag.ACK) !== 0) {
      if (end !== start) throw wrongSize("SETTINGS");
      if (this.#settingsUnacknowledged > 0) this.#settingsUnacknowledged--;
      else this.floods.note("settings", this.nowMs);
      return;
    }
    this.floods.note("settings", this.nowMs);
    const windowBefore = this.outbound.remoteSettings.initialWindowBytes;
    applySettings(this.outbound.remoteSettings, flags, bytes, start, end);
    this.outbound.tableBytesChanged();
    const change = this.outbound.remoteSettings.initialWindowBytes - windowBefore;
    if (change !== 0) {
      for (const stream of this.streams.all()) {
        stream.sendWindowBytes += change;
        if (stream.sendWindowBytes > WINDOW_BYTES_MAX) {
          throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS make a window too large");
        }
        this.outbound.schedule(stream);
      }
    }
    writeSettingsAck(this.outbound.output);
    this.outbound.announce();
    const first = !this.settingsReceived;
    this.settingsReceived = true;
    this.onRemoteSettings(first);
    this.outbound.pump();
  }

  #onPing(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id !== 0) throw onStream("PING");
    if (end - start !== 8) throw wrongSize("PING");
    if ((flags & Flag.ACK) !== 0) {
      if (KEEPALIVE_PING.compare(bytes, start, end) === 0) this.liveness.pingUnanswered = false;
      else this.onPingAck(bytes, start);
      return;
    }
    const sentSincePing = this.outbound.sentSincePing();
    if (!sentSincePing) this.floods.note("pings", this.nowMs);
    writePing(this.outbound.output, true, bytes, start);
    this.outbound.announce();
    this.onPing(sentSincePing);
  }

  #onWindowUpdate(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) throw wrongSize("WINDOW_UPDATE");
    if (!this.outbound.creditIsDue()) this.floods.note("windowUpdates", this.nowMs);
    const creditBytes = readUint32(bytes, start) & 0x7fffffff;
    if (id === 0) {
      this.outbound.credit(creditBytes);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) throw onIdle("WINDOW_UPDATE", id);
      return; // It crossed the end of the stream, as clients of large answers do all the time.
    }
    const code = stream.widenSendWindow(creditBytes);
    if (code !== ErrorCode.NO_ERROR) {
      this.failStream(stream, code, `WINDOW_UPDATE of ${creditBytes}`);
    } else if (stream.wantsToSend) {
      this.outbound.schedule(stream);
      this.outbound.pump();
    }
  }

  /** Priority signals are obsolete (RFC 9113 §5.3.2): checked, counted, ignored. */
  #onPriority(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id === 0) throw onConnection("PRIORITY");
    this.floods.note("idleFrames", this.nowMs);
    if (end - start === 5) {
      checkDependency(id, bytes, start);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) throw wrongSize("PRIORITY");
    this.failStream(stream, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not five bytes long");
  }

  // ── what the output asks for ───────────────────────────────────────────────────────────────────────

  onOutput(): void {
    this.handler.onOutput();
  }

  onOutputLarge(): void {
    this.handler.onOutputLarge();
  }

  onOutputOverflow(): void {
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, "the peer does not read what it asked for", "unreadOutput");
  }

  onOutputUnread(bytes: number): void {
    if (!this.ended) this.unreadBytesChanged(bytes);
  }

  // ── what server and client do differently ──────────────────────────────────────────────────────────

  /** A complete header section has come for stream `id`, which may be new. */
  protected abstract onHeaderSection(
    id: number,
    fields: readonly HeaderField[],
    tooLarge: boolean,
    endStream: boolean,
  ): void;
  protected abstract onGoaway(goaway: Goaway): void;
  /** True for a stream id that neither side has used yet. */
  protected abstract isIdle(id: number): boolean;
  /** DATA of `bytes` bytes for a stream that is closed. */
  protected abstract onLateData(id: number, bytes: number): void;
  protected onRemoteSettings(_first: boolean): void {}
  /** An acknowledgement of a PING that is not `ping`'s. */
  protected onPingAck(_bytes: Uint8Array, _start: number): void {}
  /** The peer has sent a PING; whether HEADERS or DATA of ours went out since its last one. */
  protected onPing(_sentSincePing: boolean): void {}
  /** True when the connection has nothing left to do. */
  protected abstract get finished(): boolean;
  /** A stream has left the table. */
  protected onForgotten(): void {}
  /** RST_STREAM for a stream that is closed. */
  protected onLateReset(): void {}
  /** The peer has reset one of its streams. */
  protected onResetByPeer(): void {}

  // ── frames out: called by streams ──────────────────────────────────────────────────────────────────

  /** Asks for a sign of life. */
  ping(): void {
    this.liveness.pingUnanswered = true;
    writePing(this.outbound.output, false, KEEPALIVE_PING, 0);
    this.outbound.announce();
    this.outbound.settle();
  }

  /** `streamId` 0 names the connection's window. */
  writeCredit(streamId: number, creditBytes: number): void {
    writeWindowUpdate(this.outbound.output, streamId, creditBytes);
    this.outbound.announce();
  }

  writeReset(id: number, code: number): void {
    this.resetStreams.add(id);
    writeRstStream(this.outbound.output, id, code);
    this.outbound.announce();
  }

  /** `stream` is closed: nothing refers to it by number any more. */
  forget(stream: Stream): void {
    this.streams.remove(stream);
    if (this.ended) return;
    this.onForgotten();
    this.finishWhenIdle();
  }

  /** Ends a connection that has nothing left to do; while a frame is handled, once its events are told. */
  protected finishWhenIdle(): void {
    this.#finishOwed = this.#handling;
    if (this.#handling || this.ended || !this.finished) return;
    this.end({ code: ErrorCode.NO_ERROR, cause: "finished", message: "no stream is left", limit: null });
  }

  protected override giveUpLargest(limit: Http2LimitName): void {
    const streams = largestHolders(this.streams.all(), this.budgetedBytes / SHED_PARTS);
    if (streams.length === 0) {
      this.fail(ErrorCode.ENHANCE_YOUR_CALM, "buffers are full", limit);
      return;
    }
    this.handler.onLimit?.(limit, "buffers are full");
    for (const stream of streams) {
      if (!stream.closed) this.#endStream(stream, ErrorCode.ENHANCE_YOUR_CALM, "buffers are full");
    }
  }

  /**
   * Ends a stream for what the peer did on it (RFC 9113 §5.4.2). Counts, because a peer chooses how often:
   * so it may throw a ConnectionError, and is only for what happens inside `receive`.
   */
  protected failStream(
    stream: Stream,
    code: number,
    message: string,
    limit: Http2LimitName | null = null,
  ): void {
    if (limit !== null) this.handler.onLimit?.(limit, message);
    this.floods.note("resets", this.nowMs);
    this.#endStream(stream, code, message);
  }

  #endStream(stream: Stream, code: number, message: string): void {
    stream.fail({ code, cause: "self", neverProcessed: false, message });
  }

  /** A second header section on a stream: its trailers (RFC 9113 §8.1), checked and passed on. */
  protected receiveTrailers(
    stream: Stream,
    fields: readonly HeaderField[],
    tooLarge: boolean,
    endStream: boolean,
  ): void {
    const problem = trailerProblem(fields, tooLarge, endStream, stream.contentBytesLeft);
    if (problem !== "") {
      this.failStream(stream, ErrorCode.PROTOCOL_ERROR, problem, tooLarge ? "headerList" : null);
      return;
    }
    const handler = stream.handler;
    stream.remoteEnd();
    handler.onTrailers(fields);
  }

  /** Resets a stream that is in no table, by its number. Counts, like `failStream`. */
  protected refuse(id: number, code: number): void {
    this.floods.note("resets", this.nowMs);
    this.writeReset(id, code);
  }
}
