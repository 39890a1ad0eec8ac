/**
 * The way to stderr that never waits for whoever reads it.
 * Stands between the lines of the log and the file descriptor, whatever that is: a file, a terminal, a pipe, a socket.
 *
 * A pipe or terminal is opened anew without blocking, so that nobody who shares ours is concerned; a socket, as systemd
 * gives one, is asked for each write not to block. Where the system allows neither, a reader that has stopped is waited
 * for. A file is written as it is.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { BoundedLines, type BoundedLinesOptions, type LineSink, type SinkAnswer } from "./log-destination.ts";

const STDERR = 2;
/** How long the end of the process is put off for lines that wait for their reader. */
const LAST_LINES_MS = 250;
const LAST_LINES_PAUSE_MS = 10;

/** Opens stderr for lines that are written at once where it takes them, before the call that logs them returns. */
export function openStderr(options: Omit<BoundedLinesOptions, "sink"> = {}): BoundedLines {
  const lines = new BoundedLines({ ...options, sink: sinkOf(STDERR) });
  process.on("exit", () => {
    const untilMs = performance.now() + LAST_LINES_MS;
    while (!lines.flush() && performance.now() < untilMs) Bun.sleepSync(LAST_LINES_PAUSE_MS);
  });
  return lines;
}

/** The way out through a file descriptor of this process. */
export function sinkOf(descriptor: number): LineSink {
  try {
    const kind = fstatSync(descriptor);
    if (kind.isSocket()) return socketSink(descriptor) ?? fileSink(descriptor);
    if (kind.isFIFO() || kind.isCharacterDevice()) return fileSink(openedAnew(descriptor) ?? descriptor);
  } catch {
    // Closed: each write will find out.
  }
  return fileSink(descriptor);
}

function fileSink(descriptor: number): LineSink {
  return {
    write(bytes) {
      try {
        return writeSync(descriptor, bytes);
      } catch (error) {
        return answerTo((error as NodeJS.ErrnoException).code);
      }
    },
  };
}

/** A disk that is full may have room again; who has closed his end does not come back. */
function answerTo(errorCode: string | undefined): SinkAnswer {
  return errorCode === "EPIPE" || errorCode === "EBADF" ? "gone" : "full";
}

/** Another description of the same pipe or terminal; null where it is not ours to open. */
function openedAnew(descriptor: number): number | null {
  if (process.platform !== "linux") return null;
  try {
    return openSync(
      `/proc/self/fd/${descriptor}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
  } catch {
    return null;
  }
}

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Null where the system's library is another one than that of Linux with glibc. */
function socketSink(descriptor: number): LineSink | null {
  try {
    const { send } = dlopen("libc.so.6", {
      send: { args: ["i32", "ptr", "u64", "i32"], returns: FFIType.i64_fast },
    }).symbols;
    return {
      write(bytes) {
        const sent = Number(send(descriptor, ptr(bytes), bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
        return sent > 0 ? sent : "full";
      },
    };
  } catch {
    return null;
  }
}
