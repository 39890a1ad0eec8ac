/** The npm package `etcd3` with a name and a password, on all targets: it asks for tokens, and for new ones. */
import { beforeAll, expect } from "bun:test";
import { Etcd3 } from "etcd3";
import { waitFor } from "../../harness/wait-for.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { PASSWORD } from "../watch/accounts.ts";
import { addPeople, administer, CHEAP_PASSWORDS } from "./people.ts";

const targets = useTargets({ members: 1, memberFlags: [CHEAP_PASSWORDS] });
const eachTarget = eachTargetOf(targets);
const member = (): string => targets.cluster.member(0).endpoint;

beforeAll(() => addPeople(member()), 60_000);

/** Somebody's client; closed by the caller. */
function open(target: Target, username: string, password = PASSWORD): Etcd3 & Disposable {
  const hosts = target.endpoints.map((endpoint) => `http://${endpoint}`);
  const client = new Etcd3({ hosts, auth: { username, password } });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    return String(error);
  }
}

eachTarget("a user reads and writes what the role allows, and is refused the rest", async (target) => {
  using reader = open(target, "reader");
  const key = `p/${target.name}/etcd3`;
  await reader.put(key).value("1");
  expect(await reader.get(key).string()).toBe("1");
  expect(await reader.get(key).serializable(true).string()).toBe("1");
  using stranger = open(target, "stranger");
  expect(await refusalOf(stranger.get(key).string())).toContain("permission denied");
  expect(await refusalOf(stranger.get(key).serializable(true).string())).toContain("permission denied");
  expect(await refusalOf(stranger.put(key).value("2").exec())).toContain("permission denied");
  using guesser = open(target, "reader", "guessed");
  expect(await refusalOf(guesser.get(key).string())).toContain("authentication failed");
});

eachTarget("a client whose tokens have ended asks for a new one", async (target) => {
  using client = open(target, "second");
  const key = `p/${target.name}/anew`;
  for (let round = 0; round < 3; round++) {
    await client.put(key).value(round);
    expect(await client.get(key).serializable(true).number()).toBe(round);
    await administer(member(), (accounts) => accounts.endTokens("second"));
  }
});

eachTarget(
  "a watcher and a leased key live on when the user's tokens have ended, and a lock is acquired",
  async (target) => {
    using client = open(target, "second");
    const keys = client.namespace(`p/${target.name}/lives/`);
    const watcher = await keys.watch().prefix("").create();
    const seen: string[] = [];
    watcher.on("put", ({ key, value }) => seen.push(`${key.toString()}=${value.toString()}`));
    const lease = keys.lease(60);
    await lease.put("leased").value("1");
    await administer(member(), (accounts) => accounts.endTokens("second"));
    await keys.put("a").value("2");
    const lock = await keys.lock("lock").acquire();
    await keys.put("b").value("3");
    await waitFor("the puts", () => seen.includes("b=3"));
    expect(seen.filter((each) => !each.startsWith("lock"))).toEqual(["leased=1", "a=2", "b=3"]);
    await lock.release();
    await lease.revoke();
    await watcher.cancel();
  },
);
