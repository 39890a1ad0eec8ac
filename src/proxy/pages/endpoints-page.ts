/** `/proxy/endpoints`: what is known of each member, as JSON. */
import { type BesideEndpoints, endpointJson, type EndpointsOnPage } from "../../endpoints/endpoint-json.ts";
import type { Channel } from "../../grpc/channel.ts";
import { type Page, textPage } from "../../observe/page.ts";

export function endpointsPage(
  channel: Pick<Channel, "reports" | "endpointInUse">,
  beside: BesideEndpoints,
): Page {
  const inUse = channel.endpointInUse?.name;
  const endpoints = channel.reports.map((known) => ({
    ...endpointJson(known),
    inUse: known.endpoint.name === inUse,
  }));
  const body: EndpointsOnPage = { endpoints, ...beside };
  return textPage(200, `${JSON.stringify(body)}\n`, "application/json");
}
