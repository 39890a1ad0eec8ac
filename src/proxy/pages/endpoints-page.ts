/** `/proxy/endpoints`: what is known of each member, as JSON. */
import { endpointJson } from "../../endpoints/endpoint-json.ts";
import type { Channel } from "../../grpc/channel.ts";
import { type Page, textPage } from "../../observe/page.ts";

export function endpointsPage(channel: Pick<Channel, "reports" | "endpointInUse">): Page {
  const inUse = channel.endpointInUse?.name;
  const endpoints = channel.reports.map((known) => ({
    ...endpointJson(known),
    inUse: known.endpoint.name === inUse,
  }));
  return textPage(200, `${JSON.stringify({ endpoints })}\n`, "application/json");
}
