/**
 * A unary call of the proxy's own to the members, in the name of its own user where it has one.
 */
import { type CallOptions, ConnectError } from "@connectrpc/connect";
import type { OwnIdentity } from "./own-identity.ts";

export interface OwnCallTimes {
  /** How long a member may take. */
  readonly timeoutMs: number;
  /** How long a token that was just asked for is waited for. */
  readonly tokenPatienceMs: number;
}

/** Makes `call` with the token there is, and tells its owner when that is refused. Rejects with a ConnectError. */
export async function inOwnName<Answer>(
  own: OwnIdentity | null,
  { timeoutMs, tokenPatienceMs }: OwnCallTimes,
  call: (options: CallOptions) => Promise<Answer>,
): Promise<Answer> {
  const token = (await own?.settledToken(tokenPatienceMs)) ?? "";
  try {
    return await call({ headers: token === "" ? {} : { token }, timeoutMs });
  } catch (error) {
    const failure = ConnectError.from(error);
    own?.onRefused(token, failure.rawMessage);
    throw failure;
  }
}
