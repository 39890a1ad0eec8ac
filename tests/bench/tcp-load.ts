/**
 * Loads a TCP proxy with `programs/tcp-peer.ts` behind it: connections that come and go, and bulk data.
 *
 * Runs in the process of the benchmark, which does nothing else meanwhile.
 */
import { latencyOf } from "./h2load-output.ts";
import { hostAndPort } from "./host-and-port.ts";
import type { LoadResult } from "./measurement.ts";
import { ANSWER_BYTES, BLOCK, orderBytes } from "./tcp-order.ts";

const CONNECTIONS_AT_ONCE = 8;
const BYTES_PER_GB = 1e9;

function lost(address: string): Error {
  return new Error(`the connection to ${address} ended before all was there`);
}

const exchange = orderBytes("exchange");

/** Opens a connection, sends 16 bytes, gets 64, closes; resolves when it is closed. */
function exchangeOnce(address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let missingBytes = ANSWER_BYTES;
    Bun.connect({
      ...hostAndPort(address),
      socket: {
        open(socket) {
          socket.write(exchange);
        },
        data(socket, chunk) {
          missingBytes -= chunk.length;
          if (missingBytes === 0) socket.end();
        },
        close() {
          if (missingBytes === 0) resolve();
          else reject(lost(address));
        },
      },
    }).catch(reject);
  });
}

/** Makes `count` connections, eight at a time, with a small exchange on each. */
export async function runConnections(address: string, count: number): Promise<LoadResult> {
  const durations = new Float64Array(count);
  const startedAtMs = performance.now();
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < count) {
      const index = begun++;
      const beganAtMs = performance.now();
      await exchangeOnce(address);
      durations[index] = (performance.now() - beganAtMs) * 1000;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, worker));
  const elapsedSeconds = (performance.now() - startedAtMs) / 1000;
  return { operations: count, elapsedSeconds, latency: latencyOf(durations.sort()) };
}

/** Moves `gigabytes` from the peer to here over so many connections. */
export function runDownload(address: string, gigabytes: number, connections: number): Promise<LoadResult> {
  return runBulk(gigabytes, connections, (byteLength) => download(address, byteLength));
}

/** Moves `gigabytes` from here to the peer over so many connections. */
export function runUpload(address: string, gigabytes: number, connections: number): Promise<LoadResult> {
  return runBulk(gigabytes, connections, (byteLength) => upload(address, byteLength));
}

async function runBulk(
  gigabytes: number,
  connections: number,
  move: (byteLength: number) => Promise<void>,
): Promise<LoadResult> {
  const byteLength = Math.ceil((gigabytes * BYTES_PER_GB) / connections);
  const startedAtMs = performance.now();
  await Promise.all(Array.from({ length: connections }, () => move(byteLength)));
  const elapsedSeconds = (performance.now() - startedAtMs) / 1000;
  return { operations: (byteLength * connections) / BYTES_PER_GB, elapsedSeconds };
}

function download(address: string, byteLength: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let missingBytes = byteLength;
    Bun.connect({
      ...hostAndPort(address),
      socket: {
        open(socket) {
          socket.write(orderBytes("send", byteLength));
        },
        data(socket, chunk) {
          missingBytes -= chunk.length;
          if (missingBytes === 0) socket.end();
        },
        close() {
          if (missingBytes === 0) resolve();
          else reject(lost(address));
        },
      },
    }).catch(reject);
  });
}

function upload(address: string, byteLength: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let unsentBytes = byteLength;
    let acknowledged = false;
    const send = (socket: Bun.Socket): void => {
      while (unsentBytes > 0) {
        const block = unsentBytes < BLOCK.length ? BLOCK.subarray(0, unsentBytes) : BLOCK;
        const written = socket.write(block);
        if (written <= 0) return;
        unsentBytes -= written;
        if (written < block.length) return;
      }
    };
    Bun.connect({
      ...hostAndPort(address),
      socket: {
        open(socket) {
          socket.write(orderBytes("receive", byteLength));
          send(socket);
        },
        drain: send,
        data(socket) {
          acknowledged = true;
          socket.end();
        },
        close() {
          if (acknowledged) resolve();
          else reject(lost(address));
        },
      },
    }).catch(reject);
  });
}
