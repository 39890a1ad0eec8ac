/**
 * The users of a test's cluster while authentication is on, by what they may do:
 *
 * `root` everything; `reader` and `second` read and write `p/…`; `stranger` reads and writes `q/…`; `keyholder` reads and writes
 * the one key `p/one`; `rest` everything from `p/` on; `powerless` nothing.
 */
import { Accounts, type Credentials } from "../watch/accounts.ts";
import { prefixRange } from "../watch/watch-stream.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";

/** Cheap passwords: no user has a secret. */
export const CHEAP_PASSWORDS = "--bcrypt-cost=4";

const ROLES = {
  prefix: prefixRange("p/"),
  other: prefixRange("q/"),
  key: { key: "p/one" },
  rest: { key: "p/", rangeEnd: "\0" },
} as const;

const USERS = {
  reader: "prefix",
  second: "prefix",
  stranger: "other",
  keyholder: "key",
  rest: "rest",
  powerless: undefined,
} as const;

/** Adds them, by a member itself, and turns authentication on. */
export async function addPeople(memberAddress: string): Promise<void> {
  using client = new GrpcClient(memberAddress);
  const accounts = new Accounts(client);
  await accounts.addRoot();
  for (const [role, range] of Object.entries(ROLES)) await accounts.addRole(role, [range]);
  for (const [user, role] of Object.entries(USERS)) {
    await accounts.addUser(user);
    if (role !== undefined) await accounts.grantRole(user, role);
  }
  await accounts.enable();
}

/** A new token of a user, asked for at a member itself. */
export async function tokenOf(memberAddress: string, user: string): Promise<Credentials> {
  using client = new GrpcClient(memberAddress);
  return await new Accounts(client, true).logIn(user);
}

/** Does something with the accounts, as root and at a member itself. */
export async function administer(
  memberAddress: string,
  change: (accounts: Accounts) => Promise<void>,
): Promise<void> {
  using client = new GrpcClient(memberAddress);
  await change(new Accounts(client, true));
}
