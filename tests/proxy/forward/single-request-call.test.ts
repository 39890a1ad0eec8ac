import { beforeEach, describe, expect, test } from "bun:test";
import { createEndpoint } from "../../../src/endpoints/endpoint.ts";
import { Channel } from "../../../src/grpc/channel.ts";
import { Code } from "../../../src/grpc/status.ts";
import { SingleRequestCall } from "../../../src/proxy/forward/single-request-call.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { ReadClient } from "../kv/read-client.ts";

const LIMITS = { sendBytesMax: 100, receiveBytesMax: 100 };

/** A call that writes down what it is told. */
class Gathered extends SingleRequestCall {
  requests: Uint8Array[] = [];
  cancels = 0;

  protected override onRequest(): void {
    this.requests.push(this.request.framed);
  }

  protected override runOn(): void {}

  override onAnswerSent(): void {}

  override onCancel(): void {
    this.cancels++;
  }
}

/** No member is ever asked. */
const channel = new Channel({
  endpoints: [createEndpoint("http", "127.0.0.1", 1)],
  dialTimeoutMs: 1,
  events: { onConnected() {}, onEndpointFailed() {}, onUnexpectedError() {} },
});

let client: ReadClient;
let call: Gathered;

beforeEach(() => {
  client = new ReadClient({ path: "/etcdserverpb.KV/Put" });
  call = new Gathered(client, channel, LIMITS);
});

const send = (...pieces: Uint8Array[]): void => {
  // The last piece and the end come in one frame: the receiver is the same for both.
  const { receiver } = client;
  for (const piece of pieces) receiver.onRequestBytes(piece, 0, piece.length);
  receiver.onRequestEnd();
};

describe("the one request of a call", () => {
  test("is handed over once it is whole and nothing follows it", () => {
    const message = framed("a message");
    client.receiver.onRequestBytes(message.subarray(0, 3), 0, 3);
    client.receiver.onRequestBytes(message, 3, message.length);
    expect(call.requests).toHaveLength(0);
    client.receiver.onRequestEnd();
    expect(call.requests.map((request) => Buffer.from(request))).toEqual([Buffer.from(message)]);
    expect(client.retainedBytes).toBeGreaterThanOrEqual(message.length);
  });

  test.each<[string, Uint8Array[], number]>([
    ["is followed by another one", [framed("one"), framed("two")], Code.INTERNAL],
    ["is followed by a single byte", [framed("one"), Uint8Array.of(0)], Code.INTERNAL],
    ["comes with another one in one piece", [Buffer.concat([framed("one"), framed("two")])], Code.INTERNAL],
    ["is cut short", [framed("one").subarray(0, 6)], Code.INTERNAL],
    ["is missing", [], Code.INTERNAL],
    ["is too large", [framed("x".repeat(101))], Code.RESOURCE_EXHAUSTED],
  ])("ends the call, and is not handed over, when it %s", (_, pieces, code) => {
    send(...pieces);
    expect(client.status?.code).toBe(code);
    expect(call.requests).toHaveLength(0);
  });
});
