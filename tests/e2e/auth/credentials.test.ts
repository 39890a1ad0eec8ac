/**
 * Who is told what, by how he says who he is: every credential, in every field that etcd reads, with calls of every
 * kind. What a version of etcd takes, and in which words it refuses, is what the proxies have to show.
 */
import { beforeAll, expect } from "bun:test";
import type { DescMessage, DescMethodServerStreaming, MessageInitShape } from "@bufbuild/protobuf";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Election } from "../../../src/gen/v3electionpb/election_pb.ts";
import { Lock } from "../../../src/gen/v3lockpb/lock_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { LeaseStream } from "../lease/lease-stream.ts";
import { bytes } from "../methods/side.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { Accounts } from "../watch/accounts.ts";
import { WatchStream } from "../watch/watch-stream.ts";
import { addPeople, CHEAP_PASSWORDS } from "./people.ts";
import { outcomeOf, sameOutcomes } from "./same-outcomes.ts";

const targets = useTargets({ members: 1, memberFlags: [CHEAP_PASSWORDS] });
const eachTarget = eachTargetOf(targets);

const TTL_SECONDS = 600n;
const BAD_TOKEN = "16 etcdserver: invalid auth token";
const NO_USER = "3 etcdserver: user name is empty";
const DENIED = "7 etcdserver: permission denied";

beforeAll(() => addPeople(targets.cluster.member(0).endpoint), 60_000);

type Metadata = Readonly<Record<string, string>>;

/** What the calls of one credential need of the cluster: leases with a key of `p/…`, made by root. */
interface Things {
  readonly lease: bigint;
  readonly doomed: bigint;
  readonly campaign: bigint;
}

async function thingsFor(target: Target, who: string): Promise<Things> {
  using direct = new GrpcClient(targets.cluster.member(0).endpoint);
  const metadata = { ...(await new Accounts(direct, true).logIn("root")) };
  const grant = async (): Promise<bigint> =>
    (await direct.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS }, { metadata })).ID;
  const [lease, doomed, campaign] = [await grant(), await grant(), await grant()];
  for (const [name, id] of [
    ["lease", lease],
    ["doomed", doomed],
  ] as const) {
    const key = bytes(`p/${target.name}/${who}/${name}`);
    await direct.unary(KV.method.put, { key, lease: id }, { metadata });
  }
  return { lease, doomed, campaign };
}

/** How each kind of call ends, one after another. */
async function attempts(target: Target, who: string, metadata: Metadata): Promise<Record<string, string>> {
  using client = new GrpcClient(target.address);
  const { lease, doomed, campaign } = await thingsFor(target, who);
  const own = bytes(`p/${target.name}/${who}`);
  const foreign = bytes(`q/${target.name}/${who}`);
  const options = { metadata };
  const { range, put, deleteRange, txn } = KV.method;
  const readOf = (key: Uint8Array) => ({ request: { case: "requestRange" as const, value: { key } } });
  const putOf = (key: Uint8Array) => ({ request: { case: "requestPut" as const, value: { key } } });
  const calls: Record<string, () => Promise<unknown>> = {
    "an own key is put": () => client.unary(put, { key: own, value: own }, options),
    "an own key is read": () => client.unary(range, { key: own }, options),
    "it is read serializably": () => client.unary(range, { key: own, serializable: true }, options),
    "and again": () => client.unary(range, { key: own, serializable: true }, options),
    "another's key is put": () => client.unary(put, { key: foreign }, options),
    "another's key is read": () => client.unary(range, { key: foreign }, options),
    "that serializably": () => client.unary(range, { key: foreign, serializable: true }, options),
    "an own key is deleted": () => client.unary(deleteRange, { key: own }, options),
    "another's key is deleted": () => client.unary(deleteRange, { key: foreign }, options),
    "all keys are read": () => client.unary(range, { key: bytes("\0"), rangeEnd: bytes("\0") }, options),
    "a transaction reads": () => client.unary(txn, { success: [readOf(own)] }, options),
    "a transaction would read another's": () =>
      client.unary(txn, { success: [readOf(own)], failure: [readOf(foreign)] }, options),
    "a transaction writes": () => client.unary(txn, { success: [putOf(own)] }, options),
    "a transaction writes another's": () => client.unary(txn, { success: [putOf(foreign)] }, options),
    "an empty transaction": () => client.unary(txn, {}, options),
    "a lease is granted": () => client.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS }, options),
    "leases are listed": () => client.unary(Lease.method.leaseLeases, {}, options),
    "a lease's time is asked for": () => client.unary(Lease.method.leaseTimeToLive, { ID: lease }, options),
    "its keys are asked for": () =>
      client.unary(Lease.method.leaseTimeToLive, { ID: lease, keys: true }, options),
    "a lease is revoked": () => client.unary(Lease.method.leaseRevoke, { ID: doomed }, options),
    "a lease that is not there is revoked": () =>
      client.unary(Lease.method.leaseRevoke, { ID: 4711n }, options),
    "users are listed": () => client.unary(Auth.method.userList, {}, options),
    "roles are listed": () => client.unary(Auth.method.roleList, {}, options),
    "the user is shown": () => client.unary(Auth.method.userGet, { name: "reader" }, options),
    "the role is shown": () => client.unary(Auth.method.roleGet, { role: "prefix" }, options),
    "another role is shown": () => client.unary(Auth.method.roleGet, { role: "other" }, options),
    "somebody gets a password": () =>
      client.unary(Auth.method.userChangePassword, { name: "nobody", password: "x" }, options),
    "the state of authentication": () => client.unary(Auth.method.authStatus, {}, options),
    "members are listed": () => client.unary(Cluster.method.memberList, {}, options),
    "a member is promoted": () => client.unary(Cluster.method.memberPromote, { ID: 4711n }, options),
    "the member's status": () => client.unary(Maintenance.method.status, {}, options),
    alarms: () => client.unary(Maintenance.method.alarm, {}, options),
    "a hash": () => client.unary(Maintenance.method.hashKV, {}, options),
    "a snapshot": () => streamed(client, Maintenance.method.snapshot, {}, metadata),
    "a lock": () =>
      client.unary(
        Lock.method.lock,
        { name: bytes(`p/${target.name}/${who}/lock`), lease: campaign },
        options,
      ),
    "another's lock": () =>
      client.unary(
        Lock.method.lock,
        { name: bytes(`q/${target.name}/${who}/lock`), lease: campaign },
        options,
      ),
    "a campaign": () =>
      client.unary(
        Election.method.campaign,
        { name: bytes(`p/${target.name}/${who}/vote`), lease: campaign },
        options,
      ),
    "another's campaign": () =>
      client.unary(
        Election.method.campaign,
        { name: bytes(`q/${target.name}/${who}/vote`), lease: campaign },
        options,
      ),
    "a leader": () =>
      client.unary(Election.method.leader, { name: bytes(`p/${target.name}/${who}/vote`) }, options),
  };
  const ended: Record<string, string> = {};
  for (const [what, call] of Object.entries(calls)) ended[what] = await outcomeOf(call());
  ended["a watch"] = await watched(client, metadata, own);
  ended["another's watch"] = await watched(client, metadata, foreign);
  ended["a heartbeat"] = await beaten(client, metadata, lease);
  return ended;
}

/** Reads a stream to its end. */
function streamed<Input extends DescMessage, Output extends DescMessage>(
  client: GrpcClient,
  method: DescMethodServerStreaming<Input, Output>,
  request: MessageInitShape<Input>,
  metadata: Metadata,
): Promise<void> {
  const call = client.serverStream(method, request, { metadata });
  return new Promise((resolve, reject) => {
    call.on("data", () => {});
    call.on("error", reject);
    call.on("end", resolve);
  });
}

async function watched(client: GrpcClient, metadata: Metadata, key: Uint8Array): Promise<string> {
  using stream = new WatchStream(client, { metadata });
  stream.create({ key: new TextDecoder().decode(key) });
  const { canceled, cancelReason } = await stream.nextCreated();
  return canceled ? cancelReason : "OK";
}

async function beaten(client: GrpcClient, metadata: Metadata, lease: bigint): Promise<string> {
  using stream = new LeaseStream(client, { metadata });
  try {
    return `TTL ${(await stream.beat(lease)).TTL}`;
  } catch {
    const { code, details } = await stream.over();
    return `${code} ${details}`;
  }
}

/** The scene of somebody with this metadata. `metadataOf` is given a token of `reader`. */
function scene(
  who: string,
  metadataOf: (token: string) => Metadata,
  check: (ended: Record<string, string>) => void,
): void {
  sameOutcomes(
    eachTarget,
    `${who} is answered each call as by etcd`,
    async (target) => {
      using direct = new GrpcClient(targets.cluster.member(0).endpoint);
      const { token } = await new Accounts(direct, true).logIn("reader");
      return await attempts(target, who.replaceAll(" ", "-"), metadataOf(token));
    },
    check,
  );
}

const served = (ended: Record<string, string>): void => {
  expect(ended).toMatchObject({
    "an own key is put": "OK",
    "it is read serializably": "OK",
    "that serializably": DENIED,
    "a transaction would read another's": DENIED,
    "a lease is revoked": "OK",
    // Older ones have other codes for what is no call of keys.
    "a snapshot": expect.stringContaining("permission denied"),
    "a lock": "OK",
    "another's lock": expect.stringContaining("permission denied"),
    "a watch": "OK",
    "another's watch": "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    "a heartbeat": `TTL ${TTL_SECONDS}`,
  });
};
const unknown = (ended: Record<string, string>): void => {
  expect(ended).toMatchObject({
    "an own key is put": BAD_TOKEN,
    "it is read serializably": BAD_TOKEN,
    "a lease is revoked": BAD_TOKEN,
    "a watch": "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
  });
};
const nameless = (ended: Record<string, string>): void => {
  expect(ended).toMatchObject({
    "an own key is put": NO_USER,
    "it is read serializably": NO_USER,
    "a watch": "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
  });
};
/** From 3.7 on the word is left out, before it is part of the token. */
const either = (ended: Record<string, string>): void => {
  (ended["an own key is put"] === "OK" ? served : unknown)(ended);
};

scene("a user with a token", (token) => ({ token }), served);
scene("a user with an authorization", (token) => ({ authorization: token }), served);
scene("a user with a bearer", (token) => ({ authorization: `Bearer ${token}` }), either);
scene("a user with a bearer in the token", (token) => ({ token: `Bearer ${token}` }), either);
scene("a user with a small bearer", (token) => ({ authorization: `bearer ${token}` }), unknown);
scene("a user with a token and garbage", (token) => ({ token, authorization: "garbage" }), served);
scene("a user with garbage and a token", (token) => ({ token: "garbage", authorization: token }), unknown);
scene("a user with an empty token before", (token) => ({ token: "", authorization: token }), unknown);
scene("somebody with an empty token", () => ({ token: "" }), unknown);
scene("somebody with an empty authorization", () => ({ authorization: "" }), unknown);
scene("somebody with a made-up token", () => ({ token: "abcdefghijklmnop.7" }), unknown);
scene("somebody with something else", (token) => ({ "x-token": token }), nameless);
scene("nobody", () => ({}), nameless);
