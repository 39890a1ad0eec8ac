/**
 * A unary call of the proxy's own to the members, in the name of its own user where it has one.
 */
import { type CallOptions, ConnectError } from "@connectrpc/connect";
import { saysTokenEnded } from "../../etcd/auth-refusal.ts";
import type { OwnIdentity } from "./own-identity.ts";

export interface OwnCallTimes {
  /** How long a member may take. */
  readonly timeoutMs: number;
  /** How long a token that was just asked for is waited for. */
  readonly tokenPatienceMs: number;
}

/**
 * Makes `call` with the token there is, and tells its owner when that is refused. A token that has ended is found out by a call
 * only, which was not done then: it is made once more with the next token, if there is one soon. Rejects with a ConnectError.
 */
export async function inOwnName<Answer>(
  own: OwnIdentity | null,
  { timeoutMs, tokenPatienceMs }: OwnCallTimes,
  call: (options: CallOptions) => Promise<Answer>,
): Promise<Answer> {
  const token = (await own?.settledToken(tokenPatienceMs)) ?? "";
  try {
    return await call(callOptions(token, timeoutMs));
  } catch (error) {
    const failure = ConnectError.from(error);
    own?.onRefused(token, failure.rawMessage);
    if (own === null || !saysTokenEnded(failure.rawMessage)) throw failure;
    const next = await own.settledToken(tokenPatienceMs);
    if (next === "" || next === token) throw failure;
    return await call(callOptions(next, timeoutMs));
  }
}

function callOptions(token: string, timeoutMs: number): CallOptions {
  return { headers: token === "" ? {} : { token }, timeoutMs };
}
