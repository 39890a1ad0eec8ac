// Bytes that move between sockets inside the kernel: all of them, in order, and none that the other side does not take.
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "bun";
import { Splicer } from "../../src/net/splice.ts";
import { until } from "./until.ts";

const BYTES_MAX = 4 * 1024 * 1024;
const PATTERN = new Uint8Array(3_000_017).map((_, index) => (index * 31 + (index >> 8)) % 251);

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

interface Pair {
  /** The end that nobody reads at: what it is sent stays in the kernel. */
  readonly near: Socket<undefined>;
  readonly far: Socket<undefined>;
  readonly farHas: Uint8Array[];
  farEnded: boolean;
}

/** A connection whose near end is paused. */
async function connection(): Promise<Pair> {
  const accepted = Promise.withResolvers<Socket<undefined>>();
  const listener = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.pause();
        accepted.resolve(socket);
      },
      data() {},
    },
  });
  const farHas: Uint8Array[] = [];
  const far = await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    socket: {
      data(_socket, chunk) {
        farHas.push(chunk);
      },
      end() {
        pair.farEnded = true;
      },
    },
  });
  const near = await accepted.promise;
  cleanups.push(() => {
    near.terminate();
    far.terminate();
    listener.stop(true);
  });
  const pair: Pair = { near, far, farHas, farEnded: false };
  return pair;
}

const splicer = Splicer.shared!;
const bytesOf = (chunks: readonly Uint8Array[]): Uint8Array => Buffer.concat(chunks);

/** Sends all of `bytes`, as the kernel takes them. */
async function sendAll(socket: Socket<undefined>, bytes: Uint8Array, meanwhile: () => void): Promise<void> {
  let sent = 0;
  await until(() => {
    if (sent < bytes.length) sent += Math.max(0, socket.write(bytes, sent, bytes.length - sent));
    meanwhile();
    return sent === bytes.length;
  });
}

describe("what has come to one socket", () => {
  test("moves on to the other, byte for byte", async () => {
    const from = await connection();
    const to = await connection();
    let moved = 0;
    const moveOn = (): void => {
      const { movedBytes, left } = splicer.move(from.near, to.near, BYTES_MAX);
      expect(left).toBeNull();
      moved += movedBytes;
    };
    await sendAll(from.far, PATTERN, moveOn);
    await until(() => {
      moveOn();
      return bytesOf(to.farHas).length === PATTERN.length;
    });
    expect(moved).toBe(PATTERN.length);
    expect(Buffer.from(PATTERN).equals(bytesOf(to.farHas))).toBe(true);
  });

  test("comes back as far as the other does not take it, and nothing of it is lost", async () => {
    const from = await connection();
    const to = await connection();
    to.far.pause();
    const came: Uint8Array[] = [];
    let sentBytes = 0;
    let moved = 0;
    await until(() => {
      sentBytes += Math.max(0, from.far.write(PATTERN));
      const { movedBytes, left } = splicer.move(from.near, to.near, BYTES_MAX);
      moved += movedBytes;
      if (left !== null) came.push(left);
      return came.length > 0;
    });
    to.far.resume();
    await until(() => bytesOf(to.farHas).length === moved);
    // What is sent is the pattern, or its first part, again and again: what was moved and what came back follow each other.
    const seen = Buffer.concat([bytesOf(to.farHas), ...came]);
    expect(seen.length).toBeLessThanOrEqual(sentBytes);
    expect(seen.subarray(0, 1000).equals(PATTERN.subarray(0, 1000))).toBe(true);
    const { movedBytes, left } = splicer.move(from.near, to.near, BYTES_MAX);
    expect(movedBytes + (left?.length ?? 0)).toBeLessThanOrEqual(sentBytes - seen.length);
  });

  test("is nothing where nothing has come, or the peer has ended", async () => {
    const from = await connection();
    const to = await connection();
    expect(splicer.move(from.near, to.near, BYTES_MAX)).toEqual({ movedBytes: 0, left: null });
    from.far.shutdown();
    expect(splicer.move(from.near, to.near, BYTES_MAX)).toEqual({ movedBytes: 0, left: null });
  });

  test("comes back where the other socket's peer has reset it, and the process lives", async () => {
    const from = await connection();
    const to = await connection();
    to.far.terminate();
    from.far.write(PATTERN.subarray(0, 1000));
    const came: Uint8Array[] = [];
    let moved = 0;
    await until(() => {
      const { movedBytes, left } = splicer.move(from.near, to.near, BYTES_MAX);
      moved += movedBytes;
      if (left !== null) came.push(left);
      if (came.length === 0) from.far.write(PATTERN.subarray(0, 1000));
      return came.length > 0;
    });
    expect(bytesOf(came).length % 1000).toBe(0);
    expect(moved % 1000).toBe(0);
  });

  test("is nothing at a socket that is closed", async () => {
    const from = await connection();
    const to = await connection();
    from.near.terminate();
    expect(splicer.move(from.near, to.near, BYTES_MAX)).toEqual({ movedBytes: 0, left: null });
  });
});
