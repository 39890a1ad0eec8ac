// A real DNS server on loopback: dnsmasq, with only the records that a test gives it.
import { createSocket } from "node:dgram";
import { createResolver } from "../../src/net/resolver.ts";

export interface DnsServer {
  /** `address:port`, as resolvers take it. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts dnsmasq with `--srv-host=…` and `--host-record=…` options, or any other of its own. */
export async function startDnsServer(...records: string[]): Promise<DnsServer> {
  const program = Bun.which("dnsmasq", { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` });
  if (program === null) throw new Error("dnsmasq is missing: install the package dnsmasq-base");
  const port = await freePort();
  const child = Bun.spawn({
    cmd: [
      program,
      "--conf-file=/dev/null",
      "--no-daemon",
      "--no-resolv",
      "--no-hosts",
      "--bind-interfaces",
      "--listen-address=127.0.0.1",
      `--port=${port}`,
      "--local=/test/",
      "--host-record=ready.test,127.0.0.1",
      ...records,
    ],
    stdio: ["ignore", "ignore", "pipe"],
  });
  const address = `127.0.0.1:${port}`;
  const ready = createResolver({ servers: [address], timeoutMs: 100, tries: 1 });
  while (child.exitCode === null) {
    const found = await ready.addresses("ready.test").catch(() => []);
    if (found.length > 0) {
      return {
        address,
        async stop() {
          child.kill("SIGKILL");
          await child.exited;
        },
      };
    }
  }
  throw new Error(`dnsmasq ended: ${await new Response(child.stderr).text()}`);
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}
