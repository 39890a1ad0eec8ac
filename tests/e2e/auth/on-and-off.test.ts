/**
 * Authentication that is turned on under clients without tokens, and off under those with tokens: their streams, leases and reads end, or go on,
 * as at this version of etcd.
 */
import { beforeAll, expect } from "bun:test";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { LeaseStream } from "../lease/lease-stream.ts";
import { bytes } from "../methods/side.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { Accounts } from "../watch/accounts.ts";
import { prefixRange, WatchStream } from "../watch/watch-stream.ts";
import { Writer } from "../watch/writer.ts";
import { addPeople, administer, CHEAP_PASSWORDS, tokenOf } from "./people.ts";
import { outcomeOf, sameOutcomes } from "./same-outcomes.ts";

const targets = useTargets({ members: 1, memberFlags: [CHEAP_PASSWORDS] });
const eachTarget = eachTargetOf(targets);
const member = (): string => targets.cluster.member(0).endpoint;
const BAD_TOKEN = "16 etcdserver: invalid auth token";
const NO_USER = "3 etcdserver: user name is empty";

beforeAll(() => addPeople(member()), 60_000);

const turnedOff = (): Promise<void> => administer(member(), (accounts) => accounts.disable());

/** Turns it on through the target itself: there what was cached must not outlive it. */
async function turnOn(target: Target): Promise<void> {
  using client = new GrpcClient(target.address);
  await new Accounts(client).enable();
}

async function beat(stream: LeaseStream, id: bigint): Promise<string> {
  try {
    return `TTL ${(await stream.beat(id)).TTL}`;
  } catch {
    const { code, details } = await stream.over();
    return `${code} ${details}`;
  }
}

sameOutcomes(
  eachTarget,
  "who has no token is refused what he begins once it is on, and what he has begun goes as at etcd",
  async (target) => {
    await turnedOff();
    using client = new GrpcClient(target.address);
    const range = prefixRange(`p/${target.name}/on/`);
    const key = bytes(`${range.key}a`);
    const read = (serializable: boolean): Promise<string> =>
      outcomeOf(client.unary(KV.method.range, { key, serializable }));
    using watch = new WatchStream(client);
    await watch.open(range);
    const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 600n });
    await client.unary(KV.method.put, { key: bytes(`p/${target.name}/leased`), lease: ID });
    using heartbeats = new LeaseStream(client);
    const before = new Writer(client);
    await before.put(`${range.key}a`, "off");
    const off = [await beat(heartbeats, ID), await read(true), await read(true), await read(false)];
    await turnOn(target);
    const root = new Writer(client, { ...(await tokenOf(member(), "root")) });
    await root.put(`${range.key}a`, "on");
    const seen = await watch.events(0n, 2);
    expect(seen).toEqual([...before.expected(range), ...root.expected(range)]);
    watch.create(range);
    using later = new LeaseStream(client);
    return {
      off,
      reads: [await read(true), await read(true), await read(false)],
      put: await outcomeOf(client.unary(KV.method.put, { key })),
      watch: (await watch.nextCreated()).cancelReason,
      heartbeat: await beat(heartbeats, ID),
      another: await beat(later, ID),
      timeToLive: await outcomeOf(client.unary(Lease.method.leaseTimeToLive, { ID, keys: true })),
      revoke: await outcomeOf(client.unary(Lease.method.leaseRevoke, { ID })),
    };
  },
  ({ off, reads, put }) => {
    expect(off).toEqual(["TTL 600", "OK", "OK", "OK"]);
    expect([...reads, put]).toEqual([NO_USER, NO_USER, NO_USER, NO_USER]);
  },
);

sameOutcomes(
  eachTarget,
  "who has a token goes on when it is off, and on again is told what has become of it",
  async (target) => {
    using client = new GrpcClient(target.address);
    const range = prefixRange(`p/${target.name}/off/`);
    const key = bytes(`${range.key}a`);
    const metadata = { ...(await tokenOf(member(), "reader")) };
    const read = (serializable: boolean): Promise<string> =>
      outcomeOf(client.unary(KV.method.range, { key, serializable }, { metadata }));
    const reads = async (): Promise<string[]> => [await read(true), await read(true), await read(false)];
    using watch = new WatchStream(client, { metadata });
    await watch.open(range);
    const { ID } = await client.unary(Lease.method.leaseGrant, { TTL: 600n }, { metadata });
    using heartbeats = new LeaseStream(client, { metadata });
    const beats = [await beat(heartbeats, ID)];
    await turnedOff();
    // Up to 3.4 a token is looked at even then.
    const writer = new Writer(client);
    await writer.put(`${range.key}a`, "off");
    beats.push(await beat(heartbeats, ID));
    const off = await reads();
    watch.create({ key: "q/", rangeEnd: "q0" });
    const foreign = (await watch.nextCreated()).cancelReason;
    await turnOn(target);
    const on = await reads();
    const root = new Writer(client, { ...(await tokenOf(member(), "root")) });
    await root.put(`${range.key}a`, "on");
    expect(await watch.events(0n, 2)).toEqual([...writer.expected(range), ...root.expected(range)]);
    watch.create(range);
    const { cancelReason } = await watch.nextCreated();
    beats.push(await beat(heartbeats, ID));
    return { off, foreign, on, cancelReason, beats };
  },
  ({ off, on }) => {
    expect(["OK", BAD_TOKEN]).toContain(off[0]!);
    expect(on[0]).toBe(BAD_TOKEN);
  },
);
