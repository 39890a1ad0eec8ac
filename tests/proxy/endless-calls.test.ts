/** Forwarded calls that would go on for ever, when the proxy stops. */
import { describe, expect, test } from "bun:test";
import { NO_RECEIVER } from "../../src/grpc/server-call.ts";
import { Code } from "../../src/grpc/status.ts";
import { EndlessForwards, STOPPING } from "../../src/proxy/endless-calls.ts";
import { RecordedCall } from "../grpc/recorded-call.ts";

/** A call whose receiver writes down that it was cancelled. */
function openCall(): { call: RecordedCall; cancelled: string[] } {
  const call = new RecordedCall({ path: "/etcdserverpb.Watch/Watch" });
  const cancelled: string[] = [];
  call.receiver = { ...NO_RECEIVER, onCancel: (reason) => cancelled.push(reason) };
  return { call, cancelled };
}

describe("endless calls that are forwarded", () => {
  test("end with the status, and their receivers hear of it", async () => {
    const forwards = new EndlessForwards();
    const { call, cancelled } = openCall();
    forwards.add(call);
    for (const endless of forwards.dismissNew(STOPPING)) endless.dismiss(STOPPING);
    expect(await call.status).toEqual(STOPPING);
    expect(cancelled).toEqual([STOPPING.message]);
  });

  test("are ended as they come once the proxy stops", async () => {
    const forwards = new EndlessForwards();
    expect(forwards.dismissNew(STOPPING)).toEqual([]);
    const { call } = openCall();
    forwards.add(call);
    expect(await call.status).toEqual(STOPPING);
  });

  test("that are over are left alone, and forgotten", async () => {
    const forwards = new EndlessForwards();
    const { call: live } = openCall();
    forwards.add(live);
    for (let count = 0; count < 1_000; count++) {
      const { call } = openCall();
      forwards.add(call);
      call.finishWithStatus({ code: Code.OK, message: "" });
    }
    const left = forwards.dismissNew(STOPPING);
    expect(left.length).toBeLessThan(100);
    for (const endless of left) endless.dismiss(STOPPING);
    expect(await live.status).toEqual(STOPPING);
  });
});
