// A real DNS server on loopback: dnsmasq, with only the records that a test gives it.
import { createResolver } from "../../src/net/resolver.ts";
import { freePorts } from "../harness/free-ports.ts";

export interface DnsServer {
  /** `address:port`, as resolvers take it. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts over on another port when somebody else was faster to take the first. */
const STARTS_MAX = 5;

/** Starts dnsmasq with `--srv-host=…` and `--host-record=…` options, or any other of its own. */
export async function startDnsServer(...records: string[]): Promise<DnsServer> {
  const program = Bun.which("dnsmasq", { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` });
  if (program === null) throw new Error("dnsmasq is missing: install the package dnsmasq-base");
  let problem = "";
  for (let starts = 0; starts < STARTS_MAX; starts++) {
    const started = await startOnFreePort(program, records);
    if (typeof started !== "string") return started;
    problem = started;
    if (!problem.includes("Address already in use")) break;
  }
  throw new Error(`dnsmasq ended: ${problem}`);
}

/** The server, or what dnsmasq said when it ended instead. */
async function startOnFreePort(program: string, records: readonly string[]): Promise<DnsServer | string> {
  const [port] = freePorts(1);
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
  return await new Response(child.stderr).text();
}
