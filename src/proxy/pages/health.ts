/**
 * `/health`: whether a client could read through this proxy now, asked by a linearizable read through its own
 * channel. A member that refuses the read for lack of permission has answered: that is healthy.
 */
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import { type Page, textPage } from "./page.ts";

/** The key that is read; that it does not exist does not matter. */
const HEALTH_KEY = new TextEncoder().encode("health");
const HEALTH_TIMEOUT_MS = 3000;

/** What etcd answers to a caller without credentials while auth is on, under INVALID_ARGUMENT. */
const NO_USER = "etcdserver: user name is empty";

export async function healthPage(client: Client<typeof KV>): Promise<Page> {
  try {
    await client.range({ key: HEALTH_KEY, keysOnly: true }, { timeoutMs: HEALTH_TIMEOUT_MS });
    return health("");
  } catch (error) {
    const failure = ConnectError.from(error);
    return health(isRefusal(failure) ? "" : failure.rawMessage || Code[failure.code]);
  }
}

function isRefusal(failure: ConnectError): boolean {
  return (
    failure.code === Code.PermissionDenied ||
    failure.code === Code.Unauthenticated ||
    (failure.code === Code.InvalidArgument && failure.rawMessage === NO_USER)
  );
}

function health(reason: string): Page {
  const body = JSON.stringify({ health: String(reason === ""), reason });
  return textPage(reason === "" ? 200 : 503, body, "application/json");
}
