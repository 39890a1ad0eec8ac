/** Shared reads over a real channel: what goes over the wire, and that no more credit is given than bytes have come. */
import { describe, expect, test } from "bun:test";
import { REAL_CLOCK } from "../../../src/grpc/real-clock.ts";
import { RESPONSE_HEAD, statusTrailers } from "../../../src/grpc/status.ts";
import { headerField } from "../../../src/hpack/header-field.ts";
import { BufferBudget } from "../../../src/http2/buffer-budget.ts";
import { KvHub } from "../../../src/proxy/kv/kv-hub.ts";
import type { ReadLimits } from "../../../src/proxy/kv/read-limits.ts";
import { Forwarding } from "../../grpc/forwarding.ts";
import { framed, type StandInCall, StandInMember } from "../../grpc/stand-in-member.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { CACHE, FORWARD_LIMITS, RANGE, rangeAnswer, rangeRequest } from "./kv-scene.ts";
import { ReadClient, type ReadClientOptions } from "./read-client.ts";

/** Far above the window of a stream, so that it comes to an end only if credit is given. */
const LARGE = rangeAnswer(5, "v".repeat(6_000_000));
const OK = statusTrailers({ code: 0, message: "" });

class WireScene implements Disposable {
  readonly budget = new BufferBudget(Number.POSITIVE_INFINITY);
  readonly forwarding: Forwarding;
  readonly hub: KvHub;

  constructor(members: readonly StandInMember[], limits: Partial<ReadLimits> = {}) {
    this.forwarding = new Forwarding(members, { budget: this.budget });
    this.hub = new KvHub({
      channel: this.forwarding.channel,
      clock: REAL_CLOCK,
      forwardLimits: FORWARD_LIMITS,
      cache: { ...CACHE, bytesMax: 64_000_000 },
      coalescing: true,
      limits,
      budget: this.budget,
    });
  }

  range(key: string, options: Omit<ReadClientOptions, "path"> = {}): ReadClient {
    const client = new ReadClient({ path: RANGE, ...options });
    this.hub.serveRange(client);
    client.request(rangeRequest(key));
    return client;
  }

  [Symbol.dispose](): void {
    this.forwarding[Symbol.dispose]();
  }
}

function answerWith(call: StandInCall, message: Uint8Array): void {
  call.stream.sendHeaders(RESPONSE_HEAD, false);
  call.sendBytes(framed(message));
  call.stream.sendTrailers(OK);
}

const done = (client: ReadClient): Promise<true> =>
  waitFor("the answer", () => (client.done ? true : undefined));

const hasAll = ({ payload, status, violations }: ReadClient): boolean =>
  status?.code === 0 && violations.length === 0 && Buffer.from(LARGE).equals(payload);

describe("on the wire", () => {
  test("a shared read carries its caller's credential, and nothing else of his", async () => {
    using member = new StandInMember();
    using scene = new WireScene([member]);
    // A member refuses a call whose -bin field is no base64: that is for nobody else to hear.
    const fields = [
      headerField("grpc-timeout", "5S"),
      headerField("grpc-accept-encoding", "gzip"),
      headerField("a-bin", "!"),
      headerField("content-type", "application/grpc+odd"),
    ];
    const clients = [scene.range("k", { token: "ann", fields }), scene.range("k", { token: "ann" })];
    const call = await member.call(0);
    expect(call.field("token")).toBe("ann");
    for (const name of ["grpc-timeout", "grpc-accept-encoding", "a-bin"])
      expect(call.field(name)).toBeUndefined();
    expect(call.field("content-type")).toBe("application/grpc");
    answerWith(call, rangeAnswer(5));
    for (const client of clients) await done(client);
    expect(clients.map(({ status }) => status?.code)).toEqual([0, 0]);
    expect(member.calls).toHaveLength(1);
  });

  test("a read is made at another member when the connection is lost", async () => {
    using first = new StandInMember();
    using second = new StandInMember();
    using scene = new WireScene([first, second]);
    const clients = [scene.range("k"), scene.range("k")];
    await first.call(0);
    clients.push(scene.range("k"));
    first.down();
    answerWith(await second.call(0), rangeAnswer(5));
    for (const client of clients) await done(client);
    expect(clients.map(({ status }) => status?.code)).toEqual([0, 0, 0]);
    expect(second.calls).toHaveLength(1);
  });

  test("a large answer comes whole to a single caller, and all credit is accounted for", async () => {
    using member = new StandInMember({ answer: (call) => answerWith(call, LARGE) });
    using scene = new WireScene([member], { sharedAnswerBytesMax: 1_000_000 });
    const client = scene.range("k");
    await done(client);
    expect(hasAll(client)).toBe(true);
    expect(scene.budget.heldBytes).toBe(0);
  });

  test("a large answer comes whole to several, one after another, the first of whom is slow", async () => {
    using member = new StandInMember({ answer: (call) => answerWith(call, LARGE) });
    using scene = new WireScene([member], { sharedAnswerBytesMax: 1_000_000, hangMs: 100 });
    const slow = scene.range("k", { windowBytes: 100_000 });
    const others = [scene.range("k"), scene.range("k")];
    for (const client of others) await done(client);
    expect(others.map(hasAll)).toEqual([true, true]);
    await waitFor("the slow caller to have all", () => {
      slow.take(300_000);
      return slow.done;
    });
    expect(hasAll(slow)).toBe(true);
    expect(scene.budget.heldBytes).toBe(0);
    expect(member.calls).toHaveLength(3);
  });

  test("a large answer that is shared is gathered, and comes whole to each as he takes it", async () => {
    using member = new StandInMember({ answer: (call) => answerWith(call, LARGE) });
    using scene = new WireScene([member], { sharedAnswerBytesMax: 10_000_000 });
    const slow = scene.range("k", { windowBytes: 0 });
    const fast = scene.range("k");
    await done(fast);
    expect(hasAll(fast)).toBe(true);
    expect(scene.budget.heldBytes).toBeGreaterThanOrEqual(LARGE.length);
    while (!slow.done) slow.take(500_000);
    expect(hasAll(slow)).toBe(true);
    expect(scene.budget.heldBytes).toBe(0);
    expect(member.calls).toHaveLength(1);
  });
});
