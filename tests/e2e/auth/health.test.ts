/** `/health` while authentication is on: a member that refuses a stranger is one that answers. */
import { beforeAll, expect, test } from "bun:test";
import { waitFor } from "../../harness/wait-for.ts";
import { useTargets } from "../targets.ts";
import { addPeople, CHEAP_PASSWORDS } from "./people.ts";

const targets = useTargets({ memberFlags: [CHEAP_PASSWORDS] });
const DEADLINE_MS = 45_000;

beforeAll(() => addPeople(targets.cluster.member(0).endpoint), 60_000);

async function health(): Promise<{
  readonly status: number;
  readonly health: string;
  readonly reason: string;
}> {
  const answer = await fetch(`http://${targets.grpcProxy.address}/health`, { keepalive: false });
  const body = (await answer.json()) as { health: string; reason: string };
  return { status: answer.status, ...body };
}

test("grpcProxy: is healthy though nobody may read without a token", async () => {
  expect(await health()).toEqual({ status: 200, health: "true", reason: "" });
});

test("grpcProxy: is not healthy without a majority, nor without members, and then again", async () => {
  const [first, second, third] = targets.cluster.members;
  const becomes = (expected: string): Promise<boolean> =>
    waitFor(`health ${expected}`, async () => (await health()).health === expected, {
      deadlineMs: DEADLINE_MS,
    });
  await Promise.all([first!.kill(), second!.kill()]);
  await becomes("false");
  const alone = await health();
  expect([alone.status, alone.reason]).toEqual([503, expect.stringMatching(/./)]);
  await third!.kill();
  const { status, reason } = await health();
  expect([status, reason]).toEqual([503, expect.stringContaining("etcdproxy:")]);
  for (const member of [first!, second!, third!]) member.restart();
  await targets.cluster.waitHealthy(DEADLINE_MS);
  await becomes("true");
});
