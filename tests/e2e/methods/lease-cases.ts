/** Lease's methods. Ids are given, so that both sides speak of the same lease one after the other. */
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { bytes, type MethodCase, type Side } from "./side.ts";

const ID = 0x5eedn;
const TTL_SECONDS = 600n;

async function granted(side: Side): Promise<void> {
  await side.backstage.unary(Lease.method.leaseGrant, { ID, TTL: TTL_SECONDS });
}

async function revoked(side: Side): Promise<void> {
  await side.backstage.unary(Lease.method.leaseRevoke, { ID });
}

export const leaseCases: readonly MethodCase[] = [
  {
    name: "LeaseGrant gives the lease that was asked for, and refuses a second of its id and an endless one",
    covers: [Lease.method.leaseGrant],
    async run(side) {
      await side.unary(Lease.method.leaseGrant, { ID, TTL: TTL_SECONDS });
      await side.unary(Lease.method.leaseGrant, { ID, TTL: TTL_SECONDS });
      await side.unary(Lease.method.leaseGrant, { ID: ID + 1n, TTL: 9_000_000_001n });
      await revoked(side);
    },
  },
  {
    name: "LeaseRevoke ends the lease and deletes its keys; one that is not there is not found",
    covers: [Lease.method.leaseRevoke],
    async run(side) {
      await granted(side);
      await side.unary(KV.method.put, { key: bytes("lease/key"), lease: ID });
      await side.unary(Lease.method.leaseRevoke, { ID });
      await side.unary(KV.method.range, { key: bytes("lease/key") });
      await side.unary(Lease.method.leaseRevoke, { ID });
    },
  },
  {
    name: "LeaseKeepAlive answers each heartbeat, with a TTL of 0 for a lease that is not there",
    covers: [Lease.method.leaseKeepAlive],
    async run(side) {
      await granted(side);
      const heartbeats = side.bidirectional(Lease.method.leaseKeepAlive);
      for (const id of [ID, ID, 404n]) {
        heartbeats.send({ ID: id });
        await heartbeats.heard();
      }
      heartbeats.halfClose();
      await heartbeats.over();
      await revoked(side);
    },
  },
  {
    name: "LeaseTimeToLive tells the time left and the keys; one that is not there has -1",
    covers: [Lease.method.leaseTimeToLive],
    async run(side) {
      await granted(side);
      await side.backstage.unary(KV.method.put, { key: bytes("lease/key"), lease: ID });
      await side.unary(Lease.method.leaseTimeToLive, { ID });
      await side.unary(Lease.method.leaseTimeToLive, { ID, keys: true });
      await side.unary(Lease.method.leaseTimeToLive, { ID: 404n, keys: true });
      await revoked(side);
    },
  },
  {
    name: "LeaseLeases lists the leases",
    covers: [Lease.method.leaseLeases],
    async run(side) {
      await side.unary(Lease.method.leaseLeases, {});
      await granted(side);
      await side.unary(Lease.method.leaseLeases, {});
      await revoked(side);
    },
  },
];
