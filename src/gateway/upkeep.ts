/**
 * What connections need from time to time, on one timer each instead of one for every connection.
 *
 * Stands beside the connections; the way of the bytes knows nothing of it. **TCP keepalive** is turned on a moment after a
 * connection is made, for both sides: most that end within it never need it, and eight system calls are a tenth of all
 * that a short one makes. The kernel counts the silence before that too. **Idle** connections are found by a sweep, four
 * times in the time-out: none is closed early, and none later than by a quarter.
 */
import type { GatewayConnections } from "./connections.ts";

/** A connection whose sockets are to be kept alive. */
export interface KeptAlive {
  /** Turns TCP keepalive on at both sockets; nothing happens when they are closed. */
  keepAlive(idleMs: number): void;
}

/** How long a connection lasts before it is worth keeping alive. */
const SETTLE_MS = 1_000;
/** The kernel counts the silence in seconds, up to 32,767 of them. */
const KEEPALIVE_STEP_MS = 1_000;
const KEEPALIVE_MS_MAX = 32_767_000;
const SWEEPS = 4;
/** Of a very short time-out, which nobody needs to the millisecond. */
const SWEEP_MS_MIN = 10;

export interface UpkeepOptions {
  readonly connections: GatewayConnections;
  /** How long a connection may be silent; 0: for ever. */
  readonly idleTimeoutMs: number;
  /** Silence after which the kernel asks a peer whether it is still there; 0: never. */
  readonly keepAliveMs: number;
}

export class Upkeep {
  readonly #keepAliveMs: number;
  readonly #sweepTimer: ReturnType<typeof setInterval> | undefined;
  #settling: KeptAlive[] = [];
  #settleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor({ connections, idleTimeoutMs, keepAliveMs }: UpkeepOptions) {
    const seconds = Math.ceil(keepAliveMs / KEEPALIVE_STEP_MS);
    this.#keepAliveMs = Math.min(seconds * KEEPALIVE_STEP_MS, KEEPALIVE_MS_MAX);
    if (idleTimeoutMs === 0) return;
    const sweepMs = Math.max(SWEEP_MS_MIN, Math.ceil(idleTimeoutMs / SWEEPS));
    // The first sweep may come right behind the last byte: so many further ones are the whole time-out.
    const quietMax = Math.ceil(idleTimeoutMs / sweepMs);
    this.#sweepTimer = setInterval(() => connections.sweep(quietMax), sweepMs);
    this.#sweepTimer.unref();
  }

  /** Both sides of a connection are up. */
  connected(connection: KeptAlive): void {
    if (this.#keepAliveMs === 0) return;
    this.#settling.push(connection);
    if (this.#settleTimer !== undefined) return;
    this.#settleTimer = setTimeout(() => this.#settle(), SETTLE_MS);
    this.#settleTimer.unref();
  }

  close(): void {
    clearInterval(this.#sweepTimer);
    clearTimeout(this.#settleTimer);
    this.#settling = [];
  }

  #settle(): void {
    const settled = this.#settling;
    this.#settling = [];
    this.#settleTimer = undefined;
    for (const connection of settled) connection.keepAlive(this.#keepAliveMs);
  }
}
