/**
 * What was read for a user, once he may not read it any more. After a change that went through this proxy nothing
 * cached is served, whatever was under way; a change made elsewhere counts after `--cache-max-age` at the latest, as
 * that of a value does. Through the grpc-proxy only.
 */
import { beforeAll, beforeEach, expect, test } from "bun:test";
import { Permission_Type } from "../../../src/gen/authpb/auth_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { waitFor } from "../../harness/wait-for.ts";
import { bytes } from "../methods/side.ts";
import { LINEARIZABLE, type ReadClient, SERIALIZABLE, underWay } from "../reads/read-client.ts";
import { LASTING, type Proxied, useReads } from "../reads/reads-fixture.ts";
import { Accounts, PASSWORD } from "../watch/accounts.ts";
import { addPeople, administer, tokenOf } from "./people.ts";
import { outcomeOf } from "./same-outcomes.ts";

const fixture = useReads();
const member = (): string => fixture.cluster.member(0).endpoint;

const DENIED = "7 etcdserver: permission denied";
const KEY = "p/cached";
const MAX_AGE = "--cache-max-age=1s";
/** Far beyond that age, on a machine that is busy. */
const BOUND_MS = 20_000;

const METADATA = async (user: string): Promise<Record<string, string>> => ({
  ...(await tokenOf(member(), user)),
});

beforeAll(async () => {
  await fixture.direct.put(KEY, "secret");
  await addPeople(member());
}, 60_000);

/** `changing` may read `p/…` by a role of his own. */
beforeEach(() =>
  administer(member(), async (accounts) => {
    await accounts.deleteUser("changing").catch(() => {});
    await fixture.direct.grpc
      .unary(Auth.method.roleDelete, { role: "changing" }, { metadata: await METADATA("root") })
      .catch(() => {});
    await accounts.addRole("changing", [{ key: "p/", rangeEnd: "p0" }]);
    await accounts.addUser("changing");
    await accounts.grantRole("changing", "changing");
  }),
);

async function reader(proxied: Proxied, user = "changing"): Promise<ReadClient> {
  return proxied.connect(await METADATA(user));
}

const read = (
  client: ReadClient,
  options = SERIALIZABLE as { readonly serializable: boolean },
): Promise<string> => outcomeOf(client.get(KEY, options));

/** Reads until the answer is cached, and shows that it is. */
async function cached(client: ReadClient): Promise<void> {
  expect(await read(client)).toBe("OK");
  expect(await fixture.cost(async () => expect(await read(client)).toBe("OK"))).toBe(0);
}

const CHANGES: Readonly<
  Record<string, (root: ReadClient, metadata: Record<string, string>) => Promise<unknown>>
> = {
  "the user's role is revoked": ({ grpc }, metadata) =>
    grpc.unary(Auth.method.userRevokeRole, { name: "changing", role: "changing" }, { metadata }),
  "the role's permission is revoked": ({ grpc }, metadata) =>
    grpc.unary(
      Auth.method.roleRevokePermission,
      { role: "changing", key: bytes("p/"), rangeEnd: bytes("p0") },
      { metadata },
    ),
  "the role is deleted": ({ grpc }, metadata) =>
    grpc.unary(Auth.method.roleDelete, { role: "changing" }, { metadata }),
  "the user is deleted": ({ grpc }, metadata) =>
    grpc.unary(Auth.method.userDelete, { name: "changing" }, { metadata }),
  "the user has another password": ({ grpc }, metadata) =>
    grpc.unary(Auth.method.userChangePassword, { name: "changing", password: "another" }, { metadata }),
};

for (const [what, change] of Object.entries(CHANGES)) {
  test(`when ${what} through the proxy, nothing cached is served any more`, async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const changing = await reader(proxied);
    const other = await reader(proxied, "reader");
    await cached(changing);
    await cached(other);
    await change(proxied.connect(), await METADATA("root"));
    expect(await read(changing)).not.toBe("OK");
    expect(await read(changing, LINEARIZABLE)).not.toBe("OK");
    expect(await read(other)).toBe("OK");
  });

  test(`when ${what} at etcd itself, nothing cached is served beyond its age, however often it is asked for`, async () => {
    await using proxied = await fixture.proxied([MAX_AGE]);
    const changing = await reader(proxied);
    expect(await read(changing)).toBe("OK");
    await change(fixture.direct, await METADATA("root"));
    // What is shared is read at the member, so it is refused at once.
    expect(await read(changing, LINEARIZABLE)).not.toBe("OK");
    await waitFor("the refusal", async () => (await read(changing)) !== "OK", { deadlineMs: BOUND_MS });
    expect(await read(changing)).not.toBe("OK");
  });
}

test("a change in another protocol counts as well", async () => {
  await using proxied = await fixture.proxied([LASTING]);
  const changing = await reader(proxied);
  await cached(changing);
  const answer = await fetch(`http://${proxied.proxy.address}/etcdserverpb.Auth/UserRevokeRole`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(await METADATA("root")) },
    body: JSON.stringify({ name: "changing", role: "changing" }),
    keepalive: false,
  });
  expect(answer.status).toBe(200);
  expect(await read(changing)).toBe(DENIED);
});

test("what a role is granted in addition is read at once", async () => {
  await using proxied = await fixture.proxied([LASTING]);
  const stranger = await reader(proxied, "stranger");
  expect(await read(stranger)).toBe(DENIED);
  const metadata = await METADATA("root");
  const perm = { permType: Permission_Type.READ, key: bytes(KEY) };
  const { grpc } = proxied.connect();
  await grpc.unary(Auth.method.roleGrantPermission, { name: "other", perm }, { metadata });
  try {
    expect(await read(stranger)).toBe("OK");
  } finally {
    await grpc.unary(Auth.method.roleRevokePermission, { role: "other", key: bytes(KEY) }, { metadata });
  }
  expect(await read(stranger)).toBe(DENIED);
});

for (const options of [SERIALIZABLE, LINEARIZABLE]) {
  const kind = options.serializable ? "serializable" : "linearizable";
  test(`a ${kind} answer that comes behind the acknowledgement of a revocation is not kept`, async () => {
    await using proxied = await fixture.gated([LASTING]);
    const { gate } = proxied;
    const changing = await reader(proxied);
    gate.hold("answer", (call) => call.method === "Range" && call.mentions(KEY));
    const early = underWay(changing.get(KEY, options));
    const held = await gate.arrived(KEY, 1);
    await held.ran;
    await new Accounts(proxied.connect().grpc, true).revokeRole("changing", "changing");
    gate.hold("answer", () => false);
    held.release();
    // It was asked for, and answered by the member, before.
    expect(await early).toBe("secret");
    expect(await read(changing)).toBe(DENIED);
  });
}

test("of readers of the same moment nobody is given what another one may read, whose token has just ended or not", async () => {
  await using proxied = await fixture.proxied([LASTING]);
  const changing = await reader(proxied);
  const clients = [
    changing,
    await reader(proxied, "reader"),
    await reader(proxied, "stranger"),
    proxied.connect(),
  ];
  const both = (client: ReadClient): Promise<string>[] => [read(client), read(client, LINEARIZABLE)];
  for (let round = 0; round < 5; round++) {
    const outcomes = await Promise.all(clients.flatMap(both));
    const nobody = "3 etcdserver: user name is empty";
    expect(outcomes).toEqual(["OK", "OK", "OK", "OK", DENIED, DENIED, nobody, nobody]);
  }
  await new Accounts(proxied.connect().grpc, true).endTokens("changing");
  const BAD_TOKEN = "16 etcdserver: invalid auth token";
  expect(await Promise.all(clients.slice(0, 2).flatMap(both))).toEqual([BAD_TOKEN, BAD_TOKEN, "OK", "OK"]);
  // The password is the same, and a new token is as good as the first.
  const { grpc } = proxied.connect();
  const { token } = await grpc.unary(Auth.method.authenticate, { name: "changing", password: PASSWORD });
  expect(await Promise.all(both(proxied.connect({ token })))).toEqual(["OK", "OK"]);
});
