/**
 * Sends datagrams to a Unix socket, which Bun's sockets cannot: by way of the system's libc.
 *
 * Stands beside Bun's sockets; libc is loaded when the first sender is opened, and not before. It only sends, for as long
 * as the process lives. A receiver whose
 * queue is full is waited for a moment and no longer, since nothing else runs meanwhile.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
const MSG_NOSIGNAL = 0x4000;
/** sun_path of sockaddr_un; a path ends with a zero byte. */
const PATH_BYTES_MAX = 108;

/** How long a full queue is waited for, in microseconds. */
const PATIENCE_MICROS = 100_000n;

const CLOCK_MONOTONIC = 1;

/** Another C library answers to that name as well: musl takes every name of libc for itself. */
const LIBC = "libc.so.6";

function openSystem() {
  return dlopen(LIBC, {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: FFIType.i64_fast },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  }).symbols;
}

export class UnixDatagramSender {
  readonly #system: ReturnType<typeof openSystem>;
  readonly #socket: number;
  readonly #address: Uint8Array;

  /**
   * @param name the receiver's path, or `@` and a name in the abstract namespace
   * @throws Error when the name is neither, or the system has no such sockets
   */
  constructor(name: string) {
    this.#address = addressOf(name);
    this.#system = openSystem();
    this.#socket = this.#system.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#socket < 0) throw new Error("the system gives no Unix datagram socket");
    const patience = new BigInt64Array([0n, PATIENCE_MICROS]);
    this.#system.setsockopt(this.#socket, SOL_SOCKET, SO_SNDTIMEO, ptr(patience), patience.byteLength);
  }

  /** Sends one datagram. False: nobody took it. */
  send(text: string): boolean {
    const bytes = new TextEncoder().encode(text);
    const { sendto } = this.#system;
    const address = this.#address;
    const sent = sendto(this.#socket, ptr(bytes), bytes.length, MSG_NOSIGNAL, ptr(address), address.length);
    return Number(sent) === bytes.length;
  }

  /** The system's monotonic clock, which all processes share, in microseconds. */
  monotonicMicros(): bigint {
    const time = new BigInt64Array(2);
    this.#system.clock_gettime(CLOCK_MONOTONIC, ptr(time));
    const [seconds = 0n, nanoseconds = 0n] = time;
    return seconds * 1_000_000n + nanoseconds / 1_000n;
  }
}

/** A sockaddr_un, as long as it has to be. */
function addressOf(name: string): Uint8Array {
  const isAbstract = name.startsWith("@");
  if (!isAbstract && !name.startsWith("/"))
    throw new Error(`"${name}" is no path, nor a name that begins with @`);
  const path = new TextEncoder().encode(isAbstract ? `\0${name.slice(1)}` : `${name}\0`);
  if (path.length > PATH_BYTES_MAX) throw new Error(`"${name}" is longer than ${PATH_BYTES_MAX - 1} bytes`);
  const address = new Uint8Array(2 + path.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(path, 2);
  return address;
}
