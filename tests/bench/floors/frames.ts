/**
 * As much of HTTP/2 framing (RFC 9113 §4) as the floors need, and no more.
 *
 * Stands between a floor and its sockets. It trusts the peer, keeps no flow control, decodes no header block
 * and has no queue for a socket that does not take what is written: a yardstick, never a base to build on.
 */

export const CLIENT_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const FrameType = { data: 0, headers: 1, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const;
export const Flag = { ack: 1, endStream: 1, endHeaders: 4 } as const;

const FRAME_HEADER_BYTES = 9;
const TURN_BYTES_MAX = 1 << 18;

/** A whole frame. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** A WINDOW_UPDATE of the connection. */
export function connectionCredit(bytes: number): Buffer {
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(bytes);
  return frame(FrameType.windowUpdate, 0, 0, increment);
}

/** A SETTINGS frame. */
export function settings(values: readonly (readonly [identifier: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(values.length * 6);
  values.forEach(([identifier, value], index) => {
    payload.writeUInt16BE(identifier, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return frame(FrameType.settings, 0, 0, payload);
}

/** A header field as a literal without indexing and without Huffman coding (RFC 7541 §6.2.2). */
export function literalField(name: string, value: string): Buffer {
  if (name.length > 126 || value.length > 126) throw new Error(`too long for one length octet: ${name}`);
  return Buffer.concat([
    Uint8Array.of(0, name.length),
    Buffer.from(name),
    Uint8Array.of(value.length),
    Buffer.from(value),
  ]);
}

/** The header block of a gRPC call over cleartext. */
export function callHeaderBlock(path: string, authority: string): Buffer {
  return Buffer.concat([
    Uint8Array.of(0x83, 0x86), // :method POST, :scheme http
    literalField(":path", path),
    literalField(":authority", authority),
    literalField("content-type", "application/grpc"),
    literalField("te", "trailers"),
  ]);
}

const answerHeaders = Buffer.concat([
  Uint8Array.of(0x88), // :status 200
  literalField("content-type", "application/grpc"),
]);

/** The HEADERS frame that every answer begins with; its stream id is yet to be written. */
export const ANSWER_HEADERS = frame(FrameType.headers, Flag.endHeaders, 0, answerHeaders);
/** The HEADERS frame that every answer ends with: always OK. Its stream id is yet to be written. */
export const ANSWER_TRAILERS = frame(
  FrameType.headers,
  Flag.endHeaders | Flag.endStream,
  0,
  literalField("grpc-status", "0"),
);

/** Gets each whole frame: its payload is `bytes[start]` up to but not including `bytes[end]`. */
export type OnFrame = (
  type: number,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
) => void;

/** Cuts a byte stream into frames. */
export class FrameSplitter {
  #rest: Buffer | null = null;
  #prefaceBytes: number;
  readonly #onFrame: OnFrame;

  /** @param prefaceBytes how many bytes come before the first frame. */
  constructor(prefaceBytes: number, onFrame: OnFrame) {
    this.#prefaceBytes = prefaceBytes;
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    if (this.#prefaceBytes > 0) {
      if (bytes.length < this.#prefaceBytes) {
        this.#rest = bytes;
        return;
      }
      at = this.#prefaceBytes;
      this.#prefaceBytes = 0;
    }
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const start = at + FRAME_HEADER_BYTES;
      const end = start + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.#onFrame(
        bytes[at + 3]!,
        bytes[at + 4]!,
        bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
        bytes,
        start,
        end,
      );
      at = end;
    }
    this.#rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : null;
  }
}

/** Collects what is written to a socket in one turn, and writes it at once. */
export class TurnWriter {
  readonly #socket: { write(bytes: Uint8Array): number };
  readonly #bytes = Buffer.allocUnsafe(TURN_BYTES_MAX);
  #length = 0;
  #scheduled = false;

  constructor(socket: { write(bytes: Uint8Array): number }) {
    this.#socket = socket;
  }

  /** Appends `bytes`, with `streamId` in place of its own when that is given. */
  put(bytes: Buffer, streamId: number): void {
    this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#length);
    if (streamId !== 0) this.#bytes.writeUInt32BE(streamId, this.#length + 5);
    this.#length += bytes.length;
  }

  /** Appends the frame whose payload is `bytes[start]` to `bytes[end]`, under `streamId`. */
  putFrameOf(bytes: Buffer, start: number, end: number, streamId: number): void {
    const from = start - FRAME_HEADER_BYTES;
    this.#makeRoom(end - from);
    bytes.copy(this.#bytes, this.#length, from, end);
    this.#bytes.writeUInt32BE(streamId, this.#length + 5);
    this.#length += end - from;
  }

  #makeRoom(byteLength: number): void {
    if (this.#length + byteLength > TURN_BYTES_MAX) this.#flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#length === 0) return;
    const written = this.#socket.write(this.#bytes.subarray(0, this.#length));
    if (written >= 0 && written < this.#length) throw new Error("a floor keeps no queue: give it less to do");
    this.#length = 0;
  }
}

/** Answers what every connection must: SETTINGS and PING. False for all other frames. */
export function answerHousekeeping(
  out: TurnWriter,
  type: number,
  flags: number,
  bytes: Buffer,
  start: number,
  end: number,
): boolean {
  if (type === FrameType.settings) {
    if ((flags & Flag.ack) === 0) out.put(SETTINGS_ACK, 0);
    return true;
  }
  if (type === FrameType.ping) {
    if ((flags & Flag.ack) === 0) out.put(frame(FrameType.ping, Flag.ack, 0, bytes.subarray(start, end)), 0);
    return true;
  }
  return false;
}

const SETTINGS_ACK = frame(FrameType.settings, Flag.ack, 0, new Uint8Array(0));
