/**
 * Each method of the API is called on the cluster itself and through the grpc-proxy with the same inputs: the
 * answers, or code and text, are equal. `methods/transcript.ts` says what may differ.
 *
 * Both sides talk to one and the same member, the leader, and one after the other, so that member ids,
 * revisions and ids compare as they are.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import { SERVICES } from "../../src/etcd/services.ts";
import { Cluster } from "../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Maintenance } from "../../src/gen/etcdserverpb/maintenance_pb.ts";
import { type EtcdproxyProcess, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient, methodPath, statusOf } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { authCases } from "./methods/auth-cases.ts";
import { clusterCases } from "./methods/cluster-cases.ts";
import { coordinationCases } from "./methods/coordination-cases.ts";
import { kvCases } from "./methods/kv-cases.ts";
import { leaseCases } from "./methods/lease-cases.ts";
import { maintenanceCases } from "./methods/maintenance-cases.ts";
import { bytes, type MethodCase, Side } from "./methods/side.ts";
import { watchCases } from "./methods/watch-cases.ts";
import { useTargets } from "./targets.ts";

const cases: readonly MethodCase[] = [
  ...kvCases,
  ...watchCases,
  ...leaseCases,
  ...coordinationCases,
  ...clusterCases,
  ...maintenanceCases,
  ...authCases,
];

const SEND_BYTES_MAX = 1_000_000;

const targets = useTargets({
  proxiedMembers: [0],
  grpcProxyFlags: ["--advertise-client-url=", `--max-send-bytes=${SEND_BYTES_MAX}`],
});
let direct: GrpcClient;
let proxied: GrpcClient;

beforeAll(async () => {
  direct = new GrpcClient(targets.cluster.member(0).endpoint);
  proxied = new GrpcClient(targets.grpcProxy.address);
  await leadershipAt(direct);
}, 60_000);

afterAll(() => {
  direct.close();
  proxied.close();
});

/** Moves leadership to the member that `client` talks to. */
async function leadershipAt(client: GrpcClient): Promise<void> {
  const leader = await targets.cluster.leader();
  const { header } = await client.unary(Maintenance.method.status, {});
  const memberId = header!.memberId;
  using leaderClient = new GrpcClient(leader.endpoint);
  if (leader !== targets.cluster.member(0)) {
    await leaderClient.unary(Maintenance.method.moveLeader, { targetID: memberId });
  }
  await waitFor("the first member to lead", async () => {
    const status = await client.unary(Maintenance.method.status, {});
    return status.leader === memberId;
  });
}

test("each method of the API has a case", () => {
  const all = SERVICES.flatMap((service) => service.methods.map(methodPath));
  const covered = new Set(cases.flatMap(({ covers }) => covers.map(methodPath)));
  expect(all.filter((path) => !covered.has(path))).toEqual([]);
  expect(SERVICES).toHaveLength(8);
});

describe("through the grpc-proxy as directly:", () => {
  for (const { name, covers, run } of cases) {
    test(name, async () => {
      const directly = await Side.open(direct, direct);
      await run(directly);
      const throughProxy = await Side.open(proxied, direct);
      await run(throughProxy);
      expect(throughProxy.transcript.said).toEqual(directly.transcript.said);
      expect([...directly.transcript.called]).toEqual(expect.arrayContaining(covers.map(methodPath)));
    });
  }
});

describe("what the proxy answers itself", () => {
  let advertising: EtcdproxyProcess;
  let client: GrpcClient;

  beforeAll(async () => {
    const flags = ["--advertise-client-url=proxy.example.com:23790"];
    advertising = await startGrpcProxy([targets.cluster.member(0).endpoint], flags);
    client = new GrpcClient(advertising.address);
  });

  afterAll(async () => {
    client.close();
    await advertising[Symbol.asyncDispose]();
  });

  test("MemberList names the proxy as the one member, under the cluster's own header", async () => {
    const ours = await client.unary(Cluster.method.memberList, {});
    expect(ours.members).toHaveLength(1);
    expect(ours.members[0]).toMatchObject({
      ID: 0n,
      name: hostname(),
      peerURLs: [],
      clientURLs: ["proxy.example.com:23790"],
      isLearner: false,
    });
    const theirs = await direct.unary(Cluster.method.memberList, {});
    expect(ours.header).toMatchObject({ clusterId: theirs.header!.clusterId });
  });

  test("with an empty --advertise-client-url, MemberList names the members", async () => {
    const { members } = await proxied.unary(Cluster.method.memberList, {});
    const urls = members.flatMap(({ clientURLs }) => clientURLs);
    expect(urls.toSorted()).toEqual(
      targets.cluster.endpoints.map((endpoint) => `http://${endpoint}`).toSorted(),
    );
  });

  test("a request above --max-send-bytes is refused by its size, before it is sent", async () => {
    const value = new Uint8Array(SEND_BYTES_MAX);
    const status = await statusOf(proxied.unary(KV.method.put, { key: bytes("large"), value }));
    expect(status).toMatchObject({
      code: 8,
      details: `grpc: trying to send message larger than max (${SEND_BYTES_MAX + 11} vs. ${SEND_BYTES_MAX})`,
    });
    const { count } = await direct.unary(KV.method.range, { key: bytes("large") });
    expect(count).toBe(0n);
  });
});
