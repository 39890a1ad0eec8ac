// A real DNS server on loopback: dnsmasq, with only the records that a test gives it.
import { createResolver } from "../../src/net/resolver.ts";
import { freePorts } from "../harness/free-ports.ts";

export interface DnsServer {
  /** `address:port`, as resolvers take it. */
  readonly address: string;
  /** Goes on with other records, under the same address; what is asked in between gets no answer. */
  setRecords(...records: string[]): Promise<void>;
  /** Ends; `setRecords` starts it again. */
  stop(): Promise<void>;
}

/** Starts over on another port when somebody else was faster to take the first. */
const STARTS_MAX = 5;

/** Starts dnsmasq with `--srv-host=…` and `--host-record=…` options, or any other of its own. */
export async function startDnsServer(...records: string[]): Promise<DnsServer> {
  for (let starts = 1; ; starts++) {
    const [port = 0] = freePorts(1);
    try {
      return await startDnsServerAt(port, ...records);
    } catch (error) {
      if (starts === STARTS_MAX || !String(error).includes("Address already in use")) throw error;
    }
  }
}

/** Starts it on a port that the caller has found to be free. */
export async function startDnsServerAt(port: number, ...records: string[]): Promise<DnsServer> {
  const started = await startOn(port, records);
  if (typeof started === "string") throw new Error(`dnsmasq ended: ${started}`);
  return runningServer(port, started);
}

/** A name server on loopback that does not answer, as one that has not been started. */
export function silentNameServer(): string {
  return `127.0.0.1:${freePorts(1)[0]}`;
}

function runningServer(port: number, child: Bun.Subprocess): DnsServer {
  let running = child;
  const stop = async (): Promise<void> => {
    running.kill("SIGKILL");
    await running.exited;
  };
  return {
    address: `127.0.0.1:${port}`,
    stop,
    async setRecords(...records) {
      await stop();
      const started = await startOn(port, records);
      if (typeof started === "string") throw new Error(`dnsmasq ended: ${started}`);
      running = started;
    },
  };
}

/** The process, which answers, or what dnsmasq said when it ended instead. */
async function startOn(port: number, records: readonly string[]): Promise<Bun.Subprocess | string> {
  const program = Bun.which("dnsmasq", { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` });
  if (program === null) throw new Error("dnsmasq is missing: install the package dnsmasq-base");
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
  while (child.exitCode === null) {
    // A new one each time: it remembers for a while that nobody listened.
    const ready = createResolver({ servers: [`127.0.0.1:${port}`], timeoutMs: 100, tries: 1 });
    const found = await ready.addresses("ready.test").catch(() => []);
    if (found.length > 0) return child;
  }
  return await new Response(child.stderr).text();
}
