/**
 * Who may be given whose answer: cached ones and shared reads stay within one identity, and what an identity may
 * read is asked anew once authentication has changed. Through the grpc-proxy only.
 */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { statusOf } from "../../harness/grpc-client.ts";
import { Accounts } from "../watch/accounts.ts";
import { LINEARIZABLE, prefixOf, type ReadClient, type ReadOptions, SERIALIZABLE } from "./read-client.ts";
import { LASTING, type Proxied, useReads } from "./reads-fixture.ts";

const fixture = useReads();

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

describe("without authentication at etcd", () => {
  test("a call that requires a leader is not mixed with one that does not", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    await fixture.direct.put("leader", "1");
    const plain = proxied.connect();
    const requiring = proxied.connect({ hasleader: "true" });
    const costOf = (client: ReadClient): Promise<number> =>
      fixture.cost(async () => expect(await client.get("leader", SERIALIZABLE)).toBe("1"));
    expect(await costOf(plain)).toBe(1);
    expect(await costOf(requiring)).toBe(1);
    await proxied.connect().put("leader", "1");
    expect(await costOf(requiring)).toBe(1);
    expect(await costOf(plain)).toBe(1);
    expect(await costOf(plain)).toBe(0);
  });
});

describe("with authentication", () => {
  let root: Accounts;
  const READABLE = prefixOf("p/");

  beforeAll(async () => {
    root = new Accounts(fixture.direct.grpc);
    await root.addRoot();
    await root.addRole("prefix", [READABLE]);
    await root.addRole("other", [prefixOf("q/")]);
    for (const user of ["reader", "stranger", "changing"]) await root.addUser(user);
    await root.grantRole("reader", "prefix");
    await root.grantRole("stranger", "other");
    for (const key of ["p/a", "q/a"]) await fixture.direct.put(key, "secret");
  }, 60_000);

  let leave: (() => Promise<void>) | null = null;
  afterEach(async () => {
    await leave?.();
    leave = null;
  });

  /** Turns authentication on until the end of the test. */
  async function enabled(): Promise<void> {
    await root.enable();
    leave = () => root.disable();
  }

  async function clientOf(proxied: Proxied, user: string): Promise<ReadClient> {
    return proxied.connect({ ...(await root.logIn(user)) });
  }

  const codeOf = async (client: ReadClient, options: ReadOptions, key = "p/a"): Promise<number> =>
    (await statusOf(client.get(key, options))).code;

  test("a cached answer is for nobody but who may read it", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    const reader = await clientOf(proxied, "reader");
    const stranger = await clientOf(proxied, "stranger");
    const nobody = proxied.connect();
    const impostor = proxied.connect({ token: "made-up.1" });
    for (const options of [SERIALIZABLE, LINEARIZABLE, SERIALIZABLE]) {
      expect(await reader.get("p/a", options)).toBe("secret");
      expect(await codeOf(stranger, options)).toBe(PERMISSION_DENIED);
      expect(await codeOf(nobody, options)).toBe(INVALID_ARGUMENT);
      expect(await codeOf(impostor, options)).toBe(UNAUTHENTICATED);
    }
    expect(await fixture.cost(() => reader.get("p/a", SERIALIZABLE))).toBe(0);
    expect(await stranger.get("q/a", SERIALIZABLE)).toBe("secret");
    expect(await codeOf(reader, SERIALIZABLE, "q/a")).toBe(PERMISSION_DENIED);
  });

  test("each token has answers of its own, a second one of the same user too, whichever metadata carries it", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    const [one, other] = [(await root.logIn("reader")).token, (await root.logIn("reader")).token];
    const costOf = (metadata: Readonly<Record<string, string>>): Promise<number> => {
      const client = proxied.connect(metadata);
      return fixture.cost(async () => expect(await client.get("p/a", SERIALIZABLE)).toBe("secret"));
    };
    expect(await costOf({ token: one })).toBe(1);
    expect(await costOf({ token: one })).toBe(0);
    expect(await costOf({ token: other })).toBe(1);
    expect(await costOf({ authorization: other })).toBe(0);
    // To etcd, too, `token` comes first.
    expect(await costOf({ token: one, authorization: "made-up.1" })).toBe(0);
    const misled = proxied.connect({ token: "made-up.1", authorization: one });
    expect(await codeOf(misled, SERIALIZABLE)).toBe(UNAUTHENTICATED);
    expect(await costOf({ token: one, hasleader: "true" })).toBe(1);
  });

  test("a write drops the answers of every identity, whoever writes", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    const users = ["reader", "reader", "root"];
    const clients = await Promise.all(users.map((user) => clientOf(proxied, user)));
    for (const [index, writer] of clients.entries()) {
      for (const client of clients) await client.range(READABLE, SERIALIZABLE);
      await writer.put("p/written", `by ${index}`);
      for (const client of clients) expect(await client.get("p/written", SERIALIZABLE)).toBe(`by ${index}`);
      for (const client of clients) {
        const { kvs } = await client.range(READABLE, SERIALIZABLE);
        expect(kvs.map(({ value }) => Buffer.from(value).toString())).toEqual(["secret", `by ${index}`]);
      }
    }
  });

  test("of many who ask at once each gets the answer of the own identity", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    const reader = await clientOf(proxied, "reader");
    const stranger = await clientOf(proxied, "stranger");
    const nobody = proxied.connect();
    for (const options of [LINEARIZABLE, SERIALIZABLE]) {
      for (let round = 0; round < 10; round++) {
        const outcomes = await Promise.all(
          Array.from({ length: 10 }, () => [
            reader.get("p/a", options),
            codeOf(stranger, options),
            codeOf(nobody, options),
          ]).flat(),
        );
        const expected = Array.from({ length: 10 }, () => ["secret", PERMISSION_DENIED, INVALID_ARGUMENT]);
        expect(outcomes).toEqual(expected.flat());
      }
    }
  });

  test("a role that is granted or revoked through the proxy counts at once", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    // Each change of roles through the proxy itself; etcd's tokens outlive it.
    const through = new Accounts(proxied.connect().grpc, true);
    for (let round = 0; round < 5; round++) {
      const changing = await clientOf(proxied, "changing");
      expect(await codeOf(changing, SERIALIZABLE)).toBe(PERMISSION_DENIED);
      await through.grantRole("changing", "prefix");
      expect(await changing.get("p/a", SERIALIZABLE)).toBe("secret");
      expect(await changing.get("p/a", SERIALIZABLE)).toBe("secret");
      await through.revokeRole("changing", "prefix");
      expect(await codeOf(changing, SERIALIZABLE)).toBe(PERMISSION_DENIED);
      expect(await codeOf(changing, LINEARIZABLE)).toBe(PERMISSION_DENIED);
    }
  });

  test("a new password, and the end of a user, end what the user's tokens could read", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    const through = new Accounts(proxied.connect().grpc, true);
    await through.addUser("leaving");
    await through.grantRole("leaving", "prefix");
    const before = await clientOf(proxied, "leaving");
    expect(await before.get("p/a", SERIALIZABLE)).toBe("secret");
    await through.endTokens("leaving");
    expect(await codeOf(before, SERIALIZABLE)).toBe(UNAUTHENTICATED);
    const after = await clientOf(proxied, "leaving");
    expect(await after.get("p/a", SERIALIZABLE)).toBe("secret");
    await through.deleteUser("leaving");
    expect(await codeOf(after, SERIALIZABLE)).not.toBe(0);
  });

  test("authentication that is turned on or off through the proxy counts at once", async () => {
    await using proxied = await fixture.proxied([LASTING]);
    const nobody = proxied.connect();
    const through = new Accounts(nobody.grpc);
    for (let round = 0; round < 3; round++) {
      expect(await nobody.get("p/a", SERIALIZABLE)).toBe("secret");
      await through.enable();
      leave = () => new Accounts(fixture.direct.grpc, true).disable();
      expect(await codeOf(nobody, SERIALIZABLE)).toBe(INVALID_ARGUMENT);
      await through.disable();
      leave = null;
    }
  });

  test("that somebody was refused is not remembered when a grant was made at etcd itself", async () => {
    await enabled();
    await using proxied = await fixture.proxied([LASTING]);
    const changing = await clientOf(proxied, "changing");
    expect(await codeOf(changing, SERIALIZABLE)).toBe(PERMISSION_DENIED);
    await root.grantRole("changing", "prefix");
    try {
      expect(await changing.get("p/a", SERIALIZABLE)).toBe("secret");
    } finally {
      await root.revokeRole("changing", "prefix");
    }
  });
});
