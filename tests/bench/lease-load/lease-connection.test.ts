import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import {
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
} from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { waitFor } from "../../harness/wait-for.ts";
import {
  ANSWER_HEADERS,
  CLIENT_PREFACE,
  Flag,
  frame,
  FrameSplitter,
  FrameType,
  literalField,
} from "../floors/frames.ts";
import { prefixed } from "../load/call-template.ts";
import { LeaseConnection } from "./lease-connection.ts";
import { LeaseTally } from "./lease-tally.ts";

const FIRST_ID = 2 ** 40;
/** RFC 9113 §6.5.2: what a stream may be sent before it is granted more. */
const WINDOW_BYTES = 65_535;

interface Keeper {
  readonly connection: LeaseConnection;
  readonly tally: LeaseTally;
  /** Bytes of heartbeats that came on each stream. */
  readonly received: ReadonlyMap<number, number>;
  /** Grants a stream more. */
  credit(streamId: number, bytes: number): void;
  [Symbol.dispose](): void;
}

/** Two clients with three leases each, and a server that gives `answer` to each of their heartbeats. */
async function keeper(answer: (leaseId: bigint) => Uint8Array | null): Promise<Keeper> {
  let reply: (bytes: Uint8Array) => void = () => {};
  const received = new Map<number, number>();
  const opened = new Set<number>();
  const server = Bun.listen<FrameSplitter>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        reply = (bytes) => void socket.write(bytes);
        const connectionCredit = Buffer.alloc(4);
        connectionCredit.writeUInt32BE(1 << 24);
        reply(frame(FrameType.windowUpdate, 0, 0, connectionCredit));
        socket.data = new FrameSplitter(
          CLIENT_PREFACE.length,
          (type, _flags, streamId, bytes, start, end) => {
            if (type !== FrameType.data) return;
            received.set(streamId, (received.get(streamId) ?? 0) + end - start);
            const { ID } = fromBinary(LeaseKeepAliveRequestSchema, bytes.subarray(start + 5, end));
            const response = answer(ID);
            if (response === null) return;
            if (!opened.has(streamId)) reply(onStream(ANSWER_HEADERS, streamId));
            opened.add(streamId);
            reply(onStream(response, streamId));
          },
        );
      },
      data(socket, chunk) {
        socket.data.push(chunk);
      },
    },
  });
  const tally = new LeaseTally(6);
  tally.measuring = true;
  const plans = [0, 3].map((first) => ({ first, leases: 3 }));
  const connection = await LeaseConnection.open(`127.0.0.1:${server.port}`, plans, FIRST_ID, tally);
  return {
    connection,
    tally,
    received,
    credit(streamId, bytes) {
      const increment = Buffer.alloc(4);
      increment.writeUInt32BE(bytes);
      reply(frame(FrameType.windowUpdate, 0, streamId, increment));
    },
    [Symbol.dispose]() {
      connection.close();
      server.stop(true);
    },
  };
}

function onStream(bytes: Uint8Array, streamId: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt32BE(streamId, 5);
  return copy;
}

function alive(ID: bigint, TTL = 3n): Buffer {
  const response = create(LeaseKeepAliveResponseSchema, { header: { revision: 7n }, ID, TTL });
  return frame(FrameType.data, 0, 0, prefixed(toBinary(LeaseKeepAliveResponseSchema, response)));
}

test("a burst is a heartbeat for each lease of the client, and each is answered", async () => {
  using kept = await keeper((id) => alive(id));
  kept.connection.beat(1);
  await waitFor("three answers", () => kept.tally.answered === 3 || undefined);
  expect([...kept.received.keys()]).toEqual([3]);
  kept.connection.beat(0);
  await waitFor("six answers", () => kept.tally.answered === 6 || undefined);
  expect([kept.tally.sent, kept.tally.surplus, kept.connection.ended]).toEqual([6, 0, []]);
});

test("in a closed loop a client's next burst follows the answers to its last one", async () => {
  using kept = await keeper((id) => alive(id));
  kept.connection.closedLoop = true;
  kept.connection.beat(0);
  await waitFor("many bursts", () => kept.tally.answered >= 300 || undefined);
  expect([...kept.received.keys()]).toEqual([1]);
});

test("a stream sends no more than its window, and goes on with what it is granted", async () => {
  using kept = await keeper((id) => alive(id));
  kept.connection.closedLoop = true;
  kept.connection.beat(0);
  const burstBytes = 3 * (5 + 1 + 6);
  const filled = (bytes: number): (() => true | undefined) => {
    return () => kept.received.get(1)! > bytes - burstBytes || undefined;
  };
  await waitFor("the window to be used up", filled(WINDOW_BYTES));
  await waitFor("its answers", () => kept.tally.waiting === 0 || undefined);
  expect(kept.received.get(1)).toBeLessThanOrEqual(WINDOW_BYTES);
  kept.credit(1, 10_000);
  await waitFor("the credit to be used up", filled(WINDOW_BYTES + 10_000));
  expect(kept.received.get(1)).toBeLessThanOrEqual(WINDOW_BYTES + 10_000);
});

test("an answer for another client's lease ends the client", async () => {
  using kept = await keeper(() => alive(BigInt(FIRST_ID + 5)));
  kept.connection.beat(0);
  const ended = await waitFor("the client to end", () => kept.connection.ended[0]);
  expect(ended).toBe(`an answer for a lease ${FIRST_ID + 5} that is not the client's`);
});

test("an answer that a lease is gone is told", async () => {
  using kept = await keeper((id) => alive(id, 0n));
  kept.connection.beat(0);
  await waitFor("three answers", () => kept.tally.dead === 3 || undefined);
  expect(kept.tally.answered).toBe(0);
});

test("a stream that the server ends is ended with its status, and sends no more", async () => {
  const trailers = literalField("grpc-status", "14");
  using kept = await keeper(() => frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 0, trailers));
  kept.connection.beat(0);
  await waitFor("the end", () => kept.connection.ended.length === 1 || undefined);
  expect(kept.connection.ended).toEqual(["status 14"]);
  kept.connection.beat(0);
  expect(kept.tally.sent).toBe(3);
});
