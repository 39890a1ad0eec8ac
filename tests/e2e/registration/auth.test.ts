/** Registrations in a cluster with users: in the name of the proxy's own, or of nobody. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ServiceError } from "@grpc/grpc-js";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { OWN_USER, type OwnUserScene, ownUserScene } from "../own-user/scene.ts";
import { PASSWORD } from "../watch/accounts.ts";
import { prefixRange } from "../watch/watch-stream.ts";
import {
  freeAddresses,
  PREFIX,
  registering,
  Registry,
  startRegistering,
  valueOf,
  waitRegistered,
} from "./scene.ts";

setDefaultTimeout(90_000);

const CANNOT = "this proxy cannot be registered";
/** Shorter than etcd lets it be; heartbeats come every second or so. */
const TTL = 3;
/** In the life of a lease. */
const HEARTBEATS = 3;

let scene: OwnUserScene;
let registry: Registry;
beforeAll(async () => {
  scene = await ownUserScene("simple");
  registry = new Registry(scene.cluster, [`--user=root:${PASSWORD}`]);
}, 120_000);
afterAll(() => scene[Symbol.asyncDispose](), 30_000);

function flags(address: string, user = OWN_USER): string[] {
  const own = user === "" ? [] : [`--user=${user}`, `--password-file=${scene.passwordFile()}`];
  return [...registering(address, TTL), ...own];
}

/** The clients that a proxy names to root. */
async function listed(address: string): Promise<string[]> {
  using client = new GrpcClient(address);
  const metadata = { ...(await scene.accounts.logIn("root")) };
  const { members } = await client.unary(Cluster.method.memberList, {}, { metadata });
  return members.flatMap(({ clientURLs }) => clientURLs);
}

/** What nobody is told of the members: which depends on the version of etcd. */
async function outcome(client: GrpcClient): Promise<string> {
  return await client.unary(Cluster.method.memberList, {}).then(
    () => "a list",
    (error: unknown) => (error as ServiceError).details,
  );
}

describe("while authentication is on", () => {
  beforeAll(() => scene.accounts.enable());

  test("a user without the right is refused with a line that tells the key, and registered once it has it", async () => {
    const [address] = freeAddresses(1) as [string];
    await using proxy = await startRegistering(scene.cluster.endpoints, address, flags(address));
    const line = await proxy.logged(CANNOT);
    expect(line).toMatchObject({
      level: "warn",
      key: `${PREFIX}/${address}`,
      reason: "etcdserver: permission denied",
    });
    expect(await proxy.logged("the registered proxies cannot be watched")).toMatchObject({
      prefix: PREFIX,
      reason: "etcdserver: permission denied",
    });
    expect(await listed(address)).toEqual([address]);
    await scene.accounts.addRole("registry", [prefixRange(`${PREFIX}/`)]);
    await scene.accounts.grantRole(OWN_USER, "registry");
    await waitRegistered(proxy);
    expect(await registry.keys()).toEqual({ [`${PREFIX}/${address}`]: valueOf(address) });
    await proxy.logged("the registered proxies are watched again");

    // Its token is known to no member any more, and the lease lives on all the same.
    await scene.accounts.endTokens(OWN_USER);
    await scene.restartMember();
    await waitFor("two lives of the lease", async () => {
      return (await scene.handled("LeaseKeepAlive", "OK")) >= 2 * HEARTBEATS;
    });
    expect(await registry.keys()).toEqual({ [`${PREFIX}/${address}`]: valueOf(address) });

    // A second one, of which nobody but the watch can know.
    const [second] = freeAddresses(1) as [string];
    await using other = await startRegistering(scene.cluster.endpoints, second, flags(second));
    await waitFor("both to be listed", async () =>
      Bun.deepEquals(await listed(address), [address, second].toSorted()),
    );
    expect(await other.stop()).toBe(0);
    expect(await proxy.stop()).toBe(0);
    expect([await registry.keys(), await registry.leases()]).toEqual([{}, []]);
  });

  test("a proxy without a user of its own says why it cannot be registered, and serves all the same", async () => {
    const [address] = freeAddresses(1) as [string];
    await using proxy = await startRegistering(scene.cluster.endpoints, address, flags(address, ""));
    expect(await proxy.logged(CANNOT)).toMatchObject({ reason: "etcdserver: user name is empty" });
    expect(await listed(address)).toEqual([address]);
    using client = new GrpcClient(address);
    using direct = new GrpcClient(scene.cluster.endpoints[0]!);
    expect(await outcome(client)).toBe(await outcome(direct));
    expect(await proxy.stop()).toBe(0);
  });
});
