/** The Lock and Election services, which etcd builds on its own keys and leases. */
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Election } from "../../../src/gen/v3electionpb/election_pb.ts";
import { Lock } from "../../../src/gen/v3lockpb/lock_pb.ts";
import { bytes, type MethodCase, type Side } from "./side.ts";

const LEASE = 0x10c4n;
const NAME = bytes("name");

async function withLease(side: Side, body: () => Promise<void>): Promise<void> {
  await side.backstage.unary(Lease.method.leaseGrant, { ID: LEASE, TTL: 600n });
  await body();
  await side.backstage.unary(Lease.method.leaseRevoke, { ID: LEASE });
}

export const coordinationCases: readonly MethodCase[] = [
  {
    name: "Lock gives the key that holds the lock, and Unlock deletes it",
    covers: [Lock.method.lock, Lock.method.unlock],
    run: (side) =>
      withLease(side, async () => {
        const held = await side.unary(Lock.method.lock, { name: NAME, lease: LEASE });
        await side.unary(KV.method.range, { key: held!.key });
        await side.unary(Lock.method.unlock, { key: held!.key });
        await side.unary(KV.method.range, { key: held!.key });
        await side.unary(Lock.method.unlock, { key: bytes("not locked") });
      }),
  },
  {
    name: "Lock fails with a lease that is not there",
    covers: [Lock.method.lock],
    async run(side) {
      await side.unary(Lock.method.lock, { name: NAME, lease: 404n });
    },
  },
  {
    name: "an election is campaigned for, observed, proclaimed, led and resigned from",
    covers: [
      Election.method.campaign,
      Election.method.proclaim,
      Election.method.leader,
      Election.method.observe,
      Election.method.resign,
    ],
    run: (side) =>
      withLease(side, async () => {
        await side.unary(Election.method.leader, { name: NAME });
        const won = await side.unary(Election.method.campaign, {
          name: NAME,
          lease: LEASE,
          value: bytes("one"),
        });
        const leader = won!.leader!;
        const observed = side.serverStream(Election.method.observe, { name: NAME });
        await observed.heard();
        await side.unary(Election.method.proclaim, { leader, value: bytes("two") });
        await observed.heard();
        await side.unary(Election.method.leader, { name: NAME });
        await side.unary(Election.method.resign, { leader });
        await side.unary(Election.method.leader, { name: NAME });
        await side.unary(Election.method.proclaim, { leader, value: bytes("three") });
        observed.cancel();
        await observed.over();
      }),
  },
  {
    name: "election calls without a leader's key, and a campaign with a lease that is not there, fail",
    covers: [Election.method.campaign, Election.method.proclaim, Election.method.resign],
    async run(side) {
      await side.unary(Election.method.proclaim, { value: bytes("nobody") });
      await side.unary(Election.method.resign, {});
      await side.unary(Election.method.campaign, { name: NAME, lease: 404n });
    },
  },
];
