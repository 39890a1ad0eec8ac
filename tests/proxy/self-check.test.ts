/** `/proxy/health`: what a client of the proxy would find, asked by one. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ResponseHeaderSchema } from "../../src/gen/etcdserverpb/header_pb.ts";
import { methodPath } from "../../src/etcd/services.ts";
import { KV, RangeResponseSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { WatchResponseSchema } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Code, type Status } from "../../src/grpc/status.ts";
import { createLogger } from "../../src/observe/log.ts";
import { servePage } from "../../src/observe/page.ts";
import { startGrpcProxy } from "../../src/proxy/grpc-proxy.ts";
import type { GrpcProxy, GrpcProxyOptions } from "../../src/proxy/grpc-proxy-options.ts";
import { READ, WATCH } from "../grpc/forwarding.ts";
import { framed, type StandInCall, StandInMember } from "../grpc/stand-in-member.ts";
import { waitFor } from "../harness/wait-for.ts";

setDefaultTimeout(60_000);

const header = create(ResponseHeaderSchema, { clusterId: 1n, memberId: 2n, revision: 7n, raftTerm: 3n });
const RANGE_ANSWER = toBinary(RangeResponseSchema, create(RangeResponseSchema, { header }));
const CREATED = toBinary(WatchResponseSchema, create(WatchResponseSchema, { header, created: true }));
const PROGRESS = toBinary(WatchResponseSchema, create(WatchResponseSchema, { header, watchId: -1n }));
/** What shared watches learn revisions by. Its answer begins with a header, as that of a read does. */
const READ_TXN = methodPath(KV.method.txn);
const HEALTHY: [number, string] = [200, '{"health":"true","reason":""}'];

function start(member: StandInMember, options: Partial<GrpcProxyOptions> = {}): Promise<GrpcProxy> {
  return startGrpcProxy({
    listenAddress: { hostname: "127.0.0.1", port: 0 },
    metrics: null,
    endpoints: [member.endpoint],
    advertiseClientUrl: "",
    sendBytesMax: 1 << 20,
    receiveBytesMax: 1 << 20,
    concurrentStreamsMax: 100,
    bufferBytesMax: 1 << 24,
    connectionsMax: 10,
    dialTimeoutMs: 1000,
    balancer: "sticky",
    healthChecks: null,
    drainTimeoutMs: 0,
    watchCoalescing: true,
    readCoalescing: true,
    cache: null,
    leaseCoalescing: true,
    log: createLogger({ level: "error", output: "json", destination: { write() {} } }),
    ...options,
  });
}

async function health({ pages }: GrpcProxy): Promise<[number, string]> {
  const { status, body } = await servePage(pages, "GET", "/proxy/health");
  return [status, new TextDecoder().decode(body)];
}

/** How a member treats reads and watches; absent: it is silent. */
interface Manners {
  readonly read?: (call: StandInCall) => void;
  readonly watch?: (call: StandInCall) => void;
}

/** A member with streams: each call is treated as soon as its first message is there. */
class MemberWithManners extends StandInMember {
  #manners: Manners;

  constructor(manners: Manners) {
    super();
    this.#manners = manners;
  }

  behave(manners: Manners): void {
    this.#manners = manners;
  }

  override onCall(call: StandInCall): void {
    super.onCall(call);
    void this.#treat(call);
  }

  async #treat(call: StandInCall): Promise<void> {
    await waitFor("a request", () => call.request.length > 0 || call.reset !== undefined);
    if (call.path === READ || call.path === READ_TXN) this.#manners.read?.(call);
    else if (call.path === WATCH) this.#manners.watch?.(call);
  }
}

const reads = (call: StandInCall): void => call.answer(RANGE_ANSWER);
/** Creates the watch, and tells its progress again and again. */
const watches = (call: StandInCall): void => {
  call.sendMessage(CREATED);
  const telling = setInterval(() => {
    if (call.reset === undefined) call.sendBytes(framed(PROGRESS));
    else clearInterval(telling);
  }, 50);
};
const createsOnly = (call: StandInCall): void => call.sendMessage(CREATED);
const failsWith =
  (status: Status) =>
  (call: StandInCall): void =>
    call.fail(status);

const NO_LEADER: Status = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
const DENIED: Status = { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" };

async function healthWith(
  manners: Manners,
  options: Partial<GrpcProxyOptions> = {},
): Promise<[number, string]> {
  using member = new MemberWithManners(manners);
  const proxy = await start(member, options);
  try {
    return await health(proxy);
  } finally {
    await proxy.close();
  }
}

const reason = (text: string): unknown => (JSON.parse(text) as { reason: string }).reason;

describe.each([
  ["with shared watches", true],
  ["with watches that are forwarded", false],
])("/proxy/health %s", (_how, watchCoalescing) => {
  test("is healthy when reads are answered and watches tell something", async () => {
    expect(await healthWith({ read: reads, watch: watches }, { watchCoalescing })).toEqual(HEALTHY);
  });

  test("is ill when reads work and watches do not", async () => {
    const [status, text] = await healthWith({ read: reads }, { watchCoalescing });
    expect([status, reason(text)]).toEqual([503, expect.stringMatching(/^a watch.*: no answer in time$/)]);
  });

  test("is ill when a watch is created, and nothing comes of it", async () => {
    const [status, text] = await healthWith({ read: reads, watch: createsOnly }, { watchCoalescing });
    expect([status, reason(text)]).toEqual([503, "a watch that is created: no answer in time"]);
  });

  test("is ill when watches work and reads do not", async () => {
    const manners = { read: failsWith(NO_LEADER), watch: watches };
    const [status, text] = await healthWith(manners, { watchCoalescing });
    expect([status, reason(text)]).toEqual([503, expect.stringContaining("etcdserver: no leader")]);
  });

  test("is healthy when the member answers that it is not allowed", async () => {
    const manners = { read: failsWith(DENIED), watch: failsWith(DENIED) };
    expect(await healthWith(manners, { watchCoalescing })).toEqual(HEALTHY);
  });

  test("is ill when reads are not allowed and watches do not work", async () => {
    const manners = { read: failsWith(DENIED) };
    const [status] = await healthWith(manners, { watchCoalescing: false });
    expect(status).toBe(503);
  });
});

test("/proxy/health is asked over one connection, by all who ask at once, and recovers", async () => {
  using member = new MemberWithManners({ read: reads, watch: watches });
  const proxy = await start(member);
  try {
    expect(await Promise.all([health(proxy), health(proxy), health(proxy)])).toEqual([
      HEALTHY,
      HEALTHY,
      HEALTHY,
    ]);
    const asked = member.calls.length;
    member.behave({ read: failsWith(NO_LEADER), watch: failsWith(NO_LEADER) });
    expect((await health(proxy))[0]).toBe(503);
    member.behave({ read: reads, watch: watches });
    await waitFor("health", async () => (await health(proxy))[0] === 200);
    expect(asked).toBeLessThanOrEqual(4);
  } finally {
    await proxy.close();
  }
});

test("/proxy/health says where no socket can be opened, and the proxy goes on", async () => {
  using member = new MemberWithManners({ read: reads, watch: watches });
  const { RUNTIME_DIRECTORY, XDG_RUNTIME_DIR, TMPDIR } = process.env;
  const proxy = await start(member);
  try {
    for (const name of ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"])
      process.env[name] = "/proc/nowhere";
    const [status, text] = await health(proxy);
    expect([status, reason(text)]).toEqual([
      503,
      expect.stringMatching(/^the proxy cannot ask itself, for want of a Unix socket: \/proc\/nowhere: /),
    ]);
    expect((await servePage(proxy.pages, "GET", "/health")).status).toBe(200);
    restore("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY);
    restore("XDG_RUNTIME_DIR", XDG_RUNTIME_DIR);
    restore("TMPDIR", TMPDIR);
    expect(await health(proxy)).toEqual(HEALTHY);
  } finally {
    restore("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY);
    restore("XDG_RUNTIME_DIR", XDG_RUNTIME_DIR);
    restore("TMPDIR", TMPDIR);
    await proxy.close();
  }
});

function restore(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
