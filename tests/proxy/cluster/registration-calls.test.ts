/** What registrations ask over a real channel, of stand-in members that do what no etcd can be made to do. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { KeyRange } from "../../../src/etcd/key-range.ts";
import { LeaseKeepAliveResponseSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import {
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { connectTransport } from "../../../src/grpc/connect-transport.ts";
import { SMALL_ANSWERS } from "../../../src/grpc/in-process-call.ts";
import { AnswerMemory } from "../../../src/grpc/answer-memory.ts";
import { Code, RESPONSE_HEAD } from "../../../src/grpc/status.ts";
import { RegistrationCalls, type WatchEnd } from "../../../src/proxy/cluster/registration-calls.ts";
import { SingleRequestForward } from "../../../src/proxy/forward/single-request.ts";
import { Forwarding } from "../../grpc/forwarding.ts";
import { type StandInCall, StandInMember } from "../../grpc/stand-in-member.ts";
import { waitFor } from "../../harness/wait-for.ts";

const LIMITS = { sendBytesMax: 1 << 20, receiveBytesMax: 0x7fff_ffff };
const WATCH_BYTES_MAX = 64 * 1024;
const RANGE = KeyRange.of(Buffer.from("proxies/"), Buffer.from("proxies0"))!;

let members: StandInMember[];
let forwarding: Forwarding;
let calls: RegistrationCalls;

beforeEach(() => {
  members = [new StandInMember(), new StandInMember()];
  forwarding = new Forwarding(members);
  const { channel } = forwarding;
  calls = new RegistrationCalls({
    channel,
    transport: connectTransport((call) => {
      new SingleRequestForward(call, channel, LIMITS, true);
    }, SMALL_ANSWERS),
    receiveBytesMax: WATCH_BYTES_MAX,
    memory: new AnswerMemory(undefined),
    own: null,
  });
});
afterEach(() => {
  forwarding[Symbol.dispose]();
  for (const member of members) member[Symbol.dispose]();
});

/** A watch, and what was heard of it. */
async function watching(): Promise<{ responses: WatchResponse[]; ends: WatchEnd[]; at: StandInCall }> {
  const responses: WatchResponse[] = [];
  const ends: WatchEnd[] = [];
  await calls.watch(RANGE, 7n, {
    onResponse: (response) => responses.push(response),
    onEnd: (end) => ends.push(end),
  });
  const at = await waitFor("the watch at the member", () => {
    const call = members[0]!.calls[0];
    return call !== undefined && call.request.length > 5 ? call : undefined;
  });
  at.stream.sendHeaders(RESPONSE_HEAD, false);
  return { responses, ends, at };
}

function responseOf(fields: MessageInitShape<typeof WatchResponseSchema>): Uint8Array {
  return toBinary(WatchResponseSchema, create(WatchResponseSchema, fields));
}

/** Sends a message on a call whose head has been sent. */
function send(call: StandInCall, message: Uint8Array): void {
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  call.sendBytes(framed);
}

describe("a watch", () => {
  test("is asked for from its revision on, in fragments, and nothing else is told of it", async () => {
    const { at, responses, ends } = await watching();
    const { requestUnion } = fromBinary(WatchRequestSchema, at.request.subarray(5));
    expect(requestUnion.case).toBe("createRequest");
    expect(requestUnion.value).toMatchObject({ startRevision: 7n, fragment: true, ...RANGE.toRequest() });
    send(at, responseOf({ created: true }));
    await waitFor("the answer", () => responses.length === 1);
    expect(ends).toEqual([]);
  });

  test("that the member cancels is over, and tells why", async () => {
    const { at, responses, ends } = await watching();
    send(at, responseOf({ created: true, canceled: true, cancelReason: "etcdserver: permission denied" }));
    await waitFor("its end", () => ends.length === 1);
    expect(ends).toEqual([{ kind: "failed", reason: "etcdserver: permission denied" }]);
    expect(responses).toEqual([]);
    await waitFor("the call to be given up", () => at.reset !== undefined);
  });

  test("whose beginning is compacted says so", async () => {
    const { at, ends } = await watching();
    send(at, responseOf({ canceled: true, compactRevision: 9n }));
    await waitFor("its end", () => ends.length === 1);
    expect(ends).toEqual([{ kind: "failed", reason: "what it was to begin with is compacted" }]);
  });

  test.each([
    ["malformed", Uint8Array.of(0xff, 0xff), "an answer to a watch is malformed"],
    [
      "small, and very large once it is decoded",
      responseOf({ events: Array.from({ length: 400 }, () => ({})) }),
      "an answer to a watch is too large once it is decoded",
    ],
  ])("whose member sends what is %s is over, and the member is left", async (_, message, reason) => {
    await forwarding.connectedTo(members[0]!);
    const { at, responses, ends } = await watching();
    send(at, message);
    await waitFor("its end", () => ends.length === 1);
    expect(ends).toEqual([{ kind: "failed", reason }]);
    expect(responses).toEqual([]);
    await forwarding.connectedTo(members[1]!);
  });

  test("is told that another connection is in use", async () => {
    await forwarding.connectedTo(members[0]!);
    const { ends } = await watching();
    const heartbeat = calls.keepAlive(8n, 5_000).catch((error: unknown) => error);
    (await members[0]!.call(1)).fail({ code: Code.UNAVAILABLE, message: "etcdserver: no leader" });
    await heartbeat;
    await forwarding.connectedTo(members[1]!);
    calls.onConnected();
    expect(ends).toEqual([{ kind: "moved" }]);
  });
});

describe("a heartbeat", () => {
  const answered = async (lease: bigint, told: { ID: bigint; TTL: bigint }): Promise<number> => {
    const asked = calls.keepAlive(lease, 5_000);
    const call = await members[0]!.call(0);
    call.answer(toBinary(LeaseKeepAliveResponseSchema, create(LeaseKeepAliveResponseSchema, told)));
    return await asked;
  };

  test("resolves to the time that the lease has then", async () => {
    expect(await answered(8n, { ID: 8n, TTL: 60n })).toBe(60);
  });

  test("counts for no lease when the answer is about another one", async () => {
    expect(await answered(8n, { ID: 9n, TTL: 60n })).toBe(0);
  });

  test("is given up after its time", async () => {
    const failed = await calls.keepAlive(8n, 50).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ConnectError);
  });
});
