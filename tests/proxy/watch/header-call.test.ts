import { describe, expect, spyOn, test } from "bun:test";
import { CallHead } from "../../../src/grpc/call-head.ts";
import { type CallReceiver, NO_RECEIVER } from "../../../src/grpc/server-call.ts";
import { Code, type Status, statusTrailers, trailersOnly } from "../../../src/grpc/status.ts";
import { HeaderCall } from "../../../src/proxy/watch/header-call.ts";
import type { RevisionReadHandler } from "../../../src/proxy/watch/watch-calls.ts";
import { framed } from "../../grpc/stand-in-member.ts";

const OK = { code: Code.OK, message: "" };
/** A header of two bytes, then another field. */
const ANSWER = framed(Uint8Array.of(0x0a, 0x02, 0x18, 0x07, 0x10, 0x01));

/** A call without anyone who serves it: what both sides are told is written down. */
class Scene implements RevisionReadHandler, CallReceiver {
  readonly call: HeaderCall;
  readonly headers: Uint8Array[] = [];
  readonly failures: Status[] = [];
  readonly requests: Uint8Array[] = [];
  readonly served: string[] = [];

  constructor() {
    this.call = new HeaderCall(new CallHead("/etcdserverpb.KV/Txn", []), this);
    this.call.receiver = this;
  }

  onHeader(bytes: Uint8Array, start: number, end: number): void {
    this.headers.push(bytes.slice(start, end));
  }

  onFailed(status: Status): void {
    this.failures.push(status);
  }

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    this.requests.push(bytes.slice(start, end));
  }

  onRequestEnd(): void {
    this.served.push("request end");
  }

  onAnswerSent(): void {}

  onCancel(reason: string): void {
    this.served.push(reason);
  }
}

describe("a call for a header", () => {
  test("makes its request whole, in one message", () => {
    const scene = new Scene();
    scene.call.request(Buffer.from("a request"));
    expect(scene.requests).toEqual([framed("a request")]);
    expect(scene.served).toEqual(["request end"]);
    scene.call.finishWithStatus(OK);
  });

  test("takes all bytes of the answer, and hands on its header once the status is OK", () => {
    const scene = new Scene();
    expect(scene.call.sendMessageBytes(ANSWER, 0, 6)).toBe(6);
    expect(scene.call.sendMessageBytes(ANSWER, 6, ANSWER.length)).toBe(ANSWER.length - 6);
    expect(scene.headers).toEqual([]);
    scene.call.finishWithTrailers(statusTrailers(OK));
    expect([scene.headers, scene.failures]).toEqual([[Uint8Array.of(0x18, 0x07)], []]);
  });

  test("fails with the status of an answer that is not OK, whatever else came", () => {
    const status = { code: Code.UNAVAILABLE, message: "etcdserver: request timed out" };
    const scene = new Scene();
    scene.call.sendMessageBytes(ANSWER, 0, ANSWER.length);
    scene.call.finishWithHead(trailersOnly(status));
    expect([scene.headers, scene.failures]).toEqual([[], [status]]);
  });

  test.each([
    ["trailers without a status", (call: HeaderCall) => call.finishWithTrailers([])],
    ["no trailers", (call: HeaderCall) => call.finish()],
  ])("fails with UNKNOWN when the answer has %s", (_what, finish) => {
    const scene = new Scene();
    scene.call.sendMessageBytes(ANSWER, 0, ANSWER.length);
    finish(scene.call);
    expect([scene.headers, scene.failures.map(({ code }) => code)]).toEqual([[], [Code.UNKNOWN]]);
  });

  test("ends once, and takes nothing afterwards", () => {
    const scene = new Scene();
    scene.call.sendMessageBytes(ANSWER, 0, ANSWER.length);
    scene.call.finishWithStatus(OK);
    expect([scene.call.finished, scene.call.receiver]).toEqual([true, NO_RECEIVER]);
    expect(scene.call.sendMessageBytes(ANSWER, 0, 3)).toBe(3);
    scene.call.finish();
    scene.call.finishWithStatus(OK);
    expect([scene.headers.length, scene.failures]).toEqual([1, []]);
  });

  test("that a stopped member does not answer fails UNAVAILABLE, and who serves it is told", () => {
    const timers: { run: () => void; delayMs: number | undefined }[] = [];
    const timer = setTimeout(() => {}, 0);
    const timeouts = spyOn(globalThis, "setTimeout").mockImplementation(((
      run: () => void,
      delayMs?: number,
    ) => {
      timers.push({ run, delayMs });
      return timer;
    }) as typeof setTimeout);
    const scene = new Scene();
    timeouts.mockRestore();
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([10_000]);
    timers[0]!.run();
    expect(scene.failures).toEqual([
      { code: Code.UNAVAILABLE, message: "etcdproxy: the member does not answer" },
    ]);
    expect(scene.served).toEqual(["deadline exceeded"]);
  });
});
