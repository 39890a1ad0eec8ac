/**
 * Moves bytes from one socket to another inside the kernel: splice(2), without a copy into this process.
 *
 * Stands beside Bun's sockets, which can only read and write, and is called between their events: it moves what has come to
 * a socket by now, as far as the other takes it, and never waits. All of it goes by way of one kernel pipe, which is
 * empty between calls. Should it ever not be, it is used no more, so that no connection gets the bytes of another. Where the system has no splice, nobody moves anything, and all is as it is without.
 */
import type { Socket } from "bun";
import { dlopen, FFIType, ptr } from "bun:ffi";

const PIPE_BYTES = 1024 * 1024;
const F_SETPIPE_SZ = 1031;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
/** SPLICE_F_MOVE | SPLICE_F_NONBLOCK */
const FLAGS = 3;

/** What a call has moved. */
export interface Spliced {
  /** Bytes that have left. */
  readonly movedBytes: number;
  /** What the other socket did not take any more: it comes behind what has left. Null: nothing. */
  readonly left: Uint8Array | null;
}

let shared: Splicer | "none" | undefined;

/** Not in Bun's types; -1 once the socket is closed. */
function descriptorOf(socket: Socket<unknown>): number {
  return (socket as unknown as { readonly fd: number }).fd;
}

const NOTHING: Spliced = { movedBytes: 0, left: null };

type System = ReturnType<typeof openSystem>;

function openSystem() {
  return dlopen("libc.so.6", {
    splice: { args: ["i32", "ptr", "i32", "ptr", "u64", "u32"], returns: FFIType.i64_fast },
    read: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast },
    pipe2: { args: ["ptr", "i32"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  }).symbols;
}

export class Splicer {
  readonly #system: System;
  readonly #readEnd: number;
  readonly #writeEnd: number;

  private constructor(system: System, readEnd: number, writeEnd: number) {
    this.#system = system;
    this.#readEnd = readEnd;
    this.#writeEnd = writeEnd;
  }

  /** One for all sockets of a thread, made when it is first asked for; null where the system cannot do it. */
  static get shared(): Splicer | null {
    shared ??= Splicer.open();
    return shared === "none" ? null : shared;
  }

  private static open(): Splicer | "none" {
    try {
      const system = openSystem();
      const ends = new Int32Array(2);
      if (system.pipe2(ptr(ends), O_CLOEXEC | O_NONBLOCK) !== 0) return "none";
      const [readEnd = -1, writeEnd = -1] = ends;
      system.fcntl(writeEnd, F_SETPIPE_SZ, PIPE_BYTES);
      return new Splicer(system, readEnd, writeEnd);
    } catch {
      return "none";
    }
  }

  /** Moves what has come to `from` to `to`, about `bytesMax` bytes at most. Sockets that are closed move nothing. */
  move(from: Socket<unknown>, to: Socket<unknown>, bytesMax: number): Spliced {
    return this.#move(descriptorOf(from), descriptorOf(to), bytesMax);
  }

  #move(from: number, to: number, bytesMax: number): Spliced {
    const { splice } = this.#system;
    let movedBytes = 0;
    while (movedBytes < bytesMax) {
      const taken = Number(splice(from, null, this.#writeEnd, null, PIPE_BYTES, FLAGS));
      if (taken <= 0) break;
      let given = 0;
      while (given < taken) {
        const bytes = Number(splice(this.#readEnd, null, to, null, taken - given, FLAGS));
        if (bytes <= 0) break;
        given += bytes;
      }
      movedBytes += given;
      if (given < taken) return { movedBytes, left: this.#takeOut(taken - given) };
    }
    return movedBytes === 0 ? NOTHING : { movedBytes, left: null };
  }

  /** Empties the kernel's pipe of what the other socket did not take. */
  #takeOut(bytes: number): Uint8Array {
    const before = shared;
    shared = "none";
    const left = new Uint8Array(bytes);
    let at = 0;
    while (at < bytes) {
      const read = Number(this.#system.read(this.#readEnd, ptr(left, at), bytes - at));
      if (read <= 0) throw new Error("the kernel's pipe has lost bytes");
      at += read;
    }
    shared = before;
    return left;
  }
}
