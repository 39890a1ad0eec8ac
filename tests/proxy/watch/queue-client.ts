/** A client's queue with a call that reads or does not, as the test says, and what there is to send it. */
import { expect } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { controlBody } from "../../../src/etcd/watch-message.ts";
import { WatchResponseReader } from "../../../src/etcd/watch-response.ts";
import { type WatchResponse, WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { MessageReader } from "../../../src/grpc/message-reader.ts";
import { Code } from "../../../src/grpc/status.ts";
import { ClientQueue } from "../../../src/proxy/watch/client-queue.ts";
import type { ClientStream } from "../../../src/proxy/watch/client-stream.ts";
import { EventsBody } from "../../../src/proxy/watch/events-body.ts";
import { HeldBodies } from "../../../src/proxy/watch/held-bodies.ts";
import { Subscriber, watchOptions } from "../../../src/proxy/watch/subscriber.ts";
import { RecordedCall } from "../../grpc/recorded-call.ts";

export const HEADER = { identity: new Uint8Array(0), revision: 0 };
const RANGE = KeyRange.of(Buffer.from("k"), new Uint8Array(0))!;
const OPTIONS = watchOptions(false, false, false, false, false);
export const BOUND = 4096;
/** Above what the queue copies for each watch. */
export const LARGE = 20_000;
/** Above what the call is given at once. */
export const HUGE = 200_000;

/** The call of a client that may not read. */
class ReaderCall extends RecordedCall {
  /** What it was given and has not left. */
  leavingBytes = 0;
  /** What has not left when it was given, as it was and as it is. */
  readonly kept: { readonly before: Uint8Array; readonly now: Uint8Array }[] = [];
  /** Runs while the call is given something, once. */
  meanwhile: (() => void) | null = null;

  constructor() {
    super({ path: "/etcdserverpb.Watch/Watch" });
  }

  override sendMessageBytes(bytes: Uint8Array, start: number, end: number): number {
    if (this.finished) return end - start;
    const sentBytes = super.sendMessageBytes(bytes, start, end);
    this.leavingBytes += end - start - sentBytes;
    if (sentBytes === 0) {
      this.kept.push({ before: bytes.slice(start, end), now: bytes.subarray(start, end) });
    }
    const { meanwhile } = this;
    this.meanwhile = null;
    meanwhile?.();
    return sentBytes;
  }
}

/** A client stream's queue, its call, and who reads it. */
export class Client {
  readonly call = new ReaderCall();
  readonly queue: ClientQueue;

  constructor(held = bodies(), bytesMax = BOUND) {
    this.queue = new ClientQueue(this.call, held, bytesMax);
  }

  /** A client that has something before it that it does not read. */
  static waiting(held?: HeldBodies, bytesMax?: number): Client {
    const client = new Client(held, bytesMax);
    client.call.takesAnswer = false;
    client.queue.sendControl(99, created(1));
    return client;
  }

  /** What has been given to the call leaves it, and all that follows. */
  read(): void {
    this.call.takesAnswer = true;
    this.readOnce();
  }

  /** What has been given to the call leaves it. */
  readOnce(): void {
    const bytes = this.call.leavingBytes;
    this.call.leavingBytes = 0;
    this.queue.onSent(bytes);
  }

  /** The call ends, as when its client resets it. */
  end(): void {
    this.call.finishWithStatus({ code: Code.CANCELLED, message: "" });
    this.queue.clear();
  }

  get responses(): WatchResponse[] {
    const responses: WatchResponse[] = [];
    const { answerBytes } = this.call;
    const reader = new MessageReader(2 ** 31);
    reader.read(answerBytes, 0, answerBytes.length, (bytes, start, end) =>
      responses.push(fromBinary(WatchResponseSchema, bytes.subarray(start, end))),
    );
    expect(reader.heldBytes).toBe(0);
    return responses;
  }

  /** Of each response its watch id and what it says, the keys of its events or a revision. */
  get told(): string[] {
    return this.responses.map(({ watchId, header, events, fragment }) => {
      const keys = events.map(({ kv }) => Buffer.from(kv!.key).toString());
      return `${watchId}: ${keys.length === 0 ? header!.revision : keys.join(" ")}${fragment ? " ..." : ""}`;
    });
  }
}

export function bodies(): HeldBodies {
  return new HeldBodies(undefined, { shedLargestQueue: () => false });
}

export function created(revision: number): Uint8Array {
  return controlBody({ header: HEADER, revision, created: true });
}

/** A body with an event for each key, with values of about `valueBytes`. */
export function eventsOf(keys: string, valueBytes = 10, firstRevision = 1): EventsBody {
  const response = create(WatchResponseSchema, {
    events: keys
      .split(" ")
      .map((key) => ({ kv: { key: Buffer.from(key), value: new Uint8Array(valueBytes), modRevision: 1n } })),
  });
  const bytes = toBinary(WatchResponseSchema, response);
  const reader = new WatchResponseReader();
  reader.read(bytes, 0, bytes.length);
  const picked = reader.events.map((event) => ({ bytes, event }));
  return new EventsBody(HEADER, { firstRevision, revision: 1 }, picked, false);
}

export function watch(id: number): Subscriber {
  const subscriber = new Subscriber({} as ClientStream, RANGE, OPTIONS, 0);
  subscriber.id = id;
  return subscriber;
}
