/** Connect's universal handlers behind a call of ours: both directions, and who waits for whom. */
import { describe, expect, test } from "bun:test";
import type { UniversalHandlerFn, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { serveUniversal } from "../../src/grpc/universal-server.ts";
import { Code } from "../../src/grpc/status.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { STREAM_WINDOW_BYTES } from "../../src/http2/limits.ts";
import { waitFor } from "../harness/wait-for.ts";
import { RecordedCall } from "./recorded-call.ts";
import { framed } from "./stand-in-member.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const ONE = { messages: "one", messageBytesMax: 1 << 20 } as const;

function serve(handler: UniversalHandlerFn): RecordedCall {
  const call = new RecordedCall({ path: "/a.B/C", fields: [headerField("x-in", "1")] });
  serveUniversal(call, "POST", handler, ONE);
  return call;
}

async function* pieces(...all: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

describe("a handler", () => {
  test("gets the request as it is", async () => {
    let seen = "";
    const call = serve(async (request) => {
      for await (const piece of request.body as AsyncIterable<Uint8Array>)
        seen += new TextDecoder().decode(piece);
      seen += ` ${request.method} ${new URL(request.url).pathname} ${request.header.get("x-in")}`;
      return { status: 200 };
    });
    call.receiver.onRequestBytes(bytes("xxpart onexx"), 2, 10);
    call.receiver.onRequestBytes(bytes(", two"), 0, 5);
    call.receiver.onRequestEnd();
    await call.status;
    expect(seen).toBe("part one, two POST /a.B/C 1");
    expect(call.consumedBytes).toBe(13);
  });

  test("answers with head, body and trailers", async () => {
    const response: UniversalServerResponse = {
      status: 200,
      header: new Headers({ "content-type": "application/grpc", connection: "close" }),
      body: pieces(bytes("ab"), bytes("c")),
      trailer: new Headers({ "grpc-status": "5", "grpc-message": "gone" }),
    };
    const call = serve(() => Promise.resolve(response));
    expect(await call.status).toEqual({ code: Code.NOT_FOUND, message: "gone" });
    expect(new TextDecoder().decode(call.answerBytes)).toBe("abc");
    expect(call.heads).toEqual([
      [headerField(":status", "200"), headerField("content-type", "application/grpc")],
    ]);
  });

  test("tells a message in the encoding that members use, in which a colon is one", async () => {
    const trailer = new Headers({
      "grpc-status": "7",
      "grpc-message": "etcdserver%3A%20100%25%20den%C3%AFed",
    });
    const call = serve(() => Promise.resolve({ status: 200, body: pieces(), trailer }));
    await call.status;
    expect(call.trailers).toContainEqual(headerField("grpc-message", "etcdserver: 100%25 den%C3%AFed"));
  });

  test("that throws ends the call INTERNAL", async () => {
    const call = serve(() => Promise.reject(new Error("broken")));
    expect(await call.status).toEqual({ code: Code.INTERNAL, message: "etcdproxy: broken" });
  });

  test("that throws in its answer's body ends the call INTERNAL", async () => {
    const call = serve(() =>
      Promise.resolve({
        status: 200,
        body: (async function* () {
          yield bytes("a");
          throw new Error("broken");
        })(),
      }),
    );
    expect((await call.status).code).toBe(Code.INTERNAL);
  });

  test("hears of the client's cancel", async () => {
    const call = serve(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw signal.reason;
    });
    call.receiver.onCancel("client went away");
    expect((await call.status).message).toBe("etcdproxy: client went away");
  });
});

test("an answer is not read further ahead of a client that does not read than a stream window", async () => {
  let produced = 0;
  let over = false;
  const call = new RecordedCall({ path: "/a.B/C" });
  call.takesAnswer = false;
  const handler: UniversalHandlerFn = () =>
    Promise.resolve({
      status: 200,
      body: (async function* () {
        for (; produced < 100; produced++) yield new Uint8Array(16_384);
        over = true;
      })(),
    });
  serveUniversal(call, "POST", handler, ONE);
  await waitFor("a window's worth", () => call.answerBytes.length >= STREAM_WINDOW_BYTES);
  expect([produced, over]).toEqual([STREAM_WINDOW_BYTES / 16_384 - 1, false]);
  call.takesAnswer = true;
  call.receiver.onAnswerSent(call.answerBytes.length);
  await call.status;
  expect([call.answerBytes.length, over]).toEqual([100 * 16_384, true]);
});

describe("what a handler may hold counts as retained", () => {
  /** A handler that reads all, noting what has come. */
  function reader(seen: string[]): UniversalHandlerFn {
    return async (request) => {
      for await (const piece of request.body as AsyncIterable<Uint8Array>)
        seen.push(new TextDecoder().decode(piece));
      return { status: 200 };
    };
  }

  test("a message that is not whole is credited and counted, and handed on once it is", async () => {
    const seen: string[] = [];
    const call = new RecordedCall({ path: "/a.B/C" });
    serveUniversal(call, "POST", reader(seen), { messages: "many", messageBytesMax: 1000 });
    const message = framed("twelve bytes");
    const resting = call.retainedBytes;
    call.receiver.onRequestBytes(message, 0, 10);
    expect([call.consumedBytes, call.retainedBytes - resting]).toEqual([10, 10]);
    call.receiver.onRequestBytes(message, 10, message.length);
    call.receiver.onRequestEnd();
    await call.status;
    expect(seen).toEqual([new TextDecoder().decode(message)]);
    expect([call.consumedBytes, call.retainedBytes - resting]).toEqual([message.length, 0]);
  });

  test("what is longer than a message may be is handed on by its prefix, for the handler to refuse", async () => {
    const seen: string[] = [];
    const call = new RecordedCall({ path: "/a.B/C" });
    serveUniversal(call, "POST", reader(seen), { messages: "many", messageBytesMax: 10 });
    call.receiver.onRequestBytes(framed("twelve bytes"), 0, 6);
    await waitFor("the handler to read", () => seen.length === 1);
    call.receiver.onRequestEnd();
    await call.status;
  });

  test("a lone message is held until the call is over", async () => {
    const seen: string[] = [];
    const call = new RecordedCall({ path: "/a.B/C" });
    serveUniversal(call, "POST", reader(seen), ONE);
    const resting = call.retainedBytes;
    const message = framed("twelve bytes");
    call.request(message);
    await call.status;
    expect(call.retainedBytes - resting).toBeGreaterThanOrEqual(message.length);
  });
});
