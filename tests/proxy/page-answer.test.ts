/** How a page goes to its reader over HTTP/2: whole, in pieces, and no further ahead than he reads. */
import { expect, test } from "bun:test";
import { type MakePage, type PageRequest, textPage } from "../../src/observe/page.ts";
import { answerPageOverHttp2 } from "../../src/proxy/port/page-answer.ts";
import { RecordedCall } from "../grpc/recorded-call.ts";
import { waitFor } from "../harness/wait-for.ts";

const LARGE_BYTES = 5_000_000;
const body = Uint8Array.from({ length: LARGE_BYTES }, (_, index) => index % 251);
const large: MakePage = () =>
  Promise.resolve({
    status: 200,
    contentType: "application/json",
    body,
    headers: { "content-disposition": "attachment" },
  });

const fields = ([head]: RecordedCall["heads"]): Record<string, string> =>
  Object.fromEntries(head!.map(({ name, value }) => [name, value]));

function ask(make: MakePage, method = "GET", takesAnswer = true): RecordedCall {
  const call = new RecordedCall({ path: "/page" });
  call.takesAnswer = takesAnswer;
  answerPageOverHttp2(() => make, call, { method, path: "/page", authority: "localhost" });
  return call;
}

test("a large page comes whole, behind its length and further fields", async () => {
  const call = ask(large);
  await call.status;
  expect(fields(call.heads)).toEqual({
    ":status": "200",
    "content-type": "application/json",
    "content-length": String(LARGE_BYTES),
    "content-disposition": "attachment",
  });
  expect(Buffer.compare(call.answerBytes, body)).toBe(0);
});

test("a reader who takes nothing has little queued, and gets all when he goes on", async () => {
  const call = ask(large, "GET", false);
  await waitFor("its beginning", () => call.answerBytes.length > 0);
  await Bun.sleep(0);
  expect(call.answerBytes.length).toBeLessThanOrEqual(256 * 1024);
  let taken = 0;
  while (!call.finished) {
    const queued = call.answerBytes.length - taken;
    expect(queued).toBeWithin(1, 256 * 1024 + 1);
    taken += queued;
    call.receiver.onAnswerSent(queued);
  }
  expect(Buffer.compare(call.answerBytes, body)).toBe(0);
});

test("HEAD has the head alone", async () => {
  const call = ask(large, "HEAD");
  await call.status;
  expect(fields(call.heads)["content-length"]).toBe(String(LARGE_BYTES));
  expect(call.answerBytes.length).toBe(0);
});

test("whoever makes a page is told that its reader has gone, or has it", async () => {
  const asked: PageRequest[] = [];
  const made = Promise.withResolvers<void>();
  const slow: MakePage = async (request) => {
    asked.push(request);
    await made.promise;
    return textPage(200, "made");
  };
  const gone = ask(slow);
  expect(asked[0]?.signal.aborted).toBe(false);
  gone.receiver.onCancel("gone");
  expect(asked[0]?.signal.aborted).toBe(true);
  const patient = ask(slow);
  made.resolve();
  await patient.status;
  expect(asked[1]?.signal.aborted).toBe(true);
  expect(new TextDecoder().decode(patient.answerBytes)).toBe("made");
});
