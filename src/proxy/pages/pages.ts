/** The proxy's pages by path. */
import { type Client, createClient } from "@connectrpc/connect";
import type { BesideEndpoints } from "../../endpoints/endpoint-json.ts";
import { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { DnsResolver } from "../../net/resolver.ts";
import type { OwnIdentity } from "../auth/own-identity.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { memberTransport } from "../upstream/member-transport.ts";
import type { MemberTls } from "../../tls/member-tls.ts";
import { endpointsPage } from "./endpoints-page.ts";
import { healthPage } from "./health.ts";
import { MEMBER_METRICS, MEMBER_VERSION, memberPage, type MemberPageKind } from "./member-page.ts";
import { readinessChecks } from "./readiness.ts";
import { checkPages } from "../../observe/check-pages.ts";
import { buffersCheck, EVENT_LOOP_CHECK } from "../../observe/liveness.ts";
import { keptFor, madeOnce, type MakePage, type Page, type Pages } from "../../observe/page.ts";
import type { BufferBudget } from "../../http2/buffer-budget.ts";
import type { Expiry } from "../../tls/expiry.ts";

/** `/version` is asked by many, and is another only after a member was upgraded. */
const VERSION_KEPT_MS = 1000;

/** What the pages are made of. */
export interface PageParts {
  readonly channel: Channel;
  readonly limits: ForwardLimits;
  /** Makes `/proxy/metrics`. */
  readonly ownMetrics: () => Promise<Page>;
  /** For members that are https. */
  readonly memberTls?: MemberTls | undefined;
  /** The proxy's own user; null, or absent: it has none. */
  readonly own?: OwnIdentity | null;
  /** Looks members' names up in place of the system. */
  readonly resolver?: DnsResolver | undefined;
  /** What else there is to tell on `/proxy/endpoints`. */
  readonly besideEndpoints?: () => BesideEndpoints;
  /** The proxy takes leave of its clients. */
  readonly draining?: () => boolean;
  /** Of what is in use for TLS. */
  readonly expiries?: () => Iterable<Expiry>;
  readonly buffers?: Pick<BufferBudget, "heldBytes" | "bytesMax">;
  /** Makes `/proxy/health`; without it there is none. */
  readonly selfCheck?: () => Promise<Page>;
  /** Pages under `/debug/pprof/`, where they are asked for. */
  readonly profiles?: Pages | undefined;
}

const NO_BUFFERS = { heldBytes: 0, bytesMax: 0 };

export function createPages(parts: PageParts): Pages {
  const { channel, limits, ownMetrics, memberTls, own = null, resolver, selfCheck, profiles } = parts;
  const { draining = () => false, expiries = () => [], buffers = NO_BUFFERS } = parts;
  const { besideEndpoints = () => ({ events: [], draining: false }) } = parts;
  const client: Client<typeof KV> = createClient(KV, memberTransport(channel, limits));
  const health = madeOnce(() => healthPage(client, own));
  const ofMember = (kind: MemberPageKind): (() => Promise<Page>) =>
    madeOnce(() => memberPage(kind, channel.endpoints, { tls: memberTls, resolver }));
  const pages = new Map<string, MakePage>([
    ["/health", health],
    ["/metrics", ofMember(MEMBER_METRICS)],
    ["/version", keptFor(VERSION_KEPT_MS, ofMember(MEMBER_VERSION))],
    ["/proxy/metrics", madeOnce(ownMetrics)],
    ["/proxy/endpoints", async () => endpointsPage(channel, besideEndpoints())],
    ...(selfCheck === undefined ? [] : [["/proxy/health", madeOnce(selfCheck)] as const]),
  ]);
  const readyz = checkPages("/readyz", readinessChecks({ channel, draining, expiries, health }));
  const livez = checkPages("/livez", [EVENT_LOOP_CHECK, buffersCheck(buffers, () => performance.now())]);
  return (path) => pages.get(path) ?? readyz(path) ?? livez(path) ?? profiles?.(path);
}
