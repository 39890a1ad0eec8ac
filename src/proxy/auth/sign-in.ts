/**
 * Asks etcd for a token of the proxy's own user: the password from its file, then one `Auth.Authenticate`.
 *
 * Stands between the proxy's identity, which knows when to ask, and the typed client over the channel.
 * Invariant: no reason that it tells holds the password, whatever the member answers.
 */
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { saysAuthOff } from "../../etcd/auth-refusal.ts";
import type { Auth } from "../../gen/etcdserverpb/auth_pb.ts";
import type { SignIn, SignInHandler } from "./own-identity.ts";
import { readPassword } from "./password-file.ts";

/** Who the proxy is. */
export interface OwnUser {
  /** `--user`. */
  readonly name: string;
  /** `--password-file`. */
  readonly passwordFile: string;
}

/** How long a member may take: hashing is slow, and many may want it at once. */
const TIMEOUT_MS = 10_000;
/** A reason is a line of a log. */
const REASON_LENGTH_MAX = 300;

/** What a header field can carry; a JWT with everything in it stays far below the bound. */
const TOKEN = /^[\x21-\x7e]{1,8192}$/;

/** Codes by which etcd says no, rather than failing. */
const REFUSALS: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.FailedPrecondition,
  Code.NotFound,
]);

export function signInOf(user: OwnUser, client: Client<typeof Auth>): SignIn {
  // The file may be refused at once, and the handler is not to hear of it before this returns.
  return (handler) => queueMicrotask(() => void signIn(user, client, handler));
}

async function signIn(
  { name, passwordFile }: OwnUser,
  client: Client<typeof Auth>,
  handler: SignInHandler,
): Promise<void> {
  let password: string;
  try {
    password = readPassword(passwordFile);
  } catch (error) {
    handler.onRefused(`--password-file ${passwordFile} ${(error as Error).message}`);
    return;
  }
  let token: string;
  try {
    ({ token } = await client.authenticate({ name, password }, { timeoutMs: TIMEOUT_MS }));
  } catch (error) {
    tellFailure(ConnectError.from(error), password, handler);
    return;
  }
  if (TOKEN.test(token)) handler.onToken(token);
  else handler.onFailed("the member's answer has no token that a call could carry");
}

function tellFailure({ code, rawMessage }: ConnectError, password: string, handler: SignInHandler): void {
  const reason = (rawMessage || Code[code]).replaceAll(password, "…").slice(0, REASON_LENGTH_MAX);
  if (code === Code.FailedPrecondition && saysAuthOff(rawMessage)) handler.onAuthOff();
  else if (REFUSALS.has(code)) handler.onRefused(reason);
  else handler.onFailed(reason);
}
