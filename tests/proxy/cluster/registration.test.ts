/** How a proxy keeps its registration, whatever becomes of its lease and of its key; etcd is a model. */
import { beforeEach, describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { LeaseSlot } from "../../../src/proxy/cluster/lease-slot.ts";
import { Registration } from "../../../src/proxy/cluster/registration.ts";
import { registrationValue } from "../../../src/proxy/cluster/registration-value.ts";
import { RecordedLog } from "../../gateway/recorded-log.ts";
import { FakeClock } from "../../harness/fake-clock.ts";
import { ModelLeasedKey } from "./model-leased-key.ts";

const proxy = { name: "vm", clientUrl: "127.0.0.1:23790" };
const KEY = "proxies/127.0.0.1:23790";
const VALUE = registrationValue(proxy);
const LOST = "the registration is lost, and is made again";
const unreachable = (): never => {
  throw new ConnectError("no member", Code.Unavailable);
};
const denied = (): never => {
  throw new ConnectError("etcdserver: permission denied", Code.PermissionDenied);
};

let clock: FakeClock;
let log: RecordedLog;
let etcd: ModelLeasedKey;
let lease: LeaseSlot;
let registration: Registration;

beforeEach(() => {
  clock = new FakeClock();
  log = new RecordedLog();
  etcd = new ModelLeasedKey();
  lease = new LeaseSlot();
  registration = another();
});

/** A registration as the first one, of this process or of a successor. */
function another(): Registration {
  const made = new Registration({
    calls: etcd,
    prefix: "proxies",
    ttlSeconds: 6,
    proxy,
    lease,
    clock,
    log,
    random: () => 0,
  });
  etcd.onChange = (state) => made.onOwnKey(state);
  return made;
}

/** What has been begun goes on until it waits for time, or for an answer. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Time passes in small steps, so that each thing is done when it is due. */
async function passes(ms: number, stepMs = 50): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs);
    await settled();
  }
}

async function registered(): Promise<void> {
  registration.start();
  await passes(50);
  expect(registration.registered).toBe(true);
}

/** The key is ours, under the one lease that there is. */
function expectWhole(): void {
  expect([...etcd.leases]).toEqual([lease.id]);
  expect(etcd.keyValue?.lease).toBe(lease.id);
  expect(Buffer.from(etcd.keyValue!.value).toString()).toBe(VALUE);
  expect(registration.registered).toBe(true);
}

describe("a registration", () => {
  test("is a lease and a key, and the log says so", async () => {
    await registered();
    expect(etcd.asked).toEqual(["grant", "put"]);
    expectWhole();
    expect(log.lines).toEqual([
      {
        level: "info",
        message: "registered",
        fields: { key: KEY, lease: lease.id.toString(16), ttl: "6s" },
      },
    ]);
  });

  test("is kept by a heartbeat every third of its lease's time", async () => {
    await registered();
    await passes(60_000);
    expect(etcd.count("keepAlive")).toBeWithin(29, 31);
    expect(etcd.asked.filter((call) => call !== "keepAlive")).toEqual(["grant", "put"]);
    expect(clock.timers).toBe(1);
  });

  test("goes by the time that etcd gives its lease, not by what was asked for", async () => {
    etcd.ttlSeconds = 60;
    await registered();
    await passes(19_000);
    expect(etcd.count("keepAlive")).toBe(0);
    await passes(2_000);
    expect(etcd.count("keepAlive")).toBe(1);
  });

  test("of a lease of centuries has heartbeats all the same", async () => {
    etcd.ttlSeconds = 9_000_000_000;
    await registered();
    await passes(1_200_000, 10_000);
    expect(etcd.count("keepAlive")).toBe(2);
  });
});

describe("a registration that is lost", () => {
  test("with its lease is made anew under another one, as soon as that is known", async () => {
    await registered();
    const first = lease.id;
    etcd.endLease(first);
    await passes(500);
    expect(lease.id).not.toBe(first);
    expectWhole();
    expect(registration.renewals).toBe(1);
    expect(log.fieldsOf(LOST)).toEqual([{ key: KEY, reason: "its key was deleted" }]);
  });

  test("with its lease is made anew at the next heartbeat, where nobody tells of the key", async () => {
    await registered();
    etcd.onChange = () => {};
    etcd.endLease(lease.id);
    await passes(3_000);
    expectWhole();
    expect(registration.renewals).toBe(1);
    expect(log.fieldsOf(LOST)).toEqual([{ key: KEY, reason: "its lease has ended" }]);
  });

  test("with its key alone is written again under the same lease", async () => {
    await registered();
    const first = lease.id;
    etcd.deleteKey();
    await passes(500);
    expect(lease.id).toBe(first);
    expect(etcd.count("grant")).toBe(1);
    expectWhole();
  });

  test.each([
    ["something else", "garbage", 0n],
    ["another address", registrationValue({ name: "vm", clientUrl: "127.0.0.1:1" }), 7n],
    ["the same without a lease, which would stay for ever", VALUE, 0n],
  ])("since it was overwritten by %s is written again", async (_, value, other) => {
    await registered();
    etcd.write(value, other);
    await passes(500);
    expectWhole();
    expect(log.fieldsOf(LOST)).toEqual([{ key: KEY, reason: "its key was overwritten" }]);
  });

  test("again and again is made again ever more seldom, and as soon as at first once it has stood", async () => {
    await registered();
    let lastMs = clock.nowMs();
    const pauses: number[] = [];
    for (let time = 0; time < 8; time++) {
      const before = etcd.count("put");
      etcd.endLease(lease.id);
      while (etcd.count("put") === before) await passes(50);
      pauses.push(clock.nowMs() - lastMs);
      lastMs = clock.nowMs();
    }
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    expectWhole();
    await passes(3_000);
    const before = etcd.count("put");
    etcd.deleteKey();
    await passes(250);
    expect(etcd.count("put")).toBe(before + 1);
  });

  test("is told of once a minute", async () => {
    await registered();
    for (let time = 0; time < 20; time++) {
      etcd.deleteKey();
      await passes(1_000);
    }
    expect(log.warnings()).toEqual([LOST]);
    await passes(60_000);
    etcd.deleteKey();
    expect(log.warnings()).toEqual([LOST, LOST]);
  });

  test("while it is being written is noticed when that has been answered", async () => {
    registration.start();
    etcd.after = (call) => {
      // The watch tells of it before the answer comes.
      if (call === "put" && etcd.count("put") === 1) etcd.deleteKey();
    };
    await passes(1_000);
    expect(etcd.count("put")).toBe(2);
    expectWhole();
  });
});

describe("what is told of the key", () => {
  test("and is older than its last writing says nothing", async () => {
    await registered();
    registration.onOwnKey({ kind: "absent", revision: etcd.revision - 1n });
    registration.onOwnKey({ kind: "written", revision: etcd.revision, keyValue: etcd.keyValue! });
    await passes(1_000);
    expect([registration.registered, etcd.count("put")]).toEqual([true, 1]);
  });

  test("after the cluster was restored counts, whatever its revision", async () => {
    await registered();
    etcd.onChange = () => {};
    etcd.endLease(lease.id);
    etcd.revision = 0n;
    registration.onWentBack();
    registration.onOwnKey({ kind: "absent", revision: 1n });
    await passes(500);
    expectWhole();
    expect(log.fieldsOf(LOST)).toEqual([{ key: KEY, reason: "its key was deleted" }]);
  });

  test("before the proxy is registered hurries nothing", async () => {
    registration.onOwnKey({ kind: "absent", revision: 9n });
    await passes(1_000);
    expect(etcd.asked).toEqual([]);
  });
});

describe("another proxy with the same address", () => {
  const others = registrationValue({ ...proxy, name: "other" });
  const OTHER_LEASE = 7n;

  test("is left alone while it is there, and followed when it goes", async () => {
    await registered();
    etcd.leases.add(OTHER_LEASE);
    etcd.write(others, OTHER_LEASE);
    await passes(60_000);
    expect([registration.registered, etcd.count("put")]).toEqual([true, 1]);
    expect(log.warnings()).toEqual(["another proxy has registered this address, and is left alone"]);
    expect(etcd.leases).toContain(lease.id);
    etcd.endLease(OTHER_LEASE);
    await passes(500);
    expectWhole();
  });

  test("keeps its registration when this one leaves", async () => {
    await registered();
    etcd.leases.add(OTHER_LEASE);
    etcd.write(others, OTHER_LEASE);
    await registration.leave();
    expect([...etcd.leases]).toEqual([OTHER_LEASE]);
    expect(etcd.keyValue?.lease).toBe(OTHER_LEASE);
  });
});

describe("while no member can be reached", () => {
  test("registering is tried with pauses that grow, told of once a minute, and done when one can", async () => {
    etcd.before = unreachable;
    registration.start();
    await passes(60_000);
    expect(etcd.count("grant")).toBeWithin(20, 40);
    expect(log.lines).toEqual([
      {
        level: "warn",
        message: "this proxy cannot be registered",
        fields: { key: KEY, reason: "no member" },
      },
    ]);
    etcd.before = () => {};
    await passes(5_000);
    expectWhole();
  });

  test("heartbeats go on, and the registration with them", async () => {
    await registered();
    etcd.before = unreachable;
    await passes(5_000);
    expect(etcd.count("keepAlive")).toBeWithin(3, 10);
    expect(log.warnings()).toEqual(["the registration's lease cannot be kept"]);
    etcd.before = () => {};
    await passes(5_000);
    expect([etcd.count("grant"), etcd.count("put"), registration.renewals]).toEqual([1, 1, 0]);
    expectWhole();
  });

  test("for longer than the lease lasts nobody takes the proxy for registered", async () => {
    await registered();
    etcd.before = unreachable;
    await passes(5_900);
    expect(registration.registered).toBe(true);
    await passes(2_200);
    expect(registration.registered).toBe(false);
    expect(log.warnings()).toEqual(["the registration's lease cannot be kept"]);
    // A new leader gives all leases their whole time again.
    etcd.before = () => {};
    await passes(6_000);
    expect([etcd.count("grant"), etcd.count("put"), registration.renewals]).toEqual([1, 1, 0]);
    expectWhole();
  });

  test("and answers are lost, there is never a second lease", async () => {
    const lost = new Set<string>();
    etcd.after = (call) => {
      if (lost.has(call)) return;
      lost.add(call);
      unreachable();
    };
    registration.start();
    await passes(5_000);
    expect([etcd.count("grant"), etcd.count("put")]).toEqual([2, 2]);
    expectWhole();
  });
});

test("whom etcd refuses tries again every half minute at least, and tells why", async () => {
  etcd.before = (call) => (call === "put" ? denied() : undefined);
  registration.start();
  await passes(300_000, 500);
  expect(etcd.count("put")).toBeWithin(14, 30);
  expect(etcd.leases.size).toBe(1);
  expect(log.fieldsOf("this proxy cannot be registered")[0]).toEqual({
    key: KEY,
    reason: "etcdserver: permission denied",
  });
  etcd.before = () => {};
  await passes(30_000, 500);
  expectWhole();
  // A lease that has waited for so long may be at its end.
  expect(etcd.asked.at(etcd.asked.lastIndexOf("put") - 1)).toBe("keepAlive");
});

describe("at the end", () => {
  test("the lease is revoked, the key with it, and nothing is done any more", async () => {
    await registered();
    await registration.leave();
    await registration.leave();
    await passes(60_000);
    expect([etcd.keyValue, etcd.leases.size, lease.id, registration.registered]).toEqual([
      null,
      0,
      0n,
      false,
    ]);
    expect(etcd.asked).toEqual(["grant", "put", "revoke"]);
    expect(clock.timers).toBe(0);
    expect(log.fieldsOf("no longer registered")).toEqual([{ key: KEY }]);
  });

  test("what is under way is waited for: it could make the lease after it was revoked", async () => {
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    etcd.before = (call) => (call === "grant" ? answered : undefined);
    registration.start();
    await passes(50);
    const left = registration.leave();
    await settled();
    expect(etcd.asked).toEqual(["grant"]);
    answer();
    await left;
    expect(etcd.leases.size).toBe(0);
    expect(etcd.asked.at(-1)).toBe("revoke");
  });

  test("an etcd that does not answer is waited for a second, and the log says what stays", async () => {
    await registered();
    etcd.before = () => new Promise(() => {});
    let left = false;
    void registration.leave().then(() => (left = true));
    await passes(950);
    expect(left).toBe(false);
    await passes(50);
    expect(left).toBe(true);
    expect(log.fieldsOf("the registration stays until its lease ends")).toEqual([
      { key: KEY, reason: "etcd does not answer" },
    ]);
  });

  test("a lease that is gone already is no trouble, and neither is none", async () => {
    await registered();
    etcd.onChange = () => {};
    etcd.endLease(lease.id);
    await registration.leave();
    expect(log.warnings()).toEqual([]);
    const never = another();
    await never.leave();
    expect(etcd.count("revoke")).toBe(1);
  });
});

describe("who takes over from a worker that has died", () => {
  test("goes on with its lease, once that has had a heartbeat", async () => {
    await registered();
    const first = lease.id;
    registration = another();
    await registered();
    expect(lease.id).toBe(first);
    expect(etcd.asked).toEqual(["grant", "put", "grant", "keepAlive", "put"]);
    expectWhole();
  });

  test("takes another one when that has ended meanwhile", async () => {
    await registered();
    etcd.onChange = () => {};
    etcd.endLease(lease.id);
    registration = another();
    await registered();
    expectWhole();
  });
});
