/**
 * A call under a namespace, on a connection that cuts its answer anywhere and for a caller who takes it as he likes: he gets
 * every message, mapped, and the end behind them; the member gets each byte's credit once, and not before its time.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Namespace } from "../../src/etcd/namespace.ts";
import { namespaceMappings } from "../../src/etcd/namespace-rules.ts";
import { WatchRequestSchema, WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { AnswerMemory } from "../../src/grpc/answer-memory.ts";
import type { CallFailure, ClientCallHandler } from "../../src/grpc/client-call.ts";
import { MESSAGE_BYTES_UNBOUNDED } from "../../src/grpc/client-call.ts";
import { MessageReader } from "../../src/grpc/message-reader.ts";
import { RESPONSE_HEAD, statusTrailers } from "../../src/grpc/status.ts";
import type { Upstream } from "../../src/grpc/upstream.ts";
import type { HeaderField } from "../../src/hpack/header-field.ts";
import { STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import type { StreamHandler } from "../../src/http2/stream.ts";
import { namespacedCalls } from "../../src/proxy/upstream/namespaced-call.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { runs } from "./runs.ts";

fc.configureGlobal({ numRuns: runs(150) });

const PREFIX = new TextEncoder().encode("ns/");
const open = namespacedCalls({
  mappings: namespaceMappings(new Namespace(PREFIX), false),
  memory: new AnswerMemory(undefined),
  answerBytesMax: 2 ** 24,
});

/** The stream below a call: what was sent on it, and what credit it gave. */
class ModelStream {
  handler!: StreamHandler;
  readonly sent: Uint8Array[] = [];
  /** Of what is sent, this much has to wait. */
  roomBytes = Number.POSITIVE_INFINITY;
  receivedBytes = 0;
  creditedBytes = 0;
  closed = false;
  halfClosed = false;

  sendData(bytes: Uint8Array, start: number, end: number, halfClose: boolean): number {
    this.sent.push(bytes.slice(start, end));
    this.halfClosed ||= halfClose;
    const left = Math.min(this.roomBytes, end - start);
    this.roomBytes -= left;
    return left;
  }

  sendEnd(): void {
    this.halfClosed = true;
  }

  consume(bytes: number): void {
    this.creditedBytes += bytes;
    expect(this.creditedBytes).toBeLessThanOrEqual(this.receivedBytes);
  }

  reset(): void {
    this.closed = true;
  }

  receive(bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    this.handler.onData(bytes, 0, bytes.length, false);
  }
}

class Caller implements ClientCallHandler {
  readonly messages: Uint8Array[] = [];
  readonly #reader = new MessageReader(MESSAGE_BYTES_UNBOUNDED);
  untakenBytes = 0;
  sentBytes = 0;
  trailers: readonly HeaderField[] | null = null;
  failure: CallFailure | null = null;
  refusal: readonly HeaderField[] | null = null;

  onAnswerHead(fields: readonly HeaderField[], end: boolean): void {
    if (end) this.refusal = fields;
  }

  onAnswerBytes(bytes: Uint8Array, start: number, end: number): void {
    expect(this.trailers).toBeNull();
    this.untakenBytes += end - start;
    expect(this.untakenBytes).toBeLessThanOrEqual(STREAM_WINDOW_BYTES);
    this.#reader.read(bytes, start, end, (message, from, to) => this.messages.push(message.slice(from, to)));
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.trailers = fields;
  }

  onFailure(failure: CallFailure): void {
    this.failure = failure;
  }

  onRequestSent(bytes: number): void {
    this.sentBytes += bytes;
  }
}

function begin() {
  const stream = new ModelStream();
  const caller = new Caller();
  const connection = {
    open(_fields: readonly HeaderField[], _end: boolean, handler: StreamHandler) {
      stream.handler = handler;
      return stream;
    },
  };
  const upstream = { endpoint: { name: "member:2379" }, connection } as unknown as Upstream;
  const call = open(upstream, "/etcdserverpb.Watch/Watch", [], MESSAGE_BYTES_UNBOUNDED, caller);
  stream.handler.onResponse({ status: 200, fields: RESPONSE_HEAD } as never, false);
  return { stream, caller, call };
}

function response(prefix: string, key: string, valueBytes: number): Uint8Array {
  const kv = { key: new TextEncoder().encode(prefix + key), value: new Uint8Array(valueBytes) };
  return toBinary(WatchResponseSchema, create(WatchResponseSchema, { events: [{ kv }] }));
}

const sizes = fc.array(fc.oneof(fc.nat(200), fc.nat(2 * STREAM_WINDOW_BYTES)), { maxLength: 6 });
const steps = fc.array(fc.oneof(fc.nat(300), fc.nat(STREAM_WINDOW_BYTES)), { minLength: 1, maxLength: 40 });

test("an answer comes whole and in order, at the caller's pace", () => {
  fc.assert(
    fc.property(sizes, steps, steps, fc.boolean(), (sizes, cuts, takes, endsEarly) => {
      const { stream, caller, call } = begin();
      const bytes = Buffer.concat(sizes.map((size, at) => framed(response("ns/", String(at), size))));
      let at = 0;
      for (let turn = 0; at < bytes.length; turn++) {
        const room = STREAM_WINDOW_BYTES - (stream.receivedBytes - stream.creditedBytes);
        const end = Math.min(bytes.length, at + Math.min(1 + cuts[turn % cuts.length]!, room));
        if (end > at) stream.receive(bytes.subarray(at, end));
        at = end;
        const taken =
          room > 0 ? Math.min(caller.untakenBytes, takes[turn % takes.length]!) : caller.untakenBytes;
        caller.untakenBytes -= taken;
        if (taken > 0) call.consume(taken);
      }
      const end = (): void => stream.handler.onTrailers(statusTrailers({ code: 0, message: "" }));
      if (endsEarly) end();
      while (caller.untakenBytes > 0) {
        const taken = Math.min(caller.untakenBytes, 50_000);
        caller.untakenBytes -= taken;
        call.consume(taken);
      }
      // A stream that is over needs none.
      if (!endsEarly) expect(stream.creditedBytes).toBe(stream.receivedBytes);
      if (!endsEarly) end();
      expect(caller.failure).toBeNull();
      expect(caller.trailers).not.toBeNull();
      expect(caller.messages.map((message) => fromBinary(WatchResponseSchema, message))).toEqual(
        sizes.map((size, at) => fromBinary(WatchResponseSchema, response("", String(at), size))),
      );
    }),
  );
});

const requests = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 });

test("requests go on mapped, however they are cut, and are told to have left when they have", () => {
  fc.assert(
    fc.property(requests, steps, fc.nat(100), (keys, cuts, roomBytes) => {
      const { stream, caller, call } = begin();
      stream.roomBytes = roomBytes;
      const messages = keys.map((key) =>
        create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key } } }),
      );
      const bytes = Buffer.concat(messages.map((message) => framed(toBinary(WatchRequestSchema, message))));
      let left = 0;
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const end = Math.min(bytes.length, at + 1 + (cuts[turn % cuts.length]! % 60));
        left += call.sendMessageBytes(bytes, at, end, end === bytes.length);
        at = end;
      }
      const mapped = Buffer.concat(stream.sent);
      const waiting = mapped.length - (roomBytes - stream.roomBytes);
      expect(left + caller.sentBytes).toBeLessThanOrEqual(bytes.length);
      if (waiting > 0) stream.handler.onSent(waiting);
      expect(left + caller.sentBytes).toBe(bytes.length);
      expect(stream.halfClosed).toBe(bytes.length > 0);
      const reader = new MessageReader(MESSAGE_BYTES_UNBOUNDED);
      const seen: Uint8Array[] = [];
      reader.read(mapped, 0, mapped.length, (message, from, to) => {
        const { requestUnion } = fromBinary(WatchRequestSchema, message.slice(from, to));
        if (requestUnion.case === "createRequest") seen.push(requestUnion.value.key);
      });
      expect(seen).toEqual(keys.map((key) => Uint8Array.of(...PREFIX, ...key)));
    }),
  );
});

test("an answer about other keys fails, and the member with it", () => {
  const { stream, caller } = begin();
  stream.receive(framed(response("elsewhere/", "a", 1)));
  expect(caller.failure).toMatchObject({
    status: {
      code: 13,
      message:
        "etcdproxy: member:2379: an answer cannot be mapped: an answer tells of a key outside of the namespace",
    },
    notEtcd: true,
  });
  expect([stream.closed, caller.messages]).toEqual([true, []]);
});

test("a request that cannot be mapped is refused as a member would, once its caller has the call", async () => {
  const { stream, caller, call } = begin();
  const unknown = framed(Uint8Array.of(0x22, 0));
  call.sendMessageBytes(unknown, 0, unknown.length, false);
  expect([caller.refusal, stream.closed, stream.sent.length]).toEqual([null, true, 0]);
  await Promise.resolve();
  expect(caller.refusal?.find(({ name }) => name === "grpc-status")?.value).toBe("12");
});

test("a refused request is told to nobody who has given the call up", async () => {
  const { caller, call } = begin();
  const unknown = framed(Uint8Array.of(0x22, 0));
  call.sendMessageBytes(unknown, 0, unknown.length, false);
  call.cancel();
  await Promise.resolve();
  expect(caller.refusal).toBeNull();
});
