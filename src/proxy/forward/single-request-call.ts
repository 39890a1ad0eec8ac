/**
 * A client's call with one request message, which is gathered and looked at before anything is done with it.
 *
 * Stands between the call and those who know what to do with a whole request. What is wrong with the
 * message's framing ends the call here.
 */
import { type CallReceiver, type ServerCall } from "../../grpc/server-call.ts";
import { Code, type Status } from "../../grpc/status.ts";
import { CALL_BYTES, type ForwardLimits, requestTooLarge } from "./forward-limits.ts";
import { EXTRA, RequestMessage } from "./request-message.ts";

export abstract class SingleRequestCall implements CallReceiver {
  protected readonly call: ServerCall;
  protected readonly limits: ForwardLimits;
  protected readonly request: RequestMessage;

  /** `request`: it is whole already, and accounted for. */
  constructor(call: ServerCall, limits: ForwardLimits, request?: RequestMessage) {
    this.call = call;
    this.limits = limits;
    call.receiver = this;
    if (request === undefined) {
      this.request = new RequestMessage(limits.sendBytesMax);
      call.retain(CALL_BYTES);
    } else {
      this.request = request;
    }
  }

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    const keptBefore = this.request.keptBytes;
    const problem = this.request.add(bytes, start, end);
    this.call.consume(end - start);
    this.call.retain(this.request.keptBytes - keptBefore);
    if (problem === -1) return;
    if (problem === EXTRA) this.endEarly(ONE_MESSAGE);
    else this.endEarly(requestTooLarge(problem, this.limits));
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

  /** The request is not what the method takes: nothing has been done with it, and nothing is. */
  protected endEarly(status: Status): void {
    this.call.finishWithStatus(status);
  }
}

const ONE_MESSAGE: Status = { code: Code.INTERNAL, message: "the method takes one request message" };
const CUT_SHORT: Status = { code: Code.INTERNAL, message: "the request message is cut short" };
