/** Forwarded calls that would go on for ever, when the proxy stops. */
import { describe, expect, test } from "bun:test";
import { Code, type Status } from "../../src/grpc/status.ts";
import { type EndlessForward, EndlessForwards, STOPPING } from "../../src/proxy/endless-calls.ts";
import { RecordedCall } from "../grpc/recorded-call.ts";

class OpenCall extends RecordedCall implements EndlessForward {
  dismiss(status: Status): void {
    this.finishWithStatus(status);
  }
}

function openCall(): OpenCall {
  return new OpenCall({ path: "/etcdserverpb.Watch/Watch" });
}

describe("endless calls that are forwarded", () => {
  test("are ended with the status", async () => {
    const forwards = new EndlessForwards();
    const call = openCall();
    forwards.add(call);
    for (const endless of forwards.dismissNew(STOPPING)) endless.dismiss(STOPPING);
    expect(await call.status).toEqual(STOPPING);
  });

  test("are ended as they come once the proxy stops", async () => {
    const forwards = new EndlessForwards();
    expect(forwards.dismissNew(STOPPING)).toEqual([]);
    const call = openCall();
    forwards.add(call);
    expect(await call.status).toEqual(STOPPING);
  });

  test("that are over are left alone, and forgotten", async () => {
    const forwards = new EndlessForwards();
    const live = openCall();
    forwards.add(live);
    for (let count = 0; count < 1_000; count++) {
      const call = openCall();
      forwards.add(call);
      call.finishWithStatus({ code: Code.OK, message: "" });
    }
    const left = forwards.dismissNew(STOPPING);
    expect(left.length).toBeLessThan(100);
    for (const endless of left) endless.dismiss(STOPPING);
    expect(await live.status).toEqual(STOPPING);
  });
});
