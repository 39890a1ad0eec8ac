/**
 * Watches while the cluster has no leader: the streams that asked for one end, the others wait and miss nothing.
 *
 * The proxies know one member only, the one that is left alone.
 */
import { afterEach, expect } from "bun:test";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { prefixRange, WatchStream } from "./watch-stream.ts";
import { Writer } from "./writer.ts";

const targets = useTargets({ proxiedMembers: [0] });
const eachTarget = eachTargetOf(targets);

const REQUIRE_LEADER = { metadata: { hasleader: "true" } };
const NO_LEADER = { code: 14, details: "etcdserver: no leader" };

async function loseQuorum(): Promise<void> {
  await Promise.all([1, 2].map((index) => targets.cluster.member(index).kill()));
}

async function regainQuorum(): Promise<void> {
  for (const member of targets.cluster.members) if (!member.running) member.restart();
  await targets.cluster.waitHealthy();
}

afterEach(regainQuorum);

eachTarget(
  "streams that require a leader end without one, all others go on where they were",
  async (target) => {
    using client = new GrpcClient(target.address);
    using other = new GrpcClient(target.address);
    const writer = new Writer(client);
    const range = prefixRange(`${target.name}/leader/`);
    const startRevision = await writer.put(`${range.key}a`, "1");
    const requiring = [client, other, client].map((it) => new WatchStream(it, REQUIRE_LEADER));
    const patient = [client, other].map((it) => new WatchStream(it));
    using spelledOtherwise = new WatchStream(client, { metadata: { hasleader: "TRUE" } });
    for (const stream of [...requiring, ...patient, spelledOtherwise]) await stream.open(range);
    using withoutWatches = new WatchStream(client, REQUIRE_LEADER);
    await loseQuorum();
    for (const stream of [...requiring, withoutWatches]) expect(await stream.over()).toMatchObject(NO_LEADER);

    using late = new WatchStream(client, REQUIRE_LEADER);
    late.create(range);
    expect(await late.over()).toMatchObject(NO_LEADER);
    expect(late.answers.flatMap(({ events }) => events)).toEqual([]);

    // A member tells what it knows without a leader.
    using begun = new WatchStream(other);
    await begun.open(range);
    await begun.open(range, { startRevision });
    expect(await begun.events(1n, 1)).toEqual(writer.expected(range));

    await regainQuorum();
    const from = await writer.put(`${range.key}a`, "2");
    await writer.put(`${range.key}b`, "1");
    const expected = writer.expected(range, { from });
    for (const stream of [...patient, spelledOtherwise, begun]) {
      expect(await stream.events(0n, 2)).toEqual(expected);
      expect(stream.ended).toBe(false);
    }
    expect(await begun.events(1n, 3)).toEqual(writer.expected(range));
    using again = new WatchStream(client, REQUIRE_LEADER);
    await again.open(range, { startRevision });
    expect(await again.events(0n, 3)).toEqual(writer.expected(range));
  },
);
