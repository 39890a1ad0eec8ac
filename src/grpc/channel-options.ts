/**
 * What the channel is told, and what it tells: its options, its events, and the calls that it begins.
 */
import type { Balancer } from "../endpoints/balancer.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Verdict } from "../endpoints/endpoint-report.ts";
import type { BufferBudget } from "../http2/buffer-budget.ts";
import type { Http2LimitName } from "../http2/limits.ts";
import type { DnsResolver } from "../net/resolver.ts";
import type { DialTls } from "../net/tls.ts";
import type { OpenMemberCall } from "./member-call.ts";
import type { MemberKeepalive } from "./member-keepalive.ts";
import type { Upstream } from "./upstream.ts";
import type { WaitingCall, WaitingLimits } from "./waiting-calls.ts";

/** A call that waits for its connection. */
export interface ChannelCall extends WaitingCall {
  /** Begin the call: `upstream.canOpen` holds. */
  onUpstream(upstream: Upstream): void;
  /** A call with one request, which may go to any member that the balancer gives the next turn. */
  readonly spreads?: boolean;
  /** True when the call would rather wait for another member that is coming up than go to this one. */
  avoids(endpoint: Endpoint): boolean;
}

/** A limit that a member can reach, by name: those of a connection, and of those who make connections and calls. */
export type MemberLimit =
  | Http2LimitName
  | "reconnects"
  | "extraConnections"
  | "messageBytes"
  | "revisionBytes"
  | "unansweredCreates"
  | "watchEndings";

/** What the channel tells of, for logs and metrics. */
export interface ChannelEvents {
  onConnected(endpoint: Endpoint): void;
  /** A fault of our own, met while a member's bytes were handled; the connection is given up. */
  onUnexpectedError(error: Error, peer: string): void;
  /** `news` is false when the endpoint was known to fail already, for the same reason. */
  onEndpointFailed(endpoint: Endpoint, reason: string, news: boolean): void;
  /** No endpoint can be reached, or none passes its checks; told again and again. */
  onAllFailed?(): void;
  /** Checks think otherwise of an endpoint than before. */
  onJudged?(endpoint: Endpoint, verdict: Verdict): void;
  /** The member at `endpoint` has reached a limit. */
  onLimit?(endpoint: Endpoint, limit: MemberLimit, reason: string): void;
}

export interface ChannelOptions {
  readonly endpoints: readonly Endpoint[];
  readonly dialTimeoutMs: number;
  /** `sticky` when absent. */
  readonly balancer?: Balancer | undefined;
  readonly events: ChannelEvents;
  /** Looks the endpoints' host names up; without it the system does. */
  readonly resolver?: DnsResolver | undefined;
  /** What dials to https endpoints show and demand; without it they show nothing and trust what this machine trusts. */
  readonly tls?: ((hostname: string) => DialTls) | undefined;
  /** Opens calls on connections; as they are when absent. */
  readonly openCall?: OpenMemberCall | undefined;
  /** Finds out whether silent members still live; without it nobody asks. */
  readonly keepalive?: MemberKeepalive | undefined;
  /** Bounds what the connections hold, together with whoever shares it; without one nothing does. */
  readonly budget?: BufferBudget;
  /** From 0 up to but not including 1. */
  readonly random?: () => number;
  /** How long calls wait and what they may hold; `WAITING_LIMITS` unless told otherwise. */
  readonly waiting?: WaitingLimits;
  /** The least time between two switches made because of what members answer, in milliseconds. */
  readonly switchPauseMs?: number;
  /** Where the first connection's stream ids begin: 1 but in tests of a connection near its last one. */
  readonly firstStreamId?: number;
}
