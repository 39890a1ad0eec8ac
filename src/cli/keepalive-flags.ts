/**
 * Reads the grpc-proxy's keepalive flags, towards members and towards clients.
 *
 * Invariant: intervals that gRPC itself would not use are raised to its least ones, and the log says so.
 */
import type { MemberKeepaliveOptions } from "../grpc/member-keepalive.ts";
import type { Logger } from "../observe/log.ts";
import type { ClientKeepaliveOptions } from "../proxy/port/client-keepalive.ts";
import { formatDuration } from "./duration.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";

/** As gRPC's client in Go has it: twice what etcd's members demand unless they are told otherwise. */
const MEMBER_TIME_MS_MIN = 10_000;
/** As gRPC's server in Go has it. */
const CLIENT_INTERVAL_MS_MIN = 1_000;
/** What gRPC takes a time-out of 0 towards members for. */
const MEMBER_TIMEOUT_MS_DEFAULT = 20_000;

type MemberFlags = Pick<
  GrpcProxyFlags,
  "dialKeepaliveTimeMs" | "dialKeepaliveTimeoutMs" | "permitWithoutStream"
>;
type ClientFlags = Pick<
  GrpcProxyFlags,
  "grpcKeepaliveMinTimeMs" | "grpcKeepaliveIntervalMs" | "grpcKeepaliveTimeoutMs"
>;

/** Null when members are not pinged. */
export function memberKeepaliveFlags(flags: MemberFlags, log: Logger): MemberKeepaliveOptions | null {
  if (flags.dialKeepaliveTimeMs === 0) return null;
  return {
    timeMs: atLeast(MEMBER_TIME_MS_MIN, flags.dialKeepaliveTimeMs, "--dial-keepalive-time", log),
    timeoutMs: flags.dialKeepaliveTimeoutMs === 0 ? MEMBER_TIMEOUT_MS_DEFAULT : flags.dialKeepaliveTimeoutMs,
    withoutStreams: flags.permitWithoutStream,
  };
}

/** An interval or a time-out of 0 turns the proxy's own PINGs off, a `min-time` of 0 the check of the clients'. */
export function clientKeepaliveFlags(flags: ClientFlags, log: Logger): ClientKeepaliveOptions {
  const { grpcKeepaliveIntervalMs: intervalMs, grpcKeepaliveTimeoutMs: timeoutMs } = flags;
  return {
    pingIntervalMinMs: flags.grpcKeepaliveMinTimeMs,
    pings:
      intervalMs === 0 || timeoutMs === 0
        ? null
        : {
            timeMs: atLeast(CLIENT_INTERVAL_MS_MIN, intervalMs, "--grpc-keepalive-interval", log),
            timeoutMs,
          },
  };
}

function atLeast(leastMs: number, givenMs: number, flag: string, log: Logger): number {
  if (givenMs >= leastMs) return givenMs;
  log.warn(`${flag} is raised to the least that gRPC uses`, {
    given: formatDuration(givenMs),
    used: formatDuration(leastMs),
  });
  return leastMs;
}
