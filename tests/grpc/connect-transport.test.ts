/** Typed clients over calls in process: what Connect sees of an answer, and what the one who answers sees of Connect. */
import { describe, expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, Code as ConnectCode, ConnectError, createClient } from "@connectrpc/connect";
import { KV, RangeRequestSchema, RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance, SnapshotResponseSchema } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { connectTransport } from "../../src/grpc/connect-transport.ts";
import { SMALL_ANSWERS } from "../../src/grpc/in-process-call.ts";
import type { CallReceiver, ServerCall } from "../../src/grpc/server-call.ts";
import { Code, RESPONSE_HEAD, statusTrailers } from "../../src/grpc/status.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { waitFor } from "../harness/wait-for.ts";
import { framed } from "./stand-in-member.ts";

/** Answers a call by `answer` once all of its request has come, and notes what it is told. */
class Answering implements CallReceiver {
  readonly call: ServerCall;
  readonly told: string[] = [];
  request: Uint8Array = new Uint8Array(0);
  sentBytes = 0;
  readonly #answer: (answering: Answering) => void;

  constructor(call: ServerCall, answer: (answering: Answering) => void) {
    this.call = call;
    this.#answer = answer;
    call.receiver = this;
  }

  onRequestBytes(bytes: Uint8Array, start: number, end: number): void {
    this.request = Buffer.concat([this.request, bytes.subarray(start, end)]);
    this.call.consume(end - start);
  }

  onRequestEnd(): void {
    this.told.push("end");
    this.#answer(this);
  }

  onAnswerSent(bytes: number): void {
    this.sentBytes += bytes;
  }

  onCancel(reason: string): void {
    this.told.push(`cancel ${reason}`);
  }
}

const calls: Answering[] = [];
function client(answer: (answering: Answering) => void): Client<typeof KV> {
  return createClient(
    KV,
    connectTransport((call) => {
      calls.push(new Answering(call, answer));
    }, SMALL_ANSWERS),
  );
}

function ok({ call }: Answering): void {
  const message = framed(toBinary(RangeResponseSchema, create(RangeResponseSchema, { count: 3n })));
  call.sendHead([...RESPONSE_HEAD, headerField("x-head", "h")]);
  call.sendMessageBytes(message, 0, message.length);
  call.finishWithTrailers([...statusTrailers({ code: Code.OK, message: "" }), headerField("x-tail", "t")]);
}

const key = new TextEncoder().encode("k");

/** The error that `promise` rejects with. */
async function failure(promise: Promise<unknown>): Promise<ConnectError> {
  return promise.then(
    () => {
      throw new Error("the call succeeded");
    },
    (error: unknown) => ConnectError.from(error),
  );
}

describe("a typed call", () => {
  test("arrives as the gRPC call that a client would have made", async () => {
    await client(ok).range({ key }, { headers: { token: "t.1" }, timeoutMs: 5000 });
    const { call, request } = calls.at(-1)!;
    expect([call.head.path, call.head.value("content-type")]).toEqual([
      "/etcdserverpb.KV/Range",
      "application/grpc+proto",
    ]);
    expect(call.head.value("token")).toBe("t.1");
    expect(call.head.timeoutMs).toBeLessThanOrEqual(5000);
    expect(fromBinary(RangeRequestSchema, request.subarray(5)).key).toEqual(key);
  });

  test("brings message, metadata and trailers back", async () => {
    const seen: (string | null)[] = [];
    const { count } = await client(ok).range(
      { key },
      {
        onHeader: (headers) => seen.push(headers.get("x-head")),
        onTrailer: (trailers) => seen.push(trailers.get("x-tail")),
      },
    );
    expect([count, seen]).toEqual([3n, ["h", "t"]]);
  });

  test.each([
    ["before an answer", (): void => {}],
    ["behind the head", ({ call }: Answering): void => call.sendHead(RESPONSE_HEAD)],
  ])("that fails %s has the code and the text", async (_when, begin) => {
    const error = await failure(
      client((answering) => {
        begin(answering);
        answering.call.finishWithStatus({ code: Code.NOT_FOUND, message: "etcdserver: käse" });
      }).range({ key }),
    );
    expect([error.code, error.rawMessage]).toEqual([ConnectCode.NotFound, "etcdserver: käse"]);
  });

  test("whose caller aborts is cancelled", async () => {
    const abort = new AbortController();
    const pending = failure(client(() => abort.abort()).range({ key }, { signal: abort.signal }));
    expect((await pending).code).toBe(ConnectCode.Canceled);
    expect(calls.at(-1)!.told).toEqual(["end", "cancel cancelled by the caller"]);
  });

  test("whose caller has aborted already is never made", async () => {
    const before = calls.length;
    const error = await failure(client(ok).range({ key }, { signal: AbortSignal.abort() }));
    expect([error.code, calls.length]).toEqual([ConnectCode.Canceled, before]);
  });

  test("whose deadline passes is cancelled, and told so", async () => {
    const error = await failure(client(() => {}).range({ key }, { timeoutMs: 10 }));
    expect(error.code).toBe(ConnectCode.DeadlineExceeded);
    expect(calls.at(-1)!.told.at(-1)).toStartWith("cancel");
  });
});

describe("a streamed answer", () => {
  const message = framed(
    toBinary(SnapshotResponseSchema, create(SnapshotResponseSchema, { blob: new Uint8Array(100) })),
  );

  test("is credited as its reader moves on, and cancelled when its reader aborts", async () => {
    let answering: Answering | undefined;
    const maintenance = createClient(
      Maintenance,
      connectTransport((call) => {
        answering = new Answering(call, () => {
          call.sendHead(RESPONSE_HEAD);
          for (let i = 0; i < 3; i++) call.sendMessageBytes(message, 0, message.length);
        });
      }, SMALL_ANSWERS),
    );
    const abort = new AbortController();
    const reader = maintenance.snapshot({}, { signal: abort.signal })[Symbol.asyncIterator]();
    await reader.next();
    expect(answering!.sentBytes).toBeLessThan(3 * message.length);
    await reader.next();
    await reader.next();
    expect(answering!.sentBytes).toBeGreaterThanOrEqual(2 * message.length);
    abort.abort();
    await waitFor("the cancel", () => answering!.told.some((line) => line.startsWith("cancel")));
  });
});
