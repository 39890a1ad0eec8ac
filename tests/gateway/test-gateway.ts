// A gateway on a free port, with everything it made cleaned up at the end of the test.
import { afterEach } from "bun:test";
import { createEndpoint } from "../../src/endpoints/endpoint.ts";
import { startGateway, type Gateway, type GatewayOptions } from "../../src/gateway/gateway.ts";
import { openBlackHole, type BlackHole } from "../net/black-hole.ts";
import { RecordedLog } from "./recorded-log.ts";
import { startMember, type Member } from "./tcp-peer.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

export interface TestGateway extends Gateway {
  readonly port: number;
  readonly log: RecordedLog;
}

/** Starts a gateway before members on these loopback ports, in this order; every dial may take as long as it likes. */
export async function testGateway(
  ports: readonly number[],
  options: Partial<GatewayOptions> = {},
): Promise<TestGateway> {
  const log = new RecordedLog();
  const gateway = await startGateway({
    listenAddress: { hostname: "127.0.0.1", port: 0 },
    endpoints: ports.map((port) => createEndpoint("unstated", "127.0.0.1", port)),
    random: () => 0,
    retryDelayMs: 60_000,
    dialTimeoutMs: 30_000,
    log,
    ...options,
  });
  cleanups.push(() => void gateway.close());
  return { ...gateway, port: gateway.address.port, log };
}

export function testMember(name = "", port = 0): Member {
  const member = startMember(name, port);
  cleanups.push(() => member.kill());
  return member;
}

export async function testBlackHole(): Promise<BlackHole> {
  const hole = await openBlackHole();
  cleanups.push(() => hole.close());
  return hole;
}

/** A loopback port on which nobody listens. */
export function closedPort(): number {
  const member = startMember();
  member.kill();
  return member.port;
}
