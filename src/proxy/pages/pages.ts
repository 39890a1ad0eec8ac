/** The proxy's pages by path. */
import { type Client, createClient } from "@connectrpc/connect";
import { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import type { Channel } from "../../grpc/channel.ts";
import { connectTransport } from "../../grpc/connect-transport.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { SingleRequestForward } from "../forward/single-request.ts";
import { healthPage } from "./health.ts";
import { memberMetricsPage } from "./member-metrics.ts";
import { type Page, type ServePage, textPage } from "./page.ts";

export function createPages(channel: Channel, limits: ForwardLimits): ServePage {
  const client: Client<typeof KV> = createClient(
    KV,
    connectTransport((call) => {
      new SingleRequestForward(call, channel, limits, true);
    }),
  );
  return async (path): Promise<Page> => {
    switch (path) {
      case "/health":
        return healthPage(client);
      case "/metrics":
        return memberMetricsPage(channel.endpoints);
      default:
        return textPage(404, `${path} is not served here\n`);
    }
  };
}
