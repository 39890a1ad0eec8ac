/**
 * The checks of the gateway's members, and what follows from their verdicts for clients that are connected.
 *
 * Stands between the health checks and the connections. Clients of a member that is silent are reset, so that they connect
 * anew, but only where that helps: another member must have answered since this one did last, by more than checks lie
 * apart. When all of them fall silent together, the fault is between us and them, and may pass.
 */
import { REAL_TIMERS } from "../base/clock.ts";
import type { EndpointChoice } from "../endpoints/endpoint-choice.ts";
import { answers } from "../endpoints/endpoint-json.ts";
import type { Verdict } from "../endpoints/endpoint-report.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { HealthChecks, type HealthCheckTimes } from "../endpoints/health-checks.ts";
import type { DnsResolver } from "../net/resolver.ts";
import type { GatewayConnections } from "./connections.ts";
import type { LoopGuard } from "./loop-guard.ts";
import { MemberProbe } from "./member-probe.ts";
import type { Upstream } from "./upstream.ts";

export interface MemberChecksOptions {
  readonly times: HealthCheckTimes;
  readonly resolver?: DnsResolver | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** From 0 up to but not including 1. */
  readonly random: () => number;
  readonly loopGuard: LoopGuard;
  readonly connections: GatewayConnections;
  readonly choice: EndpointChoice;
  readonly upstream: Upstream;
}

/** Begins to check `endpoints`. The caller closes the checks. */
export function startChecks(endpoints: readonly Endpoint[], options: MemberChecksOptions): HealthChecks {
  const { times, resolver, now, random, loopGuard, connections, choice, upstream } = options;
  const { timeoutMs, intervalMs } = times;
  const bytesOf = (name: string) => connections.bytesOf(name);
  const probe = new MemberProbe({ timeoutMs, resolver, now, loopGuard, bytesOf });
  const startedMs = now();
  const answeredMs = new Map<string, number>();

  const someoneElseAnswers = ({ name }: Endpoint, { refused }: Verdict & { kind: "silent" }): boolean => {
    const others = choice.describe(now()).filter((known) => known.endpoint.name !== name && answers(known));
    // Nobody is there at all: that is no fault of the way. And who is asked seldom is taken at his last word.
    if (refused) return others.length > 0;
    const lastMs = answeredMs.get(name) ?? startedMs;
    return others.some(({ endpoint }) => {
      const otherMs = answeredMs.get(endpoint.name);
      return otherMs !== undefined && (probe.isQuiet(endpoint) || otherMs - lastMs >= intervalMs);
    });
  };

  return new HealthChecks(endpoints, {
    ...times,
    probe,
    onVerdict(endpoint, verdict) {
      upstream.judged(endpoint, verdict);
      if (verdict.kind === "silent") {
        // A name server that fails is no reason to end connections that exist.
        if (verdict.unresolved === true || !someoneElseAnswers(endpoint, verdict)) return;
        connections.closeAll(endpoint.name, verdict.reason);
        return;
      }
      answeredMs.set(endpoint.name, now());
      const listed = new Set(choice.describe(now()).map((known) => known.endpoint.name));
      for (const name of answeredMs.keys()) if (!listed.has(name)) answeredMs.delete(name);
    },
    clock: REAL_TIMERS,
    random,
  });
}
