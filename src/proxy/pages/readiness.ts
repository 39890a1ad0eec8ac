/**
 * The checks of `/readyz`: whether clients are to be sent to this proxy now.
 *
 * A member is asked by one of them alone, and by no more than `/health` asks: the two share one read.
 */
import type { Channel } from "../../grpc/channel.ts";
import type { Check } from "../../observe/check-pages.ts";
import type { Page } from "../../observe/page.ts";
import type { Expiry } from "../../tls/expiry.ts";

export interface ReadinessSources {
  readonly channel: Pick<Channel, "reports" | "endpointInUse">;
  /** The proxy takes leave of its clients. */
  readonly draining: () => boolean;
  /** Of what is in use for TLS. */
  readonly expiries: () => Iterable<Expiry>;
  /** `/health` as it is now. */
  readonly health: () => Promise<Page>;
}

export function readinessChecks({ channel, draining, expiries, health }: ReadinessSources): Check[] {
  return [
    { name: "not_draining", problem: () => (draining() ? "the proxy is about to stop" : "") },
    { name: "member", problem: () => (channel.endpointInUse === null ? noMember(channel) : "") },
    { name: "certificate", problem: () => expired(expiries()) },
    { name: "linearizable_read", problem: async () => readProblem(await health()) },
  ];
}

function noMember({ reports }: ReadinessSources["channel"]): string {
  const known = reports.map(({ endpoint, state, reason }) => `${endpoint.name}: ${reason ?? state}`);
  return `no member is connected: ${known.join(", ")}`;
}

/** What clients are shown. The rest is told by the read, and an authority that has ended may stand beside one that has not. */
const SHOWN = ["--cert-file", "--auto-tls"];

function expired(expiries: Iterable<Expiry>): string {
  const past = [...expiries].filter(({ flag, atMs }) => SHOWN.includes(flag) && atMs <= Date.now());
  return past.map(({ flag, atMs }) => `${flag} has ended on ${new Date(atMs).toISOString()}`).join(", ");
}

function readProblem({ status, body }: Page): string {
  if (status === 200) return "";
  return (JSON.parse(new TextDecoder().decode(body)) as { readonly reason: string }).reason;
}
