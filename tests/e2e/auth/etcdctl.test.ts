/**
 * `etcdctl --user`, the Go client with a name and a password, on all targets: an administrator's commands, and what
 * users may and may not.
 */
import { beforeAll, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { etcdctl, EtcdctlStream } from "../../harness/etcdctl.ts";
import { TemporaryFolder } from "../../harness/temporary-folder.ts";
import { eachTargetOf, type Target, useTargets } from "../targets.ts";
import { PASSWORD } from "../watch/accounts.ts";
import { addPeople, CHEAP_PASSWORDS } from "./people.ts";
import { sameOutcomes } from "./same-outcomes.ts";

const targets = useTargets({ members: 1, memberFlags: [CHEAP_PASSWORDS] });
const eachTarget = eachTargetOf(targets);

beforeAll(() => addPeople(targets.cluster.member(0).endpoint), 60_000);

const as = (user: string, password = PASSWORD): string => `--user=${user}:${password}`;

/** What a command prints, without what differs from target to target: its exit status, its output, its error. */
async function told(target: Target, rest: readonly string[], stdin?: string): Promise<string> {
  const input = stdin === undefined ? undefined : new TextEncoder().encode(stdin);
  const { code, stdout, stderr } = await etcdctl(target.endpoints, rest, input);
  // Beside its error the client logs each attempt, with times and addresses.
  const error = stderr.split("\n").filter((line) => /^Error|^[^{]*rpc error/.test(line));
  const said = [stdout.trimEnd(), ...error]
    .join("\n")
    .replaceAll(target.name, "TARGET")
    .replaceAll(target.address, "ADDRESS");
  return `${code}: ${said.replaceAll(/\b[0-9a-f]{16}\b/g, "ID").replace(/remaining\(\d+s\)/, "remaining")}`;
}

async function transcript(
  target: Target,
  user: string,
  commands: readonly (readonly string[])[],
): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const command of commands) {
    const name = command.join(" ").replaceAll(target.name, "TARGET");
    all[name] = await told(target, [as(user), ...command]);
  }
  return all;
}

sameOutcomes(
  eachTarget,
  "an administrator adds users, and roles with ranges of each kind, and takes them away",
  (target) => {
    const user = `${target.name}-user`;
    const role = `${target.name}-role`;
    const grant = ["role", "grant-permission", role];
    return transcript(target, "root", [
      ["user", "add", `${user}:first`],
      ["user", "add", `${user}:first`],
      ["role", "add", role],
      [...grant, "read", "one"],
      [...grant, "readwrite", "some/", "--prefix"],
      [...grant, "write", "tail", "--from-key"],
      [...grant, "read", "from", "to"],
      ["role", "get", role],
      ["user", "grant-role", user, role],
      ["user", "grant-role", user, "no such role"],
      ["user", "get", user],
      ["user", "get", user, "--detail"],
      ["role", "revoke-permission", role, "some/", "--prefix"],
      ["role", "revoke-permission", role, "tail", "--from-key"],
      ["role", "get", role],
      ["user", "revoke-role", user, role],
      ["user", "get", user],
      ["role", "delete", role],
      ["role", "get", role],
      ["user", "delete", user],
      ["user", "get", user],
    ]);
  },
  (outcome) => {
    expect(outcome["user add TARGET-user:first"]).toStartWith("1: ");
    expect(outcome["role grant-permission TARGET-role readwrite some/ --prefix"]).toStartWith("0: ");
    expect(outcome["user get TARGET-user"]).toContain("user name not found");
  },
);

sameOutcomes(
  eachTarget,
  "a user may what the role says, and to all else etcd's own refusal comes",
  (target) =>
    transcript(target, "reader", [
      ["put", `p/${target.name}`, "mine"],
      ["get", `p/${target.name}`],
      ["get", `p/${target.name}`, "--consistency=s"],
      ["get", `p/${target.name}`, "--prefix", "--print-value-only"],
      // Before 3.7 etcd takes that for the one key (GHSA-xg4h-6gfc-h4m8).
      ["get", `p/${target.name}`, "--from-key", "--limit=1", "--keys-only"],
      ["get", "", "--prefix"],
      ["get", "q/"],
      ["get", "q/", "--consistency=s"],
      ["put", "q/", "not mine"],
      ["del", `p/${target.name}`],
      ["del", "q/", "--prefix"],
      ["user", "list"],
      ["user", "add", "another:one"],
      ["role", "add", "another"],
      ["auth", "disable"],
      ["member", "add", "another", "--peer-urls=http://127.0.0.1:1"],
      ["defrag"],
      ["lease", "timetolive", "1234"],
    ]),
  (outcome) => {
    expect(outcome["get p/TARGET --consistency=s"]).toBe("0: p/TARGET\nmine\n".trimEnd());
    expect(outcome["get q/ --consistency=s"]).toContain("permission denied");
  },
);

sameOutcomes(
  eachTarget,
  "without a user, with a wrong password and as nobody known nothing is done",
  async (target) => {
    const refused: Record<string, string> = {};
    for (const [who, flags] of [
      ["nobody", []],
      ["a wrong password", [as("reader", "guessed")]],
      ["a stranger to etcd", [as("no-such-user")]],
    ] as const) {
      for (const command of [
        ["get", "p/one"],
        ["put", "p/one", "1"],
        ["user", "list"],
        ["lease", "grant", "60"],
      ])
        refused[`${who}: ${command.join(" ")}`] = await told(target, [...flags, ...command]);
    }
    return refused;
  },
  (outcome) => {
    expect(outcome["nobody: get p/one"]).toContain("etcdserver: user name is empty");
    expect(outcome["a wrong password: get p/one"]).toContain("etcdserver: authentication failed");
  },
);

eachTarget("a new password counts at once, and the old one no more", async (target) => {
  const user = `${target.name}-changing`;
  expect(await told(target, [as("root"), "user", "add", `${user}:first`])).toStartWith("0: ");
  expect(await told(target, [as("root"), "user", "grant-role", user, "prefix"])).toStartWith("0: ");
  expect(await told(target, [as(user, "first"), "put", `p/${user}`, "1"])).toBe("0: OK");
  const change = ["user", "passwd", user, "--interactive=false"];
  expect(await told(target, [as("root"), ...change], "second\n")).toStartWith("0: ");
  expect(await told(target, [as(user, "first"), "get", `p/${user}`])).toContain("authentication failed");
  expect(await told(target, [as(user, "second"), "get", `p/${user}`, "--print-value-only"])).toBe("0: 1");
});

eachTarget("txn takes a branch that the user may take, and none that the user may not", async (target) => {
  const key = `p/${target.name}/txn`;
  await told(target, [as("reader"), "put", key, "1"]);
  const own = `value("${key}") = "1"\n\nput ${key} 2\n\nget ${key}\n\n`;
  expect(await told(target, [as("reader"), "txn"], own)).toBe("0: SUCCESS\n\nOK");
  const foreign = `value("${key}") = "2"\n\nget ${key}\n\nput q/x 1\n\n`;
  expect(await told(target, [as("reader"), "txn"], foreign)).toContain("permission denied");
  expect(await told(target, [as("reader"), "get", key, "--print-value-only"])).toBe("0: 2");
});

eachTarget("watch shows what the user may see, and tells who may not", async (target) => {
  const prefix = `p/${target.name}/watch/`;
  await using watch = new EtcdctlStream(target.endpoints, [as("reader"), "watch", prefix, "--prefix"]);
  const wider = ["watch", `p/${target.name}/`, "--prefix"];
  await using all = new EtcdctlStream(target.endpoints, [as("root"), ...wider]);
  await using denied = new EtcdctlStream(target.endpoints, [as("stranger"), "watch", prefix, "--prefix"]);
  const refusal = "etcdserver: permission denied";
  await denied.stderr.find("the refusal", (line) => (line.includes(refusal) ? line : undefined));
  // Until both have begun nothing tells when they have.
  const begun = new AbortController();
  const writing = (async () => {
    while (!begun.signal.aborted) await told(target, [as("second"), "put", `${prefix}a`, "1"]);
  })();
  try {
    for (const stream of [watch, all]) {
      expect(await stream.nextLines(3)).toEqual(["PUT", `${prefix}a`, "1"]);
    }
  } finally {
    begun.abort();
    await writing;
  }
});

sameOutcomes(
  eachTarget,
  "a lease is kept alive, its keys are shown, and it is revoked, by who may at this version",
  async (target) => {
    const key = `p/${target.name}/leased`;
    const granted = await etcdctl(target.endpoints, [as("reader"), "lease", "grant", "60"]);
    const [, id = ""] = /lease ([0-9a-f]+) granted/.exec(granted.stdout) ?? [];
    expect(await told(target, [as("reader"), "put", key, "1", `--lease=${id}`])).toBe("0: OK");
    await using alive = new EtcdctlStream(target.endpoints, [as("reader"), "lease", "keep-alive", id]);
    expect(await alive.nextLine()).toBe(`lease ${id} keepalived with TTL(60)`);
    return {
      "keys for the owner": await told(target, [as("reader"), "lease", "timetolive", id, "--keys"]),
      "keys for a stranger": await told(target, [as("stranger"), "lease", "timetolive", id, "--keys"]),
      "keys for root": await told(target, [as("root"), "lease", "timetolive", id, "--keys"]),
      "without keys": await told(target, [as("stranger"), "lease", "timetolive", id]),
      once: await told(target, [as("stranger"), "lease", "keep-alive", "--once", id]),
      "revoked by a stranger": await told(target, [as("stranger"), "lease", "revoke", id]),
      revoked: await told(target, [as("reader"), "lease", "revoke", id]),
      "the key": await told(target, [as("reader"), "get", key]),
    };
  },
  (outcome) => {
    expect(outcome["keys for the owner"]).toContain("attached keys([p/TARGET/leased])");
    expect(outcome["revoked by a stranger"]).toContain("etcdserver: permission denied");
    expect([outcome.revoked, outcome["the key"]]).toEqual(["0: lease ID revoked", "0: "]);
  },
);

eachTarget("a lock and an election are for who may write their keys", async (target) => {
  const name = `p/${target.name}/lock`;
  await using holder = new EtcdctlStream(target.endpoints, [as("reader"), "lock", name]);
  expect(await holder.nextLine()).toStartWith(`${name}/`);
  await using next = new EtcdctlStream(target.endpoints, [as("second"), "lock", name]);
  expect(await told(target, [as("stranger"), "lock", name])).toContain("permission denied");
  expect(await holder.stop()).toBe(0);
  expect(await next.nextLine()).toStartWith(`${name}/`);
  expect(await next.stop()).toBe(0);

  const election = `p/${target.name}/election`;
  await using first = new EtcdctlStream(target.endpoints, [as("reader"), "elect", election, "first"]);
  expect((await first.nextLines(2))[1]).toBe("first");
  await using observer = new EtcdctlStream(target.endpoints, [as("second"), "elect", "--listen", election]);
  expect((await observer.nextLines(2))[1]).toBe("first");
  expect(await told(target, [as("stranger"), "elect", election, "x"])).toContain("permission denied");
  await using second = new EtcdctlStream(target.endpoints, [as("second"), "elect", election, "second"]);
  expect(await first.stop()).toBe(0);
  expect((await second.nextLines(2))[1]).toBe("second");
  expect(await second.stop()).toBe(0);
});

eachTarget("a snapshot is for root only", async (target) => {
  using folder = new TemporaryFolder("auth-snapshot");
  await told(target, [as("root"), "put", `p/${target.name}/snapshot`, "value"]);
  const save = (user: string, file: string): Promise<string> =>
    told(target, [as(user), "snapshot", "save", folder.file(file)]);
  expect(await save("reader", "reader.db")).toContain("permission denied");
  expect(await save("root", "root.db")).toStartWith("0: ");
  expect(readFileSync(folder.file("root.db")).includes(`p/${target.name}/snapshot`)).toBe(true);
});
