/** The keepalive flags as options: what 0 means, and what is raised to gRPC's least. */
import { describe, expect, test } from "bun:test";
import { clientKeepaliveFlags, memberKeepaliveFlags } from "../../src/cli/keepalive-flags.ts";
import { createLogger } from "../../src/observe/log.ts";

/** A log, and the lines of it. */
function recorded(): { log: ReturnType<typeof createLogger>; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as Record<string, unknown>);
  };
  return { log: createLogger({ level: "info", output: "json", destination: { write } }), lines };
}

describe("towards members", () => {
  const GIVEN = { dialKeepaliveTimeMs: 30_000, dialKeepaliveTimeoutMs: 7000, permitWithoutStream: true };

  test("what is given is used", () => {
    const { log, lines } = recorded();
    expect(memberKeepaliveFlags(GIVEN, log)).toEqual({
      timeMs: 30_000,
      timeoutMs: 7000,
      withoutStreams: true,
    });
    expect(lines).toEqual([]);
  });

  test("a time of 0 turns the pings off, a time-out of 0 is gRPC's own", () => {
    const { log } = recorded();
    expect(memberKeepaliveFlags({ ...GIVEN, dialKeepaliveTimeMs: 0 }, log)).toBeNull();
    expect(memberKeepaliveFlags({ ...GIVEN, dialKeepaliveTimeoutMs: 0 }, log)?.timeoutMs).toBe(20_000);
  });

  test("a time below ten seconds is raised to that, and the log tells of it", () => {
    const { log, lines } = recorded();
    expect(memberKeepaliveFlags({ ...GIVEN, dialKeepaliveTimeMs: 2000 }, log)?.timeMs).toBe(10_000);
    expect(lines).toMatchObject([
      {
        level: "warn",
        msg: "--dial-keepalive-time is raised to the least that gRPC uses",
        given: "2s",
        used: "10s",
      },
    ]);
  });
});

describe("towards clients", () => {
  const GIVEN = {
    grpcKeepaliveMinTimeMs: 5000,
    grpcKeepaliveIntervalMs: 7_200_000,
    grpcKeepaliveTimeoutMs: 20_000,
  };

  test("what is given is used", () => {
    const { log, lines } = recorded();
    expect(clientKeepaliveFlags(GIVEN, log)).toEqual({
      pingIntervalMinMs: 5000,
      pings: { timeMs: 7_200_000, timeoutMs: 20_000 },
    });
    expect(lines).toEqual([]);
  });

  test("an interval or a time-out of 0 turns the pings off, and leaves the check of the clients' as it is", () => {
    const { log } = recorded();
    const off = { pingIntervalMinMs: 5000, pings: null };
    expect(clientKeepaliveFlags({ ...GIVEN, grpcKeepaliveIntervalMs: 0 }, log)).toEqual(off);
    expect(clientKeepaliveFlags({ ...GIVEN, grpcKeepaliveTimeoutMs: 0 }, log)).toEqual(off);
  });

  test("an interval below a second is raised to that, and the log tells of it", () => {
    const { log, lines } = recorded();
    expect(clientKeepaliveFlags({ ...GIVEN, grpcKeepaliveIntervalMs: 1 }, log).pings?.timeMs).toBe(1000);
    expect(lines).toMatchObject([{ level: "warn", given: "1ms", used: "1s" }]);
  });
});
