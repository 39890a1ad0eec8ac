/**
 * The flags about registration: `--resolver-prefix`, `--resolver-ttl` and `--advertise-client-url`, which only make sense together.
 * Stands between their values and the product.
 */
import { withoutUserInfo } from "../net/address.ts";
import type { MembershipFlags } from "../proxy/cluster/membership.ts";
import { quoted, usageError } from "./command-line-error.ts";
import type { GrpcProxyFlags } from "./grpc-proxy-flags.ts";
import { namedByOrigin, type ValueOrigins } from "./value-origin.ts";

/** How the proxy is registered; null when it is not. Throws `CommandLineError`. */
export function registrationFlags({
  resolverPrefix,
  resolverTtl,
  advertiseClientUrl,
}: Pick<GrpcProxyFlags, "resolverPrefix" | "resolverTtl" | "advertiseClientUrl">): MembershipFlags | null {
  // It is told to every client, and written into etcd.
  if (advertiseClientUrl.includes("@")) {
    throw usageError(
      `--advertise-client-url ${quoted(withoutUserInfo(advertiseClientUrl))} carries a user name: clients bring their own`,
    );
  }
  if (resolverPrefix === "" && resolverTtl === 0) return null;
  if (resolverPrefix === "") {
    throw usageError(`--resolver-ttl=${resolverTtl} needs --resolver-prefix: name what the proxies share`);
  }
  if (resolverTtl === 0) {
    throw usageError(
      `--resolver-prefix ${quoted(resolverPrefix)} needs --resolver-ttl of at least 1, in seconds, such as --resolver-ttl=60`,
    );
  }
  if (advertiseClientUrl === "") {
    throw usageError(
      `--resolver-prefix ${quoted(resolverPrefix)} and --resolver-ttl=${resolverTtl} need --advertise-client-url: ` +
        "name the address that clients reach this proxy at",
    );
  }
  return { prefix: resolverPrefix, ttlSeconds: resolverTtl };
}

/**
 * What an operator should know who moved the proxy and left the address that clients are told at its default, where then
 * nothing listens, or nothing that others reach. Empty when he did not.
 */
export function leftUrlRemarks(
  { listenAddr, advertiseClientUrl }: Pick<GrpcProxyFlags, "listenAddr" | "advertiseClientUrl">,
  origins: ValueOrigins,
): string[] {
  const isLeft = origins.of("advertise-client-url").from === "default";
  if (!isLeft || listenAddr === advertiseClientUrl) return [];
  const moved = namedByOrigin("listen-addr", origins.of("listen-addr"));
  return [
    `${moved} is ${withoutUserInfo(listenAddr)}, but clients that ask for the members are told ${advertiseClientUrl}: ` +
      "name the address that they reach this proxy at with --advertise-client-url, or leave that empty to tell them etcd's own members",
  ];
}
