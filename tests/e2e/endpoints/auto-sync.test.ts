/**
 * `--endpoints-auto-sync-interval` of the compiled file before a cluster that grows and shrinks: the endpoints are its
 * voting members, while clients keep calling.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { CertificateAuthority } from "../../harness/certificates.ts";
import { startEtcdCluster } from "../../harness/etcd-cluster.ts";
import { startGrpcProxy } from "../../harness/etcdproxy-process.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { beyondUnavailable, Load } from "../load.ts";
import { connectionsTo } from "../sockets.ts";
import { changed } from "./dns-records.ts";

setDefaultTimeout(180_000);

const CLIENTS = 4;
const CALLS = 50;
const SYNC = "--endpoints-auto-sync-interval=200ms";

test("members that are added are used, removed ones dropped, learners only once they are promoted", async () => {
  await using cluster = await startEtcdCluster({ members: 3 });
  const [first, second, third] = [cluster.member(0), cluster.member(1), cluster.member(2)];
  // A leader that is removed would cost calls: that is etcd's own answer.
  if ((await cluster.leader()) === first) {
    const { memberId } = await second.status();
    await first.call("/v3/maintenance/transfer-leadership", { targetID: memberId });
  }
  await using proxy = await startGrpcProxy([first.endpoint], [SYNC]);
  await changed(proxy, { added: [second.endpoint, third.endpoint] });
  await using load = new Load(proxy.address, "auto-sync", CLIENTS);
  await load.progress(CALLS);

  const announced = await cluster.announceMember("learner");
  await load.progress(CALLS);
  const learner = announced.start();
  await waitFor("the learner to be in the member list under its name", async () => {
    const { members } = (await first.call("/v3/cluster/member/list", {})) as { members: { name?: string }[] };
    return members.some(({ name }) => name === learner.name);
  });
  await load.progress(CALLS);
  expect(proxy.log.filter(({ msg }) => msg === "the endpoints have changed")).toHaveLength(1);
  await cluster.promoteMember(learner);
  await changed(proxy, { added: [learner.endpoint] });
  await load.progress(CALLS);

  expect({ reads: load.readFailures, writes: load.writeFailures }).toEqual({ reads: [], writes: [] });

  // The one that was named, and may be in use.
  await cluster.removeMember(first);
  await changed(proxy, { removed: [first.endpoint] });
  await load.progress(CALLS);
  await load.stop();
  expect(load.readFailures).toEqual([]);
  // A member that was removed a moment ago may still be asked to write, and says so in its own words.
  const unexpected = beyondUnavailable(load.writeFailures).filter(
    ({ details }) => details !== "raft: stopped",
  );
  expect(unexpected).toEqual([]);
  using directly = new GrpcClient(second.endpoint);
  await load.settle(directly);
  expect(connectionsTo(proxy.pid, first.endpoint)).toBe(0);
});

test("members whose URLs say https are spoken to over TLS", async () => {
  using folder = new TemporaryFolder("auto-sync");
  const authority = await CertificateAuthority.create(folder, "ours");
  const server = await authority.server("members");
  await using cluster = await startEtcdCluster({ members: 3, tls: { server } });
  const [first, second, third] = [cluster.member(0), cluster.member(1), cluster.member(2)];
  await using proxy = await startGrpcProxy([first.url], [SYNC, `--cacert=${authority.file}`]);
  await changed(proxy, { added: [second.endpoint, third.endpoint] });
  await first.kill();
  await waitFor("another member to be connected", () =>
    proxy.log.some(({ msg, endpoint }) => msg === "connected to a member" && endpoint !== first.endpoint),
  );
  expect(
    connectionsTo(proxy.pid, second.endpoint) + connectionsTo(proxy.pid, third.endpoint),
  ).toBeGreaterThan(0);
});
