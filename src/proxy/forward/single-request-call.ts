/**
 * A client's call with one request message, which is gathered and looked at before anything is done with it.
 *
 * Stands between the call and those who know what to do with a whole request. What is wrong with the message's framing ends
 * the call here. It waits for a member like every call, and counts its repeats.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { ChannelCall } from "../../grpc/channel-options.ts";
import type { CallReceiver, ServerCall } from "../../grpc/server-call.ts";
import { Code, type Status } from "../../grpc/status.ts";
import type { Upstream } from "../../grpc/upstream.ts";
import { type ForwardLimits, requestTooLarge } from "./forward-limits.ts";
import type { Repeats } from "./repeats.ts";
import { EXTRA, RequestMessage } from "./request-message.ts";
import { endUnserved } from "./upstream-call.ts";

export abstract class SingleRequestCall implements CallReceiver, ChannelCall {
  readonly call: ServerCall;
  readonly request: RequestMessage;
  protected readonly channel: Channel;
  protected readonly limits: ForwardLimits;
  /** Null until an attempt has failed. */
  protected repeats: Repeats | null = null;

  /** `request`: it is whole already, and accounted for. */
  constructor(call: ServerCall, channel: Channel, limits: ForwardLimits, request?: RequestMessage) {
    this.call = call;
    this.channel = channel;
    this.limits = limits;
    call.receiver = this;
    this.request = request ?? new RequestMessage(limits.sendBytesMax);
  }

  // From the client.

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    const keptBefore = this.request.keptBytes;
    const problem = this.request.add(bytes, start, end);
    this.call.consume(end - start);
    this.call.retain(this.request.keptBytes - keptBefore);
    if (problem === -1) return;
    if (problem === EXTRA) {
      this.endEarly(ONE_MESSAGE);
      return;
    }
    const tooLarge = requestTooLarge(problem, this.limits);
    this.call.limitReached("messageSize", tooLarge.message);
    this.endEarly(tooLarge);
  }

  onRequestEnd(): void {
    // The last bytes may have ended the call, and this comes with them.
    if (this.call.finished) return;
    if (this.request.whole) this.onRequest();
    else this.endEarly(CUT_SHORT);
  }

  abstract onAnswerSent(bytes: number): void;
  abstract onCancel(): void;

  /** The request is whole, and nothing follows it. */
  protected abstract onRequest(): void;

  /** Runs the call at a member: there is a connection for it, and another attempt is allowed. */
  protected abstract runOn(upstream: Upstream): void;

  // From the channel.

  get deadlineMs(): number {
    return this.call.deadlineMs;
  }

  get heldBytes(): number {
    return this.request.keptBytes;
  }

  avoids(endpoint: Endpoint): boolean {
    return this.repeats?.avoids(endpoint) ?? false;
  }

  onUpstream(upstream: Upstream): void {
    const failure = this.repeats?.instead(upstream.endpoint) ?? null;
    if (failure === null) this.runOn(upstream);
    else this.finishWithStatus(failure);
  }

  onWaitedInVain(why: "time" | "full"): void {
    endUnserved(this.call, this.channel, why);
  }

  /** No member has answered the call. */
  protected finishWithStatus(status: Status): void {
    this.call.finishWithStatus(status);
  }

  /** The request is not what the method takes: nothing has been done with it, and nothing is. */
  protected endEarly(status: Status): void {
    this.call.finishWithStatus(status);
  }
}

const ONE_MESSAGE: Status = { code: Code.INTERNAL, message: "the method takes one request message" };
const CUT_SHORT: Status = { code: Code.INTERNAL, message: "the request message is cut short" };
