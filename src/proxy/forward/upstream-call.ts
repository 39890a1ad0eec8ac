/** What both ways of forwarding do to begin a call at a member, or to give up waiting for one. */
import type { Channel } from "../../grpc/channel.ts";
import type { ClientCallHandler } from "../../grpc/client-call.ts";
import type { MemberCall } from "../../grpc/member-call.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import { type ForwardLimits, TOO_MANY_WAITING } from "./forward-limits.ts";

/** Begins `call` at a member, with what is left of its time. */
export function callUpstream(
  call: ServerCall,
  upstream: Upstream,
  limits: ForwardLimits,
  handler: ClientCallHandler,
): MemberCall {
  const { head, deadlineMs } = call;
  const leftMs = deadlineMs === Number.POSITIVE_INFINITY ? deadlineMs : deadlineMs - performance.now();
  const fields = head.upstreamFields(upstream.endpoint.name, leftMs);
  return upstream.openCall(head.path, fields, limits.receiveBytesMax, handler);
}

/** Ends a call that no member was there for. */
export function endUnserved(call: ServerCall, channel: Channel, why: "time" | "full"): void {
  if (why === "full") call.limitReached("waitingCalls", TOO_MANY_WAITING.message);
  call.finishWithStatus(why === "full" ? TOO_MANY_WAITING : channel.unavailable());
}
