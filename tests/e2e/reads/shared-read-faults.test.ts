/**
 * Shared reads while something is wrong: a member that hangs or is lost, an answer too large to be kept, callers
 * who never read. Nobody waits for another one's misfortune.
 */
import { describe, expect, test } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { RawClient } from "../../faults/raw-client.ts";
import { startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { statusOf } from "../../harness/grpc-client.ts";
import { TcpRelay } from "../../harness/tcp-relay.ts";
import { waitFor, withDeadline } from "../../harness/wait-for.ts";
import {
  keyBytes,
  LINEARIZABLE,
  prefixOf,
  rangeRequest,
  ReadClient,
  SERIALIZABLE,
  underWay,
} from "./read-client.ts";
import { useReads } from "./reads-fixture.ts";

const fixture = useReads();

const DEADLINE_EXCEEDED = 4;
const KIB = 1024;
/** A read that has had no answer for so long holds up nobody. */
const HANG_MS = 2000;
/** What a busy machine may add to it. */
const SLACK_MS = 1500;

describe("a read that hangs", () => {
  test("holds up those who wait for 2 s, no longer, and its own caller is answered when it comes back", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const clients = await proxied.connectMany(4);
    await fixture.direct.put("hang", "old");
    gate.hold("answer", (call) => call.mentions("hang") && gate.of("hang").length === 1);
    const first = underWay(clients[0]!.get("hang"));
    const held = await gate.arrived("hang", 1);
    await held.ran;
    await fixture.direct.put("hang", "new");
    const others = underWay(Promise.all(clients.map((client) => client.get("hang"))));
    await Promise.all(clients.map((client) => client.barrier()));
    expect(gate.of("hang")).toHaveLength(1);
    expect(await others).toEqual(["new", "new", "new", "new"]);
    const afterMs = gate.of("hang")[1]!.arrivedAtMs - held.arrivedAtMs;
    expect(afterMs).toBeGreaterThan(HANG_MS - 500);
    expect(afterMs).toBeLessThan(HANG_MS + SLACK_MS);
    // The ones who come later share among themselves again.
    expect(await clients[0]!.get("hang")).toBe("new");
    gate.pass();
    expect(["old", "new"]).toContain((await first)!);
    expect(gate.of("hang").length).toBeLessThanOrEqual(4);
  });

  test("when all callers have left it is given up after 2 s, and then the next is sent", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const client = proxied.connect();
    await fixture.direct.put("left", "1");
    gate.hold("arrival", (call) => call.mentions("left") && gate.of("left").length === 1);
    const read = client.open({ key: "left" });
    const held = await gate.arrived("left", 1);
    read.cancel();
    await read.status;
    const next = underWay(client.get("left"));
    await client.barrier();
    expect(gate.of("left")).toHaveLength(1);
    expect(await next).toBe("1");
    const [, second] = gate.of("left");
    expect(second!.arrivedAtMs - held.arrivedAtMs).toBeLessThan(HANG_MS + SLACK_MS);
    await waitFor("the hanging read to be given up", () => held.cancelled);
    expect(gate.inFlight("left")).toBe(0);
  });

  test("among waves of callers who leave, never has more than one beside it that is younger than 2 s", async () => {
    await using proxied = await fixture.gated();
    const { gate } = proxied;
    const client = proxied.connect();
    gate.hold("arrival", (call) => call.mentions("wave"));
    const begun = performance.now();
    while (performance.now() - begun < HANG_MS * 1.25) {
      const read = client.open({ key: "wave" });
      await client.barrier();
      read.cancel();
      await read.status;
    }
    // One at first, one more when that was given up.
    expect(gate.of("wave").length).toBeLessThanOrEqual(3);
    expect(gate.inFlight("wave")).toBeLessThanOrEqual(2);
    gate.pass();
    await waitFor("nothing in flight", () => gate.inFlight("wave") === 0);
  });
});

describe("a member that is a black hole", () => {
  test("callers with a deadline are told in time, and once bytes pass again reads are answered", async () => {
    using relay = new TcpRelay(fixture.cluster.member(0).endpoint);
    await using proxy = await startGrpcProxy([relay.endpoint]);
    using client = new ReadClient(proxy.address);
    await fixture.direct.put("hole", "1");
    expect(await client.get("hole")).toBe("1");
    relay.stall();
    const begun = performance.now();
    const calls = [LINEARIZABLE, LINEARIZABLE, { limit: 1n }].map((options) =>
      statusOf(client.get("hole", options, { timeoutMs: 700 })),
    );
    for (const call of calls) expect((await call).code).toBe(DEADLINE_EXCEEDED);
    expect(performance.now() - begun).toBeLessThan(2500);
    relay.pass();
    expect(await withDeadline(client.get("hole"), () => "an answer after the stall", 15_000)).toBe("1");
  });
});

describe("a member that is lost while a read is in flight", () => {
  test("all callers, those who wait too, get the answer from another", async () => {
    await using proxied = await fixture.gated([], 2);
    const clients = await proxied.connectMany(4);
    await fixture.direct.put("moved", "1");
    const gate = proxied.gates.find(({ calls }) => calls.length > 0)!;
    const other = proxied.gates.find((candidate) => candidate !== gate)!;
    gate.hold("arrival", (call) => call.mentions("moved"));
    const first = underWay(clients[0]!.get("moved"));
    await gate.arrived("moved", 1);
    const others = underWay(
      Promise.all(clients.flatMap((client) => [client.get("moved"), client.get("moved")])),
    );
    await Promise.all(clients.map((client) => client.barrier()));
    expect(gate.of("moved")).toHaveLength(1);
    gate.kill();
    expect(new Set([await first, ...(await others)])).toEqual(new Set(["1"]));
    // The lost one again, and one for those who waited.
    expect(other.of("moved").length).toBeLessThanOrEqual(2);
  });

  test("with a real cluster: of many who read all the time nobody sees an error but of the election", async () => {
    await using cluster = await startEtcdCluster({ members: 3 });
    await using proxy = await startGrpcProxy(cluster.endpoints);
    using client = new ReadClient(proxy.address);
    await client.put("killed", "1");
    const connected = proxy.log.filter(({ msg }) => msg === "connected to a member").at(-1);
    const member = cluster.members.find(({ endpoint }) => endpoint === connected?.["endpoint"])!;
    let killed = false;
    const failures: string[] = [];
    let reads = 0;
    const reader = async (): Promise<void> => {
      for (let afterKill = 0; afterKill < 5;) {
        try {
          expect(await client.get("killed", {}, { timeoutMs: 20_000 })).toBe("1");
          if (killed) afterKill++;
        } catch (error) {
          failures.push((error as Error).message);
        }
        reads++;
      }
    };
    const readers = underWay(Promise.all(Array.from({ length: 30 }, reader)));
    await waitFor("reads", () => reads > 100);
    await member.kill();
    killed = true;
    await readers;
    // While there is no leader etcd itself may say so; what a lost connection does to a read nobody sees.
    const others = failures.filter(
      (text) => !/etcdserver: (leader changed|no leader|request timed out)/.test(text),
    );
    expect(others).toEqual([]);
  });
});

describe("an answer of 6 MiB", () => {
  const PAIRS = 60;
  const VALUE_BYTES = 100 * KIB;

  async function filled(prefix: string): Promise<void> {
    for (let index = 0; index < PAIRS; index++) {
      await fixture.direct.put(`${prefix}${index}`, String(index).padEnd(VALUE_BYTES, "."));
    }
  }

  for (const [kind, options] of [
    ["linearizable", LINEARIZABLE],
    ["serializable", SERIALIZABLE],
  ] as const) {
    test(`is right for 10 who ask at once, though one never reads: ${kind}`, async () => {
      await using proxied = await fixture.proxied();
      const prefix = `large-${kind}/`;
      await filled(prefix);
      using deaf = await RawClient.connect(proxied.proxy.address, { windowBytes: 65_535 });
      const unread = deaf.call(KV.method.range, rangeRequest(prefixOf(prefix), options), () => false);
      unread.halfClose();
      await unread.begun;
      const clients = await proxied.connectMany(9);
      const calls = clients.map((client) => underWay(client.range(prefixOf(prefix), options)));
      const answers = await withDeadline(Promise.all(calls), () => "nine answers of 6 MiB", 40_000);
      for (const { kvs, count } of answers) {
        expect(count).toBe(BigInt(PAIRS));
        const wrong = kvs.filter(
          ({ key, value }) =>
            value.length !== VALUE_BYTES ||
            !Buffer.from(value)
              .toString()
              .startsWith(`${Buffer.from(key).toString().split("/")[1]}.`),
        );
        expect(wrong).toHaveLength(0);
      }
      expect(unread.receivedBytes).toBeLessThanOrEqual(65_535);
      // And a small read of the same keys is not held up.
      expect(await clients[0]!.get(`${prefix}7`)).toStartWith("7.");
    }, 90_000);
  }

  test("for one who gives up in the middle of it, the others are answered", async () => {
    await using proxied = await fixture.proxied();
    await filled("quitting/");
    using quitting = await RawClient.connect(proxied.proxy.address, { windowBytes: 65_535 });
    const begun = quitting.call(KV.method.range, rangeRequest(prefixOf("quitting/")), () => false);
    begun.halfClose();
    await begun.begun;
    const client = proxied.connect();
    const others = underWay(Promise.all([1, 2, 3].map(() => client.range(prefixOf("quitting/")))));
    await client.barrier();
    begun.cancel();
    expect((await others).map(({ kvs }) => kvs.length)).toEqual([PAIRS, PAIRS, PAIRS]);
    // What one asks for in the end is not what was left of that call.
    await fixture.direct.grpc.unary(KV.method.deleteRange, {
      key: keyBytes("quitting/"),
      rangeEnd: keyBytes("quitting0"),
    });
    expect(await client.range(prefixOf("quitting/"))).toMatchObject({ count: 0n, kvs: [] });
  });
});
