/**
 * Loopback ports for processes that cannot be told to take port 0 and say which one they got: etcd members.
 *
 * The ports lie below the range from which the kernel takes the local port of outgoing connections. A member
 * that is killed and started again must find its port free, and a client that redials a dead member in that
 * range can end up connected to itself. Another process may still be faster: callers start over on a clash.
 */
import { readFileSync } from "node:fs";

const LOWEST_PORT = 10_000;
const TRIES_MAX = 1000;

function lowestOutgoingPort(): number {
  try {
    return Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/)[0]);
  } catch {
    return 32_768;
  }
}

function listenOn(port: number): Bun.TCPSocketListener | undefined {
  try {
    return Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
  } catch {
    return undefined;
  }
}

/** `count` different ports on 127.0.0.1 on which nothing listens. */
export function freePorts(count: number): number[] {
  const below = lowestOutgoingPort();
  const held: Bun.TCPSocketListener[] = [];
  try {
    for (let tries = 0; held.length < count; tries++) {
      if (tries === TRIES_MAX) throw new Error(`no ${count} free ports found below ${below} on 127.0.0.1`);
      const span = below - LOWEST_PORT;
      const candidate = span > count ? LOWEST_PORT + Math.floor(Math.random() * span) : 0;
      const listener = listenOn(candidate);
      if (listener !== undefined) held.push(listener);
    }
    return held.map((listener) => listener.port);
  } finally {
    for (const listener of held) listener.stop(true);
  }
}
