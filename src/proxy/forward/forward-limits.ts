/** What forwarding holds a call to. */
import type { Status } from "../../grpc/status.ts";
import { Code } from "../../grpc/status.ts";

export interface ForwardLimits {
  /** `--max-send-bytes`: the largest message sent to a member, without its prefix. */
  readonly sendBytesMax: number;
  /** `--max-recv-bytes`: the largest message taken from a member, without its prefix. */
  readonly receiveBytesMax: number;
}

/** Sends of a request that never ran, at most: a member that refuses every stream must not keep us busy. */
export const NEVER_PROCESSED_REPEATS_MAX = 5;

/** The answer to a request message above `--max-send-bytes`. */
export function requestTooLarge(messageBytes: number, limits: ForwardLimits): Status {
  return {
    code: Code.RESOURCE_EXHAUSTED,
    message: `grpc: trying to send message larger than max (${messageBytes} vs. ${limits.sendBytesMax})`,
  };
}

/** The answer to a call that cannot even wait for a member any more. */
export const TOO_MANY_WAITING: Status = {
  code: Code.UNAVAILABLE,
  message: "etcdproxy: no member can be reached, and too many calls are waiting for one",
};
