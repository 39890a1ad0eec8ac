/**
 * `/health`: whether a client could read through this proxy now, asked by a linearizable read through its own
 * channel. A member that refuses the read for lack of permission has answered: that is healthy.
 *
 * With a user of its own the proxy reads in its name, and once more with a new token if the old one has ended. It
 * does not wait for a token: a read in nobody's name tells as well whether the member serves.
 */
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { saysTokenEnded, saysUserEmpty } from "../../etcd/auth-refusal.ts";
import type { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import { DRAINING, healthAnswer, type Page } from "../../observe/page.ts";

/** The key that is read; that it does not exist does not matter. */
const HEALTH_KEY = new TextEncoder().encode("health");
const HEALTH_TIMEOUT_MS = 3000;
/** How long a token that was just asked for is waited for, each time. */
const TOKEN_PATIENCE_MS = 500;

/** `own`: in whose name it is read; null: in nobody's. */
export async function healthPage(client: Client<typeof KV>, own: OwnIdentity | null): Promise<Page> {
  const deadlineMs = performance.now() + HEALTH_TIMEOUT_MS;
  const read = async (token: string): Promise<ConnectError | null> => {
    const headers: Record<string, string> = token === "" ? {} : { token };
    const timeoutMs = Math.max(1, Math.floor(deadlineMs - performance.now())); // grpc-timeout takes whole numbers.
    try {
      await client.range({ key: HEALTH_KEY, keysOnly: true }, { headers, timeoutMs });
      return null;
    } catch (error) {
      return ConnectError.from(error);
    }
  };
  const failure = own === null ? await read("") : await readInName(own, read);
  return healthAnswer(failure === null || isRefusal(failure) ? "" : failure.rawMessage || Code[failure.code]);
}

async function readInName(
  own: OwnIdentity,
  read: (token: string) => Promise<ConnectError | null>,
): Promise<ConnectError | null> {
  const token = await own.settledToken(TOKEN_PATIENCE_MS);
  const failure = await read(token);
  if (failure === null || !isRefusal(failure)) return failure;
  own.onRefused(token, failure.rawMessage);
  const renewed = await own.settledToken(TOKEN_PATIENCE_MS);
  return renewed === token ? failure : read(renewed);
}

function isRefusal(failure: ConnectError): boolean {
  return (
    failure.code === Code.PermissionDenied ||
    failure.code === Code.Unauthenticated ||
    (failure.code === Code.InvalidArgument &&
      (saysUserEmpty(failure.rawMessage) || saysTokenEnded(failure.rawMessage)))
  );
}

/** `/health` of a proxy that is stopping: no member is asked, since clients are to turn elsewhere whatever they say. */
export function drainingPage(): Page {
  return healthAnswer(DRAINING);
}
