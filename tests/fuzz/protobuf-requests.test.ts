/**
 * The readers of etcd's messages under noise: whatever a strict reader takes for a message they read as Protobuf-ES
 * does, or say that they cannot tell; whatever it refuses makes none of them throw anything but MalformedMessage.
 */
import { describe, expect } from "bun:test";
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { revisionOfAnswer, UNKNOWN_REVISION } from "../../src/etcd/answer-revision.ts";
import { KeyRange } from "../../src/etcd/key-range.ts";
import { LeaseIdReader } from "../../src/etcd/lease-keep-alive.ts";
import { MalformedMessage } from "../../src/etcd/protobuf-cursor.ts";
import { RangeRequestReader } from "../../src/etcd/range-request.ts";
import { isRepeatableRead } from "../../src/etcd/repeatable-reads.ts";
import { methodPath } from "../../src/etcd/services.ts";
import {
  keyChangedByPut,
  keysChangedByDeleteRange,
  keysChangedByTxn,
  readsOnly,
} from "../../src/etcd/txn-request.ts";
import { keyOf, WatchResponseReader } from "../../src/etcd/watch-response.ts";
import {
  DeleteRangeRequestSchema,
  KV,
  PutRequestSchema,
  type RangeRequest,
  RangeRequestSchema,
  RangeResponseSchema,
  type RequestOp,
  type TxnRequest,
  TxnRequestSchema,
} from "../../src/gen/etcdserverpb/kv_pb.ts";
import {
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
} from "../../src/gen/etcdserverpb/lease_pb.ts";
import { WatchRequestSchema, WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Event_EventType } from "../../src/gen/mvccpb/kv_pb.ts";
import { readClientRequest } from "../../src/proxy/watch/client-request.ts";
import type { SeededRandom } from "../faults/seeded-random.ts";
import { fuzz } from "./fuzz.ts";
import { garbage, mutated } from "./mutation.ts";
import { judge, noisyMessage } from "./protobuf-noise.ts";

const INPUTS = { inputs: 5_000 };
const MALFORMED = "malformed";

/** What a reader makes of `bytes[start, end)`, or that they are malformed. Any other error is a fault. */
function read<Result>(
  bytes: Uint8Array,
  reader: (bytes: Uint8Array, start: number, end: number) => Result,
): Result | typeof MALFORMED {
  // Between other bytes, none of which may count.
  const around = new Uint8Array(bytes.length + 24).fill(0x0a);
  around.set(bytes, 12);
  try {
    return reader(around, 12, 12 + bytes.length);
  } catch (error) {
    if (error instanceof MalformedMessage) return MALFORMED;
    throw error;
  }
}

interface Input<Message extends DescMessage> {
  readonly bytes: Uint8Array;
  /** What Protobuf-ES reads; null when a strict reader takes the bytes for no message, or readers disagree. */
  readonly message: MessageShape<Message> | null;
}

/** A message of `desc`: as it should be, damaged, or no message at all. */
function input<Message extends DescMessage>(desc: Message, random: SeededRandom): Input<Message> {
  let bytes = noisyMessage(desc, random);
  if (random.chance(0.4)) bytes = mutated(bytes, random, [noisyMessage(desc, random)]);
  else if (random.chance(0.03)) bytes = garbage(random, 40);
  const { valid, disputed } = judge(desc, bytes);
  return { bytes, message: valid && !disputed ? fromBinary(desc, bytes) : null };
}

function rangeOf({ key, rangeEnd }: Pick<RangeRequest, "key" | "rangeEnd">): KeyRange | null {
  return KeyRange.of(key, rangeEnd);
}

/** The texts that tell ranges apart, in any order. */
function idsOf(ranges: readonly (KeyRange | null)[]): string[] {
  return ranges.flatMap((range) => (range === null ? [] : [range.id])).toSorted();
}

describe("reads", () => {
  const reader = new RangeRequestReader();
  const texts = new Map<string, string>();

  fuzz("a RangeRequest says the same to the proxy as to Protobuf-ES", INPUTS, (random) => {
    const { bytes, message } = input(RangeRequestSchema, random);
    const said = read(bytes, (...place) => {
      const hasText = reader.read(...place);
      const { serializable, revision, range, text } = reader;
      return { serializable, revision, range: range?.id, hasText, text };
    });
    if (message === null) return;
    expect(said).toMatchObject({
      serializable: message.serializable,
      revision: Number(message.revision),
    });
    if (said === MALFORMED) return;
    expect(said.range).toBe(rangeOf(message)?.id);
    if (!said.hasText) return;
    // Requests of one text ask for the same, but for `serializable`.
    const asked = JSON.stringify({ ...message, serializable: false }, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    const known = texts.get(said.text);
    if (known === undefined) texts.set(said.text, asked);
    else expect(asked).toBe(known);
  });

  const TXN = methodPath(KV.method.txn);

  fuzz("a TxnRequest that counts as a read has nothing but ranges in it", INPUTS, (random) => {
    const { bytes, message } = input(TxnRequestSchema, random);
    const said = read(bytes, readsOnly);
    const repeatable = isRepeatableRead(TXN, bytes);
    if (message === null) return;
    if (said === true)
      expect([message.compare.length, operations(message).every(isRange)]).toEqual([0, true]);
    if (repeatable) expect(operations(message).filter(isWrite)).toEqual([]);
  });
});

/** All operations of a transaction, and of those in it. */
function operations({ success, failure }: TxnRequest): RequestOp[] {
  return [...success, ...failure].flatMap((operation) =>
    operation.request.case === "requestTxn" ? operations(operation.request.value) : [operation],
  );
}

function isRange({ request }: RequestOp): boolean {
  return request.case === "requestRange";
}

/** A delete of no key at all is none. */
function isWrite({ request }: RequestOp): boolean {
  if (request.case === "requestDeleteRange") return rangeOf(request.value) !== null;
  return request.case === "requestPut";
}

describe("writes", () => {
  fuzz("a TxnRequest changes the keys that Protobuf-ES sees, or nobody can tell which", INPUTS, (random) => {
    const { bytes, message } = input(TxnRequestSchema, random);
    const ranges = read(bytes, keysChangedByTxn);
    if (message === null || ranges === null || ranges === MALFORMED) return;
    const expected = operations(message).map(({ request }) => {
      if (request.case === "requestPut") return KeyRange.of(request.value.key, new Uint8Array(0));
      return request.case === "requestDeleteRange" ? rangeOf(request.value) : null;
    });
    expect(idsOf(ranges)).toEqual(idsOf(expected));
  });

  fuzz("a PutRequest and a DeleteRangeRequest change the keys that Protobuf-ES sees", INPUTS, (random) => {
    const put = input(PutRequestSchema, random);
    const changed = read(put.bytes, keyChangedByPut);
    if (put.message !== null) {
      expect(changed).toEqual(KeyRange.of(put.message.key, new Uint8Array(0)));
    }
    const deletion = input(DeleteRangeRequestSchema, random);
    const deleted = read(deletion.bytes, keysChangedByDeleteRange);
    if (deletion.message !== null) expect(deleted).toEqual(rangeOf(deletion.message));
  });
});

describe("watches", () => {
  fuzz("a WatchRequest asks the proxy for what Protobuf-ES sees", INPUTS, (random) => {
    const { bytes, message } = input(WatchRequestSchema, random);
    const said = read(bytes, readClientRequest);
    if (message === null) return;
    const { requestUnion } = message;
    switch (requestUnion.case) {
      case "createRequest": {
        const { startRevision, watchId, prevKv, fragment, progressNotify, filters } = requestUnion.value;
        expect(said).toMatchObject({
          kind: "create",
          range: rangeOf(requestUnion.value),
          startRevision: Number(startRevision),
          options: {
            prevKv,
            fragment,
            progressNotify,
            noPut: filters.includes(0),
            noDelete: filters.includes(1),
          },
        });
        expect(said !== MALFORMED && said.kind === "create" && BigInt(said.watchId)).toBe(watchId);
        break;
      }
      case "cancelRequest":
        expect(said !== MALFORMED && said.kind === "cancel" && BigInt(said.watchId)).toBe(
          requestUnion.value.watchId,
        );
        break;
      case "progressRequest":
        expect(said).toEqual({ kind: "progress" });
        break;
      default:
        expect(said).toEqual({ kind: "nothing" });
    }
  });

  const reader = new WatchResponseReader();

  fuzz("a member's WatchResponse says the same to the proxy as to Protobuf-ES", INPUTS, (random) => {
    const { bytes, message } = input(WatchResponseSchema, random);
    const said = read(bytes, (around, start, end) => {
      reader.read(around, start, end);
      return reader.events.map((event) => ({
        key: keyOf(around, event),
        revision: event.revision,
        isDelete: event.isDelete,
        hasPrevious: event.prevKvStart !== event.prevKvEnd,
      }));
    });
    // What etcd never sends and could not be copied right is refused.
    if (message === null || said === MALFORMED) return;
    const { watchId, created, canceled, compactRevision, fragment, cancelReason } = message;
    expect(reader).toMatchObject({
      watchId: Number(watchId),
      created,
      canceled,
      compactRevision: Number(compactRevision),
      fragment,
      cancelReason,
    });
    expect(said).toEqual(
      message.events.map(({ type, kv, prevKv }) => ({
        key: Buffer.from(kv?.key ?? []).toString("latin1"),
        revision: Number(kv?.modRevision ?? 0n),
        isDelete: type === Event_EventType.DELETE,
        hasPrevious: prevKv !== undefined,
      })),
    );
  });
});

describe("leases", () => {
  const ids = new LeaseIdReader();
  const id = (): bigint =>
    BigInt.asIntN(64, BigInt(ids.low) | (BigInt(ids.middle) << 28n) | (BigInt(ids.high) << 56n));

  fuzz("a heartbeat and its answer have the id that Protobuf-ES sees", INPUTS, (random) => {
    const request = input(LeaseKeepAliveRequestSchema, random);
    const asked = read(request.bytes, (...place) => {
      ids.readRequest(...place);
      return id();
    });
    if (request.message !== null) expect(asked).toBe(request.message.ID);
    const answer = input(LeaseKeepAliveResponseSchema, random);
    const answered = read(answer.bytes, (...place) => {
      ids.readAnswer(...place);
      return id();
    });
    if (answer.message !== null) expect(answered).toBe(answer.message.ID);
  });
});

describe("answers", () => {
  fuzz(
    "an answer that begins with its header is of the revision that Protobuf-ES sees, or of none",
    INPUTS,
    (random) => {
      const { bytes, message } = input(RangeResponseSchema, random);
      const revision = read(bytes, revisionOfAnswer);
      expect(revision).not.toBe(MALFORMED);
      if (message === null || revision === UNKNOWN_REVISION) return;
      // Its first header is what it reads: members send one.
      const single = judgeSingleHeader(bytes);
      if (single) expect(revision).toBe(Number(message.header?.revision ?? 0n));
    },
  );
});

/** True when the header stands at the start and nowhere else: a second one would be joined with it. */
function judgeSingleHeader(bytes: Uint8Array): boolean {
  const { header } = fromBinary(RangeResponseSchema, bytes);
  for (let cut = 1; cut <= bytes.length; cut++) {
    const { valid } = judge(RangeResponseSchema, bytes.subarray(0, cut));
    if (!valid) continue;
    const first = fromBinary(RangeResponseSchema, bytes.subarray(0, cut));
    return first.header?.revision === header?.revision;
  }
  return true;
}
