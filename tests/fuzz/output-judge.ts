/**
 * Judges what an HTTP/2 engine has written, by RFC 9113 and by nothing of the engine's own code but the names of codes.
 *
 * It holds for whatever the peer has sent: an engine may be talked into ending a stream or the connection, never into
 * writing what no peer could read.
 */
import {
  ACK,
  concat,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  HEADERS,
  parseFrames,
  PING,
  PREFACE,
  readUint,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  type WireFrame,
} from "../http2/frames.ts";
import { PlainHpackDecoder } from "./plain-hpack.ts";

const FRAME_BYTES_MAX = 16_384;

interface StreamState {
  headed: boolean;
  ended: boolean;
  /** It was not reset. */
  whole: boolean;
  dataBytes: number;
}

/**
 * Returns how much DATA there is of each stream that the engine has ended by END_STREAM.
 * @throws Error that says which frame of `output` breaks which rule.
 */
export function judgeOutput(role: "client" | "server", output: Uint8Array): ReadonlyMap<number, number> {
  const judge = new OutputJudge(role);
  judge.judge(output);
  return judge.ended;
}

class OutputJudge {
  readonly #role: "client" | "server";
  readonly #hpack = new PlainHpackDecoder();
  readonly #streams = new Map<number, StreamState>();
  #block: { id: number; pieces: Uint8Array[]; endStream: boolean } | null = null;
  #over = false;

  constructor(role: "client" | "server") {
    this.#role = role;
  }

  get ended(): ReadonlyMap<number, number> {
    const whole = [...this.#streams].filter(([, stream]) => stream.ended && stream.whole);
    return new Map(whole.map(([id, { dataBytes }]) => [id, dataBytes]));
  }

  judge(output: Uint8Array): void {
    let frames = output;
    if (this.#role === "client") {
      this.#rule(
        Buffer.compare(output.subarray(0, PREFACE.length), PREFACE) === 0,
        "begins with the preface",
      );
      frames = output.subarray(PREFACE.length);
    }
    for (const [index, frame] of parseFrames(frames).entries()) {
      try {
        this.#rule(!this.#over, "nothing follows a GOAWAY for an error");
        this.#rule(
          index > 0 || (frame.type === SETTINGS && (frame.flags & ACK) === 0),
          "begins with SETTINGS",
        );
        this.#rule(frame.payload.length <= FRAME_BYTES_MAX, "a frame is no larger than the peer allows");
        this.#rule(frame.streamId <= 0x7fffffff, "the reserved bit is unset");
        this.#frame(frame);
      } catch (error) {
        throw new Error(
          `frame ${index} (type ${frame.type}, flags ${frame.flags}, stream ${frame.streamId}): ${(error as Error).message}`,
          { cause: error },
        );
      }
    }
    this.#rule(this.#block === null, "a header block is whole");
  }

  #rule(holds: boolean, rule: string): void {
    if (!holds) throw new Error(`broken: ${rule}`);
  }

  #frame(frame: WireFrame): void {
    const { type, flags, streamId: id, payload } = frame;
    this.#rule(
      this.#block === null || (type === CONTINUATION && id === this.#block.id),
      "a block is not cut",
    );
    switch (type) {
      case DATA: {
        const stream = this.#stream(id);
        this.#rule(stream.headed && !stream.ended, "DATA stands between a head and the end");
        stream.ended = (flags & END_STREAM) !== 0;
        stream.dataBytes += payload.length;
        break;
      }
      case HEADERS:
        this.#rule(!this.#stream(id).ended, "no HEADERS behind the end");
        this.#rule(
          this.#role === "server" || !this.#stream(id).headed || (flags & END_STREAM) !== 0,
          "a second section of a client ends the stream",
        );
        this.#block = { id, pieces: [], endStream: (flags & END_STREAM) !== 0 };
        this.#continue(frame);
        break;
      case CONTINUATION:
        this.#rule(this.#block !== null, "CONTINUATION follows HEADERS");
        this.#continue(frame);
        break;
      case RST_STREAM: {
        this.#rule(payload.length === 4, "RST_STREAM has four bytes");
        const stream = this.#stream(id);
        stream.ended = true;
        stream.whole = false;
        break;
      }
      case SETTINGS:
        this.#rule(id === 0 && payload.length % 6 === 0, "SETTINGS are pairs, on no stream");
        this.#rule((flags & ACK) === 0 || payload.length === 0, "an acknowledgement is empty");
        break;
      case PING:
        this.#rule(id === 0 && payload.length === 8, "PING has eight bytes, on no stream");
        break;
      case GOAWAY:
        this.#rule(id === 0 && payload.length >= 8, "GOAWAY has eight bytes or more, on no stream");
        this.#over = readUint(payload, 4) !== 0;
        break;
      case WINDOW_UPDATE:
        this.#rule(payload.length === 4 && readUint(payload, 0) > 0, "WINDOW_UPDATE gives something");
        break;
      default:
        this.#rule(false, "the engine knows the type of what it writes");
    }
  }

  #continue({ flags, streamId: id, payload }: WireFrame): void {
    const block = this.#block!;
    block.pieces.push(payload);
    if ((flags & END_HEADERS) === 0) return;
    this.#block = null;
    const fields = this.#hpack.decode(concat(block.pieces));
    const stream = this.#stream(id);
    const pseudo = fields.filter(({ name }) => name.startsWith(":")).length;
    this.#rule(stream.headed || pseudo > 0, "a head has pseudo-header fields");
    stream.headed = true;
    stream.ended = block.endStream;
  }

  #stream(id: number): StreamState {
    this.#rule(id % 2 === 1, "streams are those of the client");
    let stream = this.#streams.get(id);
    if (stream === undefined)
      this.#streams.set(id, (stream = { headed: false, ended: false, whole: true, dataBytes: 0 }));
    return stream;
  }
}
