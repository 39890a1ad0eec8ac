/**
 * Progress requests: a client asks how far its stream is, and what it is told is never ahead of its events.
 *
 * Before 3.4.25 a member answered at once, even when events up to the told revision were still to come. Through
 * the grpc-proxy the order holds even then.
 */
import { expect } from "bun:test";
import type { WatchResponse } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { WatchCreateRequest_FilterType } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { eachTargetOf, useTargets } from "../targets.ts";
import { eachTargetSinceOf } from "./each-target-since.ts";
import { describedAnswer, prefixRange, type WatchedRange, WatchStream } from "./watch-stream.ts";
import { type Expectation, Writer } from "./writer.ts";

const targets = useTargets();
const eachTarget = eachTargetOf(targets);
const eachTargetSince = eachTargetSinceOf(targets);

const HISTORY = 300;
const ROUNDS = 40;

function isProgress({ watchId, created, canceled, events }: WatchResponse): boolean {
  return watchId === -1n && !created && !canceled && events.length === 0;
}

/** Asks, again and again, until the stream is told to be at `revision` or further. */
function progressTo(stream: WatchStream, revision: bigint): Promise<WatchResponse> {
  return waitFor(`progress to revision ${revision}`, async () => {
    stream.requestProgress();
    return stream.answers.findLast((it) => isProgress(it) && it.header!.revision >= revision);
  });
}

interface Watched extends Expectation {
  readonly range: WatchedRange;
}

/** Each answer of progress that came before an event it should have come after, or went back. */
function wrongProgress(stream: WatchStream, writer: Writer, watches: ReadonlyMap<bigint, Watched>): string[] {
  const seen = new Map<bigint, number>();
  const wrong: string[] = [];
  let told = 0n;
  for (const answer of stream.answers) {
    const upTo = answer.header!.revision;
    if (!isProgress(answer)) {
      // From its `created` on a watch is counted.
      seen.set(answer.watchId, (seen.get(answer.watchId) ?? 0) + answer.events.length);
      continue;
    }
    if (upTo < told) wrong.push(`${describedAnswer(answer)}: ${told} was told before`);
    told = upTo;
    for (const [watchId, watched] of watches) {
      const came = seen.get(watchId);
      if (came === undefined) continue;
      const missing = writer.expected(watched.range, { ...watched, upTo }).length - came;
      if (missing > 0) {
        wrong.push(`${describedAnswer(answer)}: ${missing} events of watch ${watchId} are yet to come`);
      }
    }
  }
  return wrong;
}

eachTarget(
  "a progress request is answered with a revision that is not below an acknowledged put",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    using stream = new WatchStream(client);
    const key = `${target.name}/progress`;
    await stream.open({ key });
    const inside = await progressTo(stream, await writer.put(key, "1"));
    expect(inside).toMatchObject({ watchId: -1n, cancelReason: "", compactRevision: 0n, fragment: false });
    // A write that no watch of the stream sees moves it too.
    await progressTo(stream, await writer.put(`${target.name}/elsewhere`, "1"));
    expect(await stream.events(0n, 1)).toEqual(writer.expected({ key }));
  },
);

eachTarget("a progress request is answered though filters leave out every event", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  using stream = new WatchStream(client);
  const key = `${target.name}/filtered`;
  const { NOPUT, NODELETE } = WatchCreateRequest_FilterType;
  await stream.open({ key }, { filters: [NOPUT, NODELETE] });
  await progressTo(stream, await writer.put(key, "1"));
  expect(stream.seen(0n)).toEqual([]);
});

eachTarget("progress is told to the stream that asked, and to no other", async (target) => {
  using client = new GrpcClient(target.address);
  const writer = new Writer(client);
  const key = `${target.name}/asked`;
  using asking = new WatchStream(client);
  using silent = new WatchStream(client);
  await asking.open({ key });
  await silent.open({ key });
  await progressTo(asking, await writer.put(key, "1"));
  await writer.put(key, "2");
  await silent.events(0n, 2);
  expect(silent.answers.filter(isProgress).map(describedAnswer)).toEqual([]);
});

eachTargetSince(
  "3.5",
  "progress follows all events up to its revision, while much is written",
  async (target) => {
    using client = new GrpcClient(target.address);
    using other = new GrpcClient(target.address);
    const writer = new Writer(other);
    using stream = new WatchStream(client);
    const range = prefixRange(`${target.name}/ordered/`);
    const first = await writer.putMany(range.key, 1);
    await writer.putMany(range.key, HISTORY - 1);
    const watches = new Map<bigint, Watched>();
    for (const [watched, startRevision] of [
      [range, 0n],
      [{ key: `${range.key}1`, rangeEnd: `${range.key}3` }, 0n],
      [range, first],
      [{ key: `${range.key}7` }, first + 5n],
    ] as const) {
      const { watchId, header } = await stream.open(watched, { startRevision });
      watches.set(watchId, {
        range: watched,
        from: startRevision === 0n ? header!.revision + 1n : startRevision,
      });
      stream.requestProgress();
    }
    for (let round = 0; round < ROUNDS; round++) {
      stream.requestProgress();
      await Promise.all([
        writer.put(`${range.key}1`, String(round)),
        writer.put(`${range.key}7`, String(round)),
      ]);
      stream.requestProgress();
      if (round % 10 === 0) stream.create(range, { startRevision: first });
    }
    await progressTo(stream, await writer.put(`${range.key}2`, "the last one"));
    for (const [watchId, watched] of watches) {
      const expected = writer.expected(watched.range, watched);
      expect(stream.seen(watchId)).toEqual(expected);
    }
    expect(wrongProgress(stream, writer, watches)).toEqual([]);
  },
  "grpcProxy",
);

eachTargetSince(
  "3.5",
  "a watch that is behind is not said to be further than it is",
  async (target) => {
    using client = new GrpcClient(target.address);
    const writer = new Writer(client);
    using stream = new WatchStream(client);
    const range = prefixRange(`${target.name}/behind/`);
    const first = await writer.putMany(range.key, 1);
    const last = await writer.putMany(range.key, HISTORY);
    stream.create(range, { startRevision: first });
    stream.requestProgress();
    await stream.nextCreated();
    await progressTo(stream, last);
    expect(stream.seen(0n)).toEqual(writer.expected(range));
    expect(wrongProgress(stream, writer, new Map([[0n, { range }]]))).toEqual([]);
  },
  "grpcProxy",
);
