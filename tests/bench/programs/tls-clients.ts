/**
 * Many clients that connect over TLS 1.3, shake hands and close, in one process that does nothing else; no session is
 * resumed. It prints one line of figures and ends; the bench runs it for every load.
 *
 * To put one load on one proxy by hand, with its processor time (`--pid`) for each handshake:
 *
 *   bun tests/bench/programs/tls-clients.ts --address 127.0.0.1:23790 --cacert ca.crt --pid 1234
 *
 *   --cacert ca.crt                    authority that has signed the server's certificate
 *   --cert c.crt  --key c.key          what clients show; nothing without them
 *   --handshakes 5000  --warm-up 200   how many handshakes are measured, and how many come before
 *   --connections 8                    at once
 *   --group X25519                     the only key exchange that clients offer
 *   --etcd-pid 4321                    tells etcd's processor time too
 *   --json                             the figures as JSON
 */
import { readFileSync } from "node:fs";
import { cpuFigures, readCpu } from "../load/cpu-reading.ts";
import { type HandshakePlan, shakeHands } from "../tls-load/handshake-clients.ts";
import { type HandshakeFigures, handshakeFiguresLine } from "../tls-load/handshake-figures.ts";
import { type HandshakeOptions, parseHandshakeOptions } from "../tls-load/handshake-options.ts";

async function run(options: HandshakeOptions): Promise<HandshakeFigures> {
  const { address, connections, caFile, shown, group } = options;
  const plan: HandshakePlan = {
    address,
    connections,
    group,
    trustedCa: readFileSync(caFile, "utf8"),
    ...(shown === undefined
      ? {}
      : {
          shown: {
            certificate: readFileSync(shown.certificateFile, "utf8"),
            key: readFileSync(shown.keyFile, "utf8"),
          },
        }),
  };
  await shakeHands(plan, options.warmUpHandshakes);
  const before = readCpu(options);
  const { handshakes, elapsedSeconds, latencies } = await shakeHands(plan, options.handshakes);
  const after = readCpu(options);
  return {
    handshakes,
    elapsedSeconds,
    p50Micros: latencies.quantile(0.5),
    p99Micros: latencies.quantile(0.99),
    ...cpuFigures(before, after, handshakes),
  };
}

try {
  const options = parseHandshakeOptions(process.argv.slice(2));
  const figures = await run(options);
  console.log(options.json ? JSON.stringify(figures) : handshakeFiguresLine(figures));
  process.exit(0);
} catch (error) {
  console.error(`tls-clients: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
