/** What a proxy knows of others: read once, kept by a watch, read again when that ends; etcd is a model. */
import { beforeEach, describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { type OwnKeyState, RegisteredProxies } from "../../../src/proxy/cluster/registered-proxies.ts";
import { registrationValue } from "../../../src/proxy/cluster/registration-value.ts";
import { RecordedLog } from "../../gateway/recorded-log.ts";
import { FakeClock } from "../../harness/fake-clock.ts";
import { ModelDirectory } from "./model-directory.ts";

const OWN_KEY = "proxies/own:1";
const WRONG = "a key under --resolver-prefix is no registration, left out";
const CANNOT = "the registered proxies cannot be watched";
const LOST = { kind: "failed", reason: "connection lost" } as const;

let clock: FakeClock;
let log: RecordedLog;
let etcd: ModelDirectory;
let proxies: RegisteredProxies;
/** What was told of the proxy's own key. */
let own: string[];

beforeEach(() => {
  clock = new FakeClock();
  log = new RecordedLog();
  etcd = new ModelDirectory();
  own = [];
  proxies = new RegisteredProxies({
    calls: etcd,
    prefix: "proxies",
    ownKey: OWN_KEY,
    onOwnKey: (state: OwnKeyState) => own.push(`${state.kind} at ${state.revision}`),
    onWentBack: () => own.push("went back"),
    clock,
    log,
    random: () => 0,
  });
});

/** What has been begun goes on until it waits for time, or for an answer. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function passes(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    clock.advance(50);
    await settled();
  }
}

async function started(): Promise<void> {
  proxies.start();
  await settled();
}

const value = (clientUrl: string, name = "vm"): string => registrationValue({ name, clientUrl });

function register(clientUrl: string): void {
  etcd.put(`proxies/${clientUrl}`, value(clientUrl));
}

const listed = (): string[] => proxies.list.map(({ clientUrl }) => clientUrl);

describe("the list", () => {
  test("is what is there at the start, in the order of the keys, and follows what changes", async () => {
    register("b:1");
    register("a:1");
    etcd.put("proxies", value("before:1"));
    etcd.put("proxies0", value("behind:1"));
    await started();
    expect(listed()).toEqual(["a:1", "b:1"]);
    expect([etcd.lists, etcd.starts]).toEqual([[true], [etcd.revision + 1n]]);
    register("aa:1");
    etcd.delete("proxies/b:1");
    etcd.delete("proxies/unknown:1");
    etcd.put("proxies/a:1", value("http://a:1", "other"));
    expect(proxies.list).toEqual([
      { name: "other", clientUrl: "http://a:1" },
      { name: "vm", clientUrl: "aa:1" },
    ]);
  });

  test("is the same object until something changes", async () => {
    register("a:1");
    await started();
    const before = proxies.list;
    expect(proxies.list).toBe(before);
    register("b:1");
    expect(proxies.list).not.toBe(before);
  });

  test("leaves out what is no registration, each told of once", async () => {
    etcd.put("proxies/wrong", "{");
    etcd.put("proxies/large", value("a:1", "n".repeat(4_096)));
    register("a:1");
    await started();
    etcd.put("proxies/wrong", "{");
    etcd.put("proxies/a:1", "no longer");
    expect(listed()).toEqual([]);
    expect(log.fieldsOf(WRONG)).toEqual([
      { key: "proxies/large", reason: "it is larger than 4096 bytes" },
      { key: "proxies/wrong", reason: "its value is none" },
      { key: "proxies/a:1", reason: "its value is none" },
    ]);
  });

  test("ends at a thousand, and takes another in when one of them goes", async () => {
    const url = (number: number): string => `${String(number).padStart(4, "0")}:1`;
    for (let number = 0; number < 999; number++) register(url(number));
    await started();
    for (let number = 999; number < 1_010; number++) register(url(number));
    expect(listed()).toHaveLength(1_000);
    expect(log.warnings()).toEqual(["more proxies are registered than are listed"]);
    etcd.delete(`proxies/${url(3)}`);
    expect(listed()).toHaveLength(999);
    await passes(1_000);
    expect(listed()).toHaveLength(1_000);
    expect(listed().at(-1)).toBe(url(1_000));
    expect(log.warnings()).toHaveLength(1);
  });
});

describe("a watch that ends", () => {
  test("is followed by another from the revision on at which all was read again", async () => {
    register("a:1");
    register("b:1");
    await started();
    etcd.endWatch(LOST);
    etcd.delete("proxies/a:1");
    register("c:1");
    expect(listed()).toEqual(["a:1", "b:1"]);
    await passes(500);
    expect(listed()).toEqual(["b:1", "c:1"]);
    expect(etcd.starts.at(-1)).toBe(etcd.revision + 1n);
    expect(log.lines.map(({ message }) => message)).toEqual([
      CANNOT,
      "the registered proxies are watched again",
    ]);
  });

  test("since another member is in use is opened there at once, without a word", async () => {
    await started();
    etcd.endWatch({ kind: "moved" });
    register("a:1");
    await passes(50);
    expect([listed(), etcd.starts.length, log.lines]).toEqual([["a:1"], 2, []]);
  });

  test("as soon as it is open is opened ever more seldom, and told of once a minute", async () => {
    await started();
    for (let passed = 0; passed < 120_000; passed += 50) {
      if (etcd.watched !== null) etcd.endWatch(LOST);
      await passes(50);
    }
    expect(etcd.starts.length).toBeWithin(15, 30);
    expect(log.fieldsOf(CANNOT).length).toBe(2);
  });

  test("after a while is opened as soon as at first", async () => {
    await started();
    for (let time = 0; time < 5; time++) {
      etcd.endWatch(LOST);
      await passes(250);
      expect(etcd.starts.length).toBe(time + 2);
      await passes(10_100);
    }
  });
});

describe("while the members have no leader", () => {
  const noLeader = (linearizable: boolean): void => {
    if (linearizable) throw new ConnectError("etcdserver: no leader", Code.Unavailable);
  };

  test("what a member has is taken at the start, and only then", async () => {
    register("a:1");
    etcd.beforeList = noLeader;
    await started();
    expect(listed()).toEqual(["a:1"]);
    await passes(2_000);
    expect(etcd.lists.slice(0, 3)).toEqual([true, false, true]);
    expect(etcd.lists.filter((linearizable) => !linearizable)).toHaveLength(1);
    expect(etcd.starts).toEqual([]);
    expect(log.fieldsOf(CANNOT)).toEqual([{ prefix: "proxies", reason: "etcdserver: no leader" }]);
    etcd.beforeList = () => {};
    register("b:1");
    await passes(10_000);
    expect(listed()).toEqual(["a:1", "b:1"]);
  });

  test("what is known already stays as it is", async () => {
    register("a:1");
    await started();
    etcd.endWatch(LOST);
    etcd.beforeList = noLeader;
    await passes(5_000);
    expect(listed()).toEqual(["a:1"]);
    expect(etcd.lists).not.toContain(false);
  });
});

test("a cluster that was restored to what it was is read as it is", async () => {
  register("a:1");
  await started();
  const restored = etcd.revision;
  register("b:1");
  etcd.endWatch(LOST);
  etcd.delete("proxies/b:1");
  etcd.revision = restored;
  await passes(500);
  expect([listed(), etcd.starts.at(-1)]).toEqual([["a:1"], restored + 1n]);
});

describe("the proxy's own key", () => {
  test("is told of anew when a cluster was restored to what it was before", async () => {
    register("own:1");
    await started();
    register("other:1");
    etcd.endWatch(LOST);
    etcd.revision = 2n;
    await passes(500);
    expect(own).toEqual(["written at 2", "went back", "written at 2"]);
    etcd.endWatch(LOST);
    await passes(2_000);
    expect(own.slice(3)).toEqual(["written at 2"]);
  });

  test("is told of when all was read, and when it changes", async () => {
    await started();
    register("own:1");
    register("other:1");
    etcd.endWatch({ kind: "moved" });
    await passes(50);
    etcd.put(OWN_KEY, "garbage");
    etcd.delete(OWN_KEY);
    expect(own).toEqual(["absent at 1", "written at 2", "written at 2", "written at 4", "absent at 5"]);
  });
});

describe("at the end", () => {
  test("nothing is open, and nothing is asked any more", async () => {
    await started();
    proxies.close();
    expect(etcd.watched).toBeNull();
    await passes(20_000);
    expect([etcd.lists.length, clock.timers]).toEqual([1, 0]);
  });

  test("what was asked before is of no effect", async () => {
    register("a:1");
    proxies.start();
    proxies.close();
    await settled();
    expect([listed(), etcd.watched, own]).toEqual([[], null, []]);
  });
});
