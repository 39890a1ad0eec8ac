/**
 * `/metrics`: the metrics page of a member, the one in use first, another when that does not answer.
 */
import type { Endpoint } from "../../endpoints/endpoint.ts";
import { type Page, textPage } from "./page.ts";

const FETCH_TIMEOUT_MS = 3000;

/** `endpoints` in the order to ask them. */
export async function memberMetricsPage(endpoints: readonly Endpoint[]): Promise<Page> {
  const reasons: string[] = [];
  for (const endpoint of endpoints) {
    try {
      const answer = await fetch(`http://${endpoint.name}/metrics`, {
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
        redirect: "manual",
      });
      if (answer.status === 200) {
        return {
          status: 200,
          contentType: answer.headers.get("content-type") ?? "text/plain; version=0.0.4",
          body: await answer.bytes(),
        };
      }
      reasons.push(`${endpoint.name}: HTTP status ${answer.status}`);
    } catch (error) {
      reasons.push(`${endpoint.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return textPage(502, `no member answered for its metrics\n${reasons.join("\n")}\n`);
}
