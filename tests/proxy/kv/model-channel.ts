/**
 * A channel without sockets: its calls wait until a test answers them, on connections that a test makes and loses.
 *
 * It stands in for `Channel`, `Upstream` and a connection's `Stream` as far as calls see of them; calls that wait for a
 * member are the real `WaitingCalls`, on the test's clock. A member sends no more than a stream's window allows, and
 * credit beyond what was sent is written down.
 */
import type { Endpoint } from "../../../src/endpoints/endpoint.ts";
import { createEndpoint } from "../../../src/endpoints/endpoint.ts";
import type { Channel } from "../../../src/grpc/channel.ts";
import type { ChannelCall } from "../../../src/grpc/channel-options.ts";
import { Code, RESPONSE_HEAD, type Status, statusTrailers } from "../../../src/grpc/status.ts";
import { openClientCall } from "../../../src/grpc/member-call.ts";
import type { Upstream } from "../../../src/grpc/upstream.ts";
import { WAITING_LIMITS, WaitingCalls } from "../../../src/grpc/waiting-calls.ts";
import type { HeaderField } from "../../../src/hpack/header-field.ts";
import { ErrorCode } from "../../../src/http2/error-code.ts";
import type { Stream, StreamHandler, StreamReset } from "../../../src/http2/stream.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import type { FakeClock } from "../../harness/fake-clock.ts";

const SWEEP_MS = 20;
const OK: Status = { code: Code.OK, message: "" };

export const CONNECTION_LOST: StreamReset = {
  code: ErrorCode.CANCEL,
  cause: "connection",
  neverProcessed: false,
  message: "connection lost",
};
export const REFUSED: StreamReset = {
  code: ErrorCode.REFUSED_STREAM,
  cause: "peer",
  neverProcessed: true,
  message: "stream refused",
};

/** What a `ClientCall` sees of its stream. */
type StreamFace = Pick<Stream, "sendData" | "sendEnd" | "consume" | "reset" | "closed">;

/** A call that has come to a member: the stream below the proxy's `ClientCall`. */
export class MemberCall implements StreamFace {
  readonly upstream: ModelUpstream;
  readonly fields: readonly HeaderField[];
  readonly sentAtMs: number;
  request: Uint8Array = new Uint8Array(0);
  requestEnded = false;
  /** Neither side has ended it. */
  open = true;
  /** The proxy has given it up. */
  cancelled = false;
  sentBytes = 0;
  consumedBytes = 0;
  readonly violations: string[] = [];
  readonly #handler: StreamHandler;

  constructor(
    upstream: ModelUpstream,
    fields: readonly HeaderField[],
    handler: StreamHandler,
    nowMs: number,
  ) {
    this.upstream = upstream;
    this.fields = fields;
    this.#handler = handler;
    this.sentAtMs = nowMs;
  }

  field(name: string): string | undefined {
    return this.fields.find((field) => field.name === name)?.value;
  }

  get path(): string {
    return this.field(":path") ?? "";
  }

  get unconsumedBytes(): number {
    return this.sentBytes - this.consumedBytes;
  }

  // What the proxy does.

  get closed(): boolean {
    return !this.open;
  }

  sendData(bytes: Uint8Array, start: number, end: number, endStream: boolean): number {
    this.request = Buffer.concat([this.request, bytes.subarray(start, end)]);
    this.requestEnded ||= endStream;
    return end - start;
  }

  sendEnd(): void {
    this.requestEnded = true;
  }

  consume(bytes: number): void {
    if (!this.open) return;
    this.consumedBytes += bytes;
    if (bytes < 0 || this.unconsumedBytes < 0) {
      this.violations.push(`${this.consumedBytes} bytes consumed of ${this.sentBytes}`);
    }
  }

  reset(): void {
    if (!this.open) return;
    this.open = false;
    this.cancelled = true;
  }

  // What the member does.

  sendHead(): void {
    if (this.open)
      this.#handler.onResponse({ status: 200, contentLengthBytes: -1, fields: RESPONSE_HEAD }, false);
  }

  /** Sends bytes of messages, in a chunk with something else around them. */
  sendBytes(bytes: Uint8Array): void {
    if (!this.open) return;
    const chunk = new Uint8Array(bytes.length + 6).fill(0xee);
    chunk.set(bytes, 3);
    this.sentBytes += bytes.length;
    this.#handler.onData(chunk, 3, 3 + bytes.length, false);
  }

  finish(status: Status = OK): void {
    if (!this.open) return;
    this.#end();
    this.#handler.onTrailers(statusTrailers(status));
  }

  /** Trailers that are none of gRPC's. */
  finishWithoutStatus(): void {
    if (this.open) this.#handler.onTrailers([]);
  }

  /** Head, one message, and OK. */
  answer(payload: string | Uint8Array): void {
    this.sendHead();
    this.sendBytes(framed(payload));
    this.finish();
  }

  /** A status and nothing else. */
  fail(status: Status): void {
    if (!this.open) return;
    this.#end();
    this.#handler.onResponse(
      { status: 200, contentLengthBytes: -1, fields: [...RESPONSE_HEAD, ...statusTrailers(status)] },
      true,
    );
  }

  end(reset: StreamReset): void {
    if (!this.open) return;
    this.#end();
    this.#handler.onReset(reset);
  }

  #end(): void {
    this.open = false;
  }
}

/** A connection to a member. */
export class ModelUpstream {
  readonly endpoint: Endpoint;
  readonly calls: MemberCall[] = [];
  /** New calls may begin on it. */
  canOpen = true;
  readonly connection: {
    open(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): MemberCall;
  };

  constructor(endpoint: Endpoint, channel: ModelChannel) {
    this.endpoint = endpoint;
    this.connection = {
      open: (fields, _endStream, handler) => {
        const call = new MemberCall(this, fields, handler, channel.clock.nowMs());
        this.calls.push(call);
        channel.calls.push(call);
        return call;
      },
    };
  }

  /** As the proxy's code knows it. */
  openCall(...call: Parameters<Upstream["openCall"]>): ReturnType<Upstream["openCall"]> {
    return openClientCall(this.asUpstream, ...call);
  }

  get asUpstream(): Upstream {
    return this as unknown as Upstream;
  }
}

/** What calls see of a channel. */
type ChannelFace = Pick<
  Channel,
  "available" | "availableToAny" | "uses" | "leave" | "begin" | "forget" | "unavailable"
>;

export class ModelChannel implements ChannelFace {
  readonly clock: FakeClock;
  /** Every call that has ever come to a member. */
  readonly calls: MemberCall[] = [];
  /** Where new calls go. */
  current: ModelUpstream | null = null;
  /** Another connection is coming up: calls that avoid the current endpoint wait for it. */
  coming = false;
  /** Endpoints that calls wanted to leave, each with the reason. */
  readonly left: string[] = [];
  /** Told of each new connection, before waiting calls begin. */
  onConnected: () => void = () => {};
  onLeave: (upstream: Upstream) => void = () => {};
  readonly #waiting = new WaitingCalls<ChannelCall>(WAITING_LIMITS);
  #sweeping = false;

  constructor(clock: FakeClock) {
    this.clock = clock;
  }

  /** As the proxy's code knows it. */
  get asChannel(): Channel {
    return this as unknown as Channel;
  }

  get waitingCalls(): number {
    return this.#waiting.size;
  }

  /** The calls that neither side has ended. */
  get openCalls(): MemberCall[] {
    return this.calls.filter(({ open }) => open);
  }

  /** The call number `index`. */
  call(index: number): MemberCall {
    const call = this.calls.at(index);
    if (call === undefined) throw new Error(`${this.calls.length} calls have come, not number ${index}`);
    return call;
  }

  // What the proxy does.

  get availableToAny(): Upstream | null {
    return this.available;
  }

  get available(): Upstream | null {
    return this.current?.canOpen === true ? this.current.asUpstream : null;
  }

  uses(upstream: Upstream): boolean {
    return this.current?.asUpstream === upstream;
  }

  begin(call: ChannelCall): void {
    const upstream = this.available;
    if (upstream !== null && !(this.coming && call.avoids(upstream.endpoint))) {
      call.onUpstream(upstream);
      return;
    }
    this.#waiting.add(call, this.clock.nowMs());
    if (!this.#sweeping) this.#sweepLater();
  }

  forget(call: ChannelCall): void {
    this.#waiting.remove(call);
  }

  leave(upstream: Upstream, reason: string): void {
    this.left.push(`${upstream.endpoint.name}: ${reason}`);
    this.onLeave(upstream);
  }

  unavailable(): Status {
    return { code: Code.UNAVAILABLE, message: "no member can be reached" };
  }

  // What happens to connections.

  /** Calls go to the member number `member` from here on, on a new connection; those on the old one go on. */
  connect(member = 0): ModelUpstream {
    const upstream = new ModelUpstream(createEndpoint("http", "127.0.0.1", 10_000 + member), this);
    this.current = upstream;
    this.coming = false;
    this.onConnected();
    this.serveWaiting();
    return upstream;
  }

  /** A connection is lost, and all calls on it. */
  lose(upstream: ModelUpstream, reset: StreamReset = CONNECTION_LOST): void {
    if (this.current === upstream) this.current = null;
    for (const call of upstream.calls) call.end(reset);
  }

  serveWaiting(): void {
    for (const call of this.#waiting) {
      const upstream = this.available;
      if (upstream === null) return;
      if (this.coming && call.avoids(upstream.endpoint)) continue;
      this.#waiting.remove(call);
      call.onUpstream(upstream);
    }
  }

  #sweepLater(): void {
    this.#sweeping = true;
    this.clock.after(SWEEP_MS, () => {
      this.#waiting.expire(this.clock.nowMs());
      if (this.#waiting.size > 0) this.#sweepLater();
      else this.#sweeping = false;
    });
  }
}
