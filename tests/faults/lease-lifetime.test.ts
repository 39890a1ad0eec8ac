/**
 * How long a lease lives once its client has died: through the grpc-proxy about as long as at etcd itself, since the
 * proxy sends no heartbeat that no client asked for.
 *
 * Both clients are granted the same, beat for a while, and are cut off at the same moment.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Lease, LeaseKeepAliveRequestSchema } from "../../src/gen/etcdserverpb/lease_pb.ts";
import { framed } from "../grpc/stand-in-member.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { ensureBuilt, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { waitFor } from "../harness/wait-for.ts";
import { type RawCall, RawClient } from "./raw-client.ts";

setDefaultTimeout(60_000);

const TTL_SECONDS = 3n;
/** Beats before the client dies: longer than a lease without them. */
const BEATS = 12;
const BEAT_MS = 400;
/** What the lease may live longer than the one at etcd itself. */
const LONGER_MS = 1000;
const GONE = -1n;

const stack = new AsyncDisposableStack();
let cluster: EtcdCluster;
let proxied = "";
let direct: GrpcClient;

beforeAll(async () => {
  cluster = stack.use(await startEtcdCluster({ members: 1 }));
  await ensureBuilt();
  proxied = stack.use(await startGrpcProxy(cluster.endpoints)).address;
  direct = stack.use(new GrpcClient(cluster.member(0).endpoint));
}, 120_000);

afterAll(() => stack.disposeAsync(), 30_000);

/** A client that keeps one lease alive over a connection of its own. */
class BeatingClient implements Disposable {
  readonly id: bigint;
  answers = 0;
  readonly #client: RawClient;
  readonly #call: RawCall;
  readonly #message: Uint8Array;
  #timer: ReturnType<typeof setInterval> | undefined;

  private constructor(client: RawClient, id: bigint) {
    this.id = id;
    this.#client = client;
    this.#message = framed(
      toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: id })),
    );
    this.#call = client.call(Lease.method.leaseKeepAlive, { ID: id }, () => {
      this.answers++;
      return true;
    });
    this.#timer = setInterval(() => this.#call.send(this.#message), BEAT_MS);
  }

  static async start(address: string): Promise<BeatingClient> {
    const { ID } = await direct.unary(Lease.method.leaseGrant, { TTL: TTL_SECONDS });
    return new BeatingClient(await RawClient.connect(address), ID);
  }

  /** Dies: its connection is cut, and nothing is said. */
  die(): void {
    clearInterval(this.#timer);
    this.#client.cut();
  }

  [Symbol.dispose](): void {
    this.die();
  }
}

/** How long it takes from now until etcd knows the lease no more, in milliseconds. */
async function lifetimeOf(id: bigint): Promise<number> {
  const startMs = performance.now();
  await waitFor(`the end of lease ${id}`, async () => {
    const { TTL } = await direct.unary(Lease.method.leaseTimeToLive, { ID: id });
    return TTL === GONE;
  });
  return performance.now() - startMs;
}

async function expectSameLifetime(): Promise<void> {
  const clients = await Promise.all([
    BeatingClient.start(cluster.member(0).endpoint),
    BeatingClient.start(proxied),
  ]);
  for (const client of clients) {
    await waitFor("the beats", () => client.answers >= BEATS);
    const { TTL } = await direct.unary(Lease.method.leaseTimeToLive, { ID: client.id });
    expect(TTL).toBeGreaterThan(0n);
  }
  for (const client of clients) client.die();
  const [atEtcd = 0, throughProxy = 0] = await Promise.all(clients.map(({ id }) => lifetimeOf(id)));
  expect(throughProxy).toBeLessThan(atEtcd + LONGER_MS);
}

test("the lease of a client that dies lives no longer through the grpc-proxy than at etcd itself", async () => {
  await expectSameLifetime();
});

test("so it does while another client keeps another lease alive through the same proxy", async () => {
  using other = await BeatingClient.start(proxied);
  await expectSameLifetime();
  const { TTL } = await direct.unary(Lease.method.leaseTimeToLive, { ID: other.id });
  expect(TTL).toBeGreaterThan(0n);
});

test("so it does while another client keeps the lease alive, and then dies too", async () => {
  const first = await BeatingClient.start(proxied);
  using second = await RawClient.connect(proxied);
  const call = second.call(Lease.method.leaseKeepAlive, { ID: first.id });
  await waitFor("the beats", () => first.answers >= 2);
  first.die();
  const message = framed(
    toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: first.id })),
  );
  const from = call.receivedBytes;
  const timer = setInterval(() => call.send(message), BEAT_MS);
  await waitFor("twice its time to live", () => call.receivedBytes > from * BEATS);
  clearInterval(timer);
  const atEtcd = await direct.unary(Lease.method.leaseTimeToLive, { ID: first.id });
  expect(atEtcd.TTL).toBeGreaterThan(0n);
  second.cut();
  // etcd looks for leases that have run out twice a second.
  expect(await lifetimeOf(first.id)).toBeLessThan(Number(TTL_SECONDS) * 1000 + 2 * LONGER_MS);
});
