/**
 * Heartbeats while the cluster has no leader: the streams that asked for one end, idle ones too; a heartbeat ends
 * with etcd's own status, and an idle stream goes on.
 *
 * The proxies know one member only, the one that is left alone.
 */
import { afterEach, expect } from "bun:test";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { LeaseStream } from "./lease-stream.ts";

const targets = useTargets({ proxiedMembers: [0] });
const eachTarget = eachTargetOf(targets);

const REQUIRE_LEADER = { metadata: { hasleader: "true" } };
const NO_LEADER = { code: 14, details: "etcdserver: no leader" };
const TTL_SECONDS = 600n;

async function regainQuorum(): Promise<void> {
  for (const member of targets.cluster.members) if (!member.running) member.restart();
  await targets.cluster.waitHealthy();
}

afterEach(regainQuorum);

eachTarget("streams that require a leader end without one, idle ones too; others go on", async (target) => {
  using client = new GrpcClient(target.address);
  using other = new GrpcClient(target.address);
  const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS });
  const requiring = [client, other, client].map((it) => new LeaseStream(it, REQUIRE_LEADER));
  const [used, , idle] = requiring;
  using patient = new LeaseStream(other);
  using asking = new LeaseStream(client);
  for (const stream of [used!, patient, asking]) await stream.beat(ID);
  expect(idle!.status).toBeUndefined();
  await Promise.all([1, 2].map((index) => targets.cluster.member(index).kill()));
  for (const stream of requiring) expect(await stream.over()).toEqual(NO_LEADER);
  using late = new LeaseStream(client, REQUIRE_LEADER);
  late.send(ID);
  expect(await late.over()).toEqual(NO_LEADER);
  asking.send(ID);
  const { code, details } = await asking.over();
  expect(code).toBe(NO_LEADER.code);
  expect(details).toMatch(/^etcdserver: (no leader|request timed out)$/);
  expect(patient.status).toBeUndefined();

  await regainQuorum();
  await waitFor("a leader at the member", async () => {
    using again = new LeaseStream(client, REQUIRE_LEADER);
    return (await again.beat(ID)).TTL === TTL_SECONDS;
  });
  expect((await patient.beat(ID)).TTL).toBe(TTL_SECONDS);
});
