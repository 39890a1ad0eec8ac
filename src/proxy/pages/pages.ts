/** The proxy's pages by path. */
import { type Client, createClient } from "@connectrpc/connect";
import type { BesideEndpoints } from "../../endpoints/endpoint-json.ts";
import { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import type { Channel } from "../../grpc/channel.ts";
import { connectTransport } from "../../grpc/connect-transport.ts";
import { SMALL_ANSWERS } from "../../grpc/in-process-call.ts";
import type { DnsResolver } from "../../net/resolver.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { SingleRequestForward } from "../forward/single-request.ts";
import type { MemberTls } from "../../tls/member-tls.ts";
import { endpointsPage } from "./endpoints-page.ts";
import { healthPage } from "./health.ts";
import { memberMetricsPage } from "./member-metrics.ts";
import { madeOnce, type MakePage, type Pages } from "../../observe/page.ts";

/**
 * @param ownMetrics makes `/proxy/metrics`
 * @param memberTls for members that are https
 * @param own the proxy's own user, null when it has none
 * @param resolver looks members' names up in place of the system
 * @param besideEndpoints what else there is to tell on `/proxy/endpoints`
 */
export function createPages(
  channel: Channel,
  limits: ForwardLimits,
  ownMetrics: MakePage,
  memberTls?: MemberTls,
  own: OwnIdentity | null = null,
  resolver?: DnsResolver,
  besideEndpoints: () => BesideEndpoints = () => ({ events: [], draining: false }),
): Pages {
  const client: Client<typeof KV> = createClient(
    KV,
    connectTransport((call) => {
      new SingleRequestForward(call, channel, limits, true);
    }, SMALL_ANSWERS),
  );
  const pages = new Map<string, MakePage>([
    ["/health", madeOnce(() => healthPage(client, own))],
    ["/metrics", madeOnce(() => memberMetricsPage(channel.endpoints, memberTls, resolver))],
    ["/proxy/metrics", madeOnce(ownMetrics)],
    ["/proxy/endpoints", async () => endpointsPage(channel, besideEndpoints())],
  ]);
  return (path) => pages.get(path);
}
