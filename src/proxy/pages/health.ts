/**
 * `/health`: whether a client could read through this proxy now, asked by a linearizable read through its own
 * channel. A member that refuses the read for lack of permission has answered: that is healthy.
 *
 * With a user of its own the proxy reads in its name, and once more with a new token if the old one has ended. It
 * does not wait for a token: a read in nobody's name tells as well whether the member serves.
 */
import { type Client, ConnectError } from "@connectrpc/connect";
import { saysTokenEnded, saysUserEmpty } from "../../etcd/auth-refusal.ts";
import { Code, codeName } from "../../grpc/status.ts";
import type { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import { DRAINING, healthAnswer, type Page } from "../../observe/page.ts";

/** The key that is read; that it does not exist does not matter. */
export const HEALTH_KEY = new TextEncoder().encode("health");
const HEALTH_TIMEOUT_MS = 3000;
/** How long a token that was just asked for is waited for, each time. */
const TOKEN_PATIENCE_MS = 500;

/** What came of a question to a member: a gRPC status, its message not empty. */
export interface HealthFailure {
  readonly code: number;
  readonly message: string;
}

/** Asks whether a client would be served, in the name of `token` ("": nobody), within `timeoutMs`; null: it would. */
export type AskHealth = (token: string, timeoutMs: number) => Promise<HealthFailure | null>;

/** `own`: in whose name it is read; null: in nobody's. */
export function healthPage(client: Client<typeof KV>, own: OwnIdentity | null): Promise<Page> {
  return healthPageOf(own, async (token, timeoutMs) => {
    const headers: Record<string, string> = token === "" ? {} : { token };
    try {
      await client.range({ key: HEALTH_KEY, keysOnly: true }, { headers, timeoutMs });
      return null;
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      return { code, message: rawMessage || codeName(code) };
    }
  });
}

/** The page that tells what comes of asking in the name of `own`, or in nobody's where that is null. */
export async function healthPageOf(own: OwnIdentity | null, ask: AskHealth): Promise<Page> {
  const deadlineMs = performance.now() + HEALTH_TIMEOUT_MS;
  const askInTime = (token: string): Promise<HealthFailure | null> =>
    ask(token, Math.max(1, Math.floor(deadlineMs - performance.now()))); // grpc-timeout takes whole numbers.
  const failure = own === null ? await askInTime("") : await askInName(own, askInTime);
  return healthAnswer(failure === null || isRefusal(failure) ? "" : failure.message);
}

async function askInName(
  own: OwnIdentity,
  ask: (token: string) => Promise<HealthFailure | null>,
): Promise<HealthFailure | null> {
  const token = await own.settledToken(TOKEN_PATIENCE_MS);
  const failure = await ask(token);
  if (failure === null || !isRefusal(failure)) return failure;
  own.onRefused(token, failure.message);
  const renewed = await own.settledToken(TOKEN_PATIENCE_MS);
  return renewed === token ? failure : ask(renewed);
}

/** The member has answered, though not with what was asked for. */
export function isRefusal({ code, message }: HealthFailure): boolean {
  return (
    code === Code.PERMISSION_DENIED ||
    code === Code.UNAUTHENTICATED ||
    (code === Code.INVALID_ARGUMENT && (saysUserEmpty(message) || saysTokenEnded(message)))
  );
}

/** `/health` of a proxy that is stopping: no member is asked, since clients are to turn elsewhere whatever they say. */
export function drainingPage(): Page {
  return healthAnswer(DRAINING);
}
