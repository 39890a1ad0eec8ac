/**
 * What typed clients of the proxy's own run on: their unary calls go to a member as they are, over the channel like
 * everybody's, so inside the namespace.
 */
import type { Transport } from "@connectrpc/connect";
import type { Channel } from "../../grpc/channel.ts";
import { connectTransport } from "../../grpc/connect-transport.ts";
import { type AnswerBounds, SMALL_ANSWERS } from "../../grpc/in-process-call.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { SingleRequestForward } from "../forward/single-request.ts";

/** `bounds`: what may be gathered of an answer. */
export function memberTransport(
  channel: Channel,
  limits: ForwardLimits,
  bounds: AnswerBounds = SMALL_ANSWERS,
): Transport {
  return connectTransport((call) => {
    new SingleRequestForward(call, channel, limits, true);
  }, bounds);
}
