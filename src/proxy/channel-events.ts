/**
 * What the channel tells of members, and who hears it: the log, the list of recent events, the counts of limits, and those
 * who begin anew when it has turned to another connection.
 */
import type { EndpointEvents } from "../endpoints/endpoint-events.ts";
import type { ChannelEvents } from "../grpc/channel-options.ts";
import type { LimitLog } from "../observe/limit-log.ts";
import type { Logger } from "../observe/log.ts";
import type { RateLimitedLog } from "../observe/rate-limited-log.ts";
import { MemberLog } from "./member-log.ts";

/** `onConnected` hears of each connection that calls go to from now on. */
export function channelEvents(
  log: Logger,
  limitedLog: RateLimitedLog,
  limitLog: LimitLog,
  endpointEvents: EndpointEvents,
  onConnected: () => void,
): ChannelEvents {
  const memberLog = new MemberLog(log, limitedLog);
  return {
    onConnected(endpoint) {
      memberLog.onConnected(endpoint);
      endpointEvents.connected(endpoint);
      onConnected();
    },
    onUnexpectedError(error, peer) {
      limitedLog.write("error", "unexpected member", "unexpected error on a member's connection", {
        peer,
        error: error.stack ?? error.message,
      });
    },
    onEndpointFailed(endpoint, reason, news) {
      if (!news) return;
      memberLog.onFailed(endpoint, reason);
      endpointEvents.failed(endpoint, reason);
    },
    onJudged(endpoint, verdict) {
      memberLog.onJudged(endpoint, verdict);
      endpointEvents.judged(endpoint, verdict);
    },
    onLimit(endpoint, limit, reason) {
      limitLog.reached("member", limit, endpoint.name, { reason });
    },
  };
}
