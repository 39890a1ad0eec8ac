/**
 * Members fail while clients work: what the contract on endpoints and retries promises (architecture, "Endpoints
 * and retries"), seen from outside.
 */
import { describe, expect, test } from "bun:test";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import type { EtcdMember } from "../harness/etcd-member.ts";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { GrpcClient, statusOf } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { openBlackHole } from "../net/black-hole.ts";
import { moveLeaderTo } from "./leader.ts";
import { beyondUnavailable, Load } from "./load.ts";
import { bytes } from "./methods/side.ts";
import { connectionsTo } from "./sockets.ts";
import { useTargets } from "./targets.ts";

const targets = useTargets();

const CLIENTS = 8;
const CALLS = 200;
const UNAVAILABLE = 14;
const TIMEOUT_MS = 120_000;

/** The member that the grpc-proxy's calls go to now. */
function memberUsedBy(proxy: EtcdproxyProcess): EtcdMember | undefined {
  return targets.cluster.members.find(({ endpoint }) => endpoint === proxy.endpointInUse);
}

/** The member that the gateway's clients are connected to; the gateway must not check members by itself. */
function memberBehind(gateway: EtcdproxyProcess): EtcdMember | undefined {
  return targets.cluster.members.find(({ endpoint }) => connectionsTo(gateway.pid, endpoint) > 0);
}

/** Brings every member back. */
async function healed(): Promise<void> {
  for (const member of targets.cluster.members) if (!member.running) member.restart();
  await targets.cluster.waitHealthy();
}

function aMemberBesides(member: EtcdMember): EtcdMember {
  return targets.cluster.members.find((other) => other !== member)!;
}

describe("a member is killed under load", () => {
  test(
    "grpcProxy: a follower: no read fails, a write at most with UNAVAILABLE, and none is lost or doubled",
    async () => {
      await using proxy = await startGrpcProxy(targets.cluster.endpoints);
      const entry = await proxy.logged("connected to a member");
      const used = targets.cluster.members.find(({ endpoint }) => endpoint === entry["endpoint"])!;
      const other = aMemberBesides(used);
      await moveLeaderTo(targets.cluster, other);
      await using load = new Load(proxy.address, "follower-killed", CLIENTS);
      await load.progress(CALLS);
      await used.kill();
      await load.progress(CALLS);
      await load.stop();
      expect(load.readFailures).toEqual([]);
      expect(beyondUnavailable(load.writeFailures)).toEqual([]);
      using directly = new GrpcClient(other.endpoint);
      await load.settle(directly);
      expect(memberUsedBy(proxy)).not.toBe(used);
      await healed();
    },
    TIMEOUT_MS,
  );

  test(
    "grpcProxy: the leader: calls fail at most with UNAVAILABLE, and no write is lost or doubled",
    async () => {
      await using proxy = await startGrpcProxy(targets.cluster.endpoints);
      const used = await waitFor("the proxy's member", () => memberUsedBy(proxy));
      await moveLeaderTo(targets.cluster, used);
      await using load = new Load(proxy.address, "leader-killed", CLIENTS);
      await load.progress(CALLS);
      await used.kill();
      await load.progress(CALLS);
      await load.stop();
      expect(beyondUnavailable(load.readFailures)).toEqual([]);
      expect(beyondUnavailable(load.writeFailures)).toEqual([]);
      using directly = new GrpcClient(aMemberBesides(used).endpoint);
      await load.settle(directly);
      await healed();
    },
    TIMEOUT_MS,
  );

  test(
    "gateway: clients that connect again go on at another member, and no write is lost or doubled",
    async () => {
      await using gateway = await startGateway(targets.cluster.endpoints, ["--health-check-interval=0"]);
      using client = new GrpcClient(gateway.address);
      await client.unary(KV.method.range, { key: bytes("connect") });
      const used = await waitFor("the gateway's member", () => memberBehind(gateway));
      // Before the load: a leader that hands over drops what is proposed to it just then.
      await moveLeaderTo(targets.cluster, aMemberBesides(used));
      await using load = new Load(gateway.address, "gateway-killed", CLIENTS);
      await load.progress(CALLS);
      await used.kill();
      await load.progress(CALLS);
      await load.stop();
      expect(beyondUnavailable(load.readFailures)).toEqual([]);
      expect(beyondUnavailable(load.writeFailures)).toEqual([]);
      using directly = new GrpcClient(aMemberBesides(used).endpoint);
      await load.settle(directly);
      await healed();
    },
    TIMEOUT_MS,
  );
});

describe("all members are killed", () => {
  test(
    "grpcProxy: a call fails with every endpoint and its reason; calls that wait for the members' return succeed",
    async () => {
      await using proxy = await startGrpcProxy(targets.cluster.endpoints);
      using client = new GrpcClient(proxy.address);
      const read = (): Promise<unknown> => client.unary(KV.method.range, { key: bytes("all") });
      await read();
      await Promise.all(targets.cluster.members.map((member) => member.kill()));

      const { code, details } = await statusOf(read());
      expect(code).toBe(UNAVAILABLE);
      expect(details).toStartWith("etcdproxy: no member can be reached (");
      for (const endpoint of targets.cluster.endpoints) {
        expect(details).toContain(`${endpoint}: connection refused`);
      }

      for (const member of targets.cluster.members) member.restart();
      // Sent while nobody listens yet.
      let waiting: Promise<unknown> | undefined;
      await waitFor("a member to listen", async () => {
        const call = read();
        call.catch(() => {}); // Looked at below, if it is the last one.
        if (await anyListens()) return true;
        waiting = call;
        return false;
      });
      expect(waiting).toBeDefined();
      await waiting;
      await targets.cluster.waitHealthy();
      await read();
    },
    TIMEOUT_MS,
  );

  test(
    "gateway: clients that connect again are served when the members are back",
    async () => {
      await using gateway = await startGateway(targets.cluster.endpoints, ["--retry-delay=1s"]);
      using client = new GrpcClient(gateway.address, { "grpc.max_reconnect_backoff_ms": 200 });
      const read = (): Promise<unknown> => client.unary(KV.method.range, { key: bytes("all") });
      await read();
      await Promise.all(targets.cluster.members.map((member) => member.kill()));
      expect((await statusOf(read())).code).toBe(UNAVAILABLE);
      await healed();
      await waitFor("a read", () => read());
    },
    TIMEOUT_MS,
  );
});

async function anyListens(): Promise<boolean> {
  const tried = await Promise.all(
    targets.cluster.members.map(async ({ endpoint }) => {
      const [hostname = "", port = ""] = endpoint.split(":");
      try {
        (await Bun.connect({ hostname, port: Number(port), socket: { data() {} } })).terminate();
        return true;
      } catch {
        return false;
      }
    }),
  );
  return tried.includes(true);
}

describe("endpoints that do not serve", () => {
  const DIAL_TIMEOUT = "--dial-timeout=300ms";

  async function reads(address: string): Promise<void> {
    using client = new GrpcClient(address);
    await client.unary(KV.method.range, { key: bytes("reads") });
  }

  test("grpcProxy: a stopped member, which accepts but does not answer, is passed over at the start", async () => {
    const [stopped, ...others] = targets.cluster.members;
    await moveLeaderTo(targets.cluster, others[0]!);
    stopped!.stop();
    try {
      // The first endpoint is a matter of chance: go on until it was the stopped one.
      await waitFor("a proxy that tries the stopped member first", async () => {
        await using proxy = await startGrpcProxy([stopped!.endpoint, others[0]!.endpoint], [DIAL_TIMEOUT]);
        await reads(proxy.address);
        const warning = proxy.log.find(({ msg }) => msg === "a member cannot be used");
        if (warning === undefined) return false;
        expect(warning["endpoint"]).toBe(stopped!.endpoint);
        return true;
      });
    } finally {
      stopped!.continue();
    }
    await targets.cluster.waitHealthy();
  });

  test("grpcProxy and gateway: a dead and a black-holed endpoint are passed over", async () => {
    const hole = await openBlackHole();
    const [deadPort = 0] = freePorts(1);
    const endpoints = [`127.0.0.1:${deadPort}`, `127.0.0.1:${hole.port}`, targets.cluster.member(0).endpoint];
    try {
      await using proxy = await startGrpcProxy(endpoints, [DIAL_TIMEOUT]);
      await reads(proxy.address);
      await using gateway = await startGateway(endpoints);
      await reads(gateway.address);
    } finally {
      hole.close();
    }
  });

  test("grpcProxy: with no endpoint in reach, a call tells every endpoint and its reason", async () => {
    const hole = await openBlackHole();
    const [deadPort = 0] = freePorts(1);
    try {
      await using proxy = await startGrpcProxy(
        [`127.0.0.1:${deadPort}`, `127.0.0.1:${hole.port}`],
        [DIAL_TIMEOUT],
      );
      const { code, details } = await statusOf(reads(proxy.address));
      expect(code).toBe(UNAVAILABLE);
      expect(details).toStartWith(
        `etcdproxy: no member can be reached (127.0.0.1:${deadPort}: connection refused; ` +
          `127.0.0.1:${hole.port}: no answer `,
      );
    } finally {
      hole.close();
    }
  });
});
