/** What a grpc-proxy is started with, and what there is of it then. */
import type { Balancer } from "../endpoints/balancer.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { EndpointSource } from "../endpoints/endpoint-refresh.ts";
import type { HealthCheckTimes } from "../endpoints/health-checks.ts";
import type { MemberKeepaliveOptions } from "../grpc/member-keepalive.ts";
import type { DnsResolver } from "../net/resolver.ts";
import type { Logger } from "../observe/log.ts";
import type { MetricValues } from "../observe/metrics.ts";
import type { Pages } from "../observe/page.ts";
import type { ProfilePages } from "../observe/profile-pages.ts";
import type { MemberTls } from "../tls/member-tls.ts";
import type { OwnUser } from "./auth/sign-in.ts";
import type { MembershipFlags } from "./cluster/membership.ts";
import type { ClientKeepaliveOptions } from "./port/client-keepalive.ts";
import type { ListenersOptions } from "./port/listeners.ts";
import type { SharingSwitches } from "./shared-work.ts";
import type { WorkerPart } from "./worker-part.ts";

export interface GrpcProxyOptions extends ListenersOptions, SharingSwitches {
  readonly endpoints: readonly Endpoint[];
  /** How the endpoints were discovered; null: they were named. */
  readonly discovery?: EndpointSource | null | undefined;
  /** How often the endpoints are read from the cluster's member list, in milliseconds; 0: never. */
  readonly autoSyncIntervalMs?: number;
  /** Prefix of all keys at the members, which clients do not see; "": there is none. */
  readonly namespace?: string;
  /** With a namespace: calls that act on the whole cluster are refused. */
  readonly namespaceStrict?: boolean;
  /** Looks members' host names up; without it the system does. */
  readonly resolver?: DnsResolver | undefined;
  /** What MemberList answers; empty: the members'. */
  readonly advertiseClientUrl: string;
  /** How it is registered for others to find, under that URL; null: it is not. */
  readonly membership?: MembershipFlags | null | undefined;
  readonly sendBytesMax: number;
  readonly receiveBytesMax: number;
  readonly concurrentStreamsMax: number;
  readonly bufferBytesMax: number;
  readonly dialTimeoutMs: number;
  readonly balancer: Balancer;
  /** Null: members are not checked. */
  readonly healthChecks: HealthCheckTimes | null;
  /** Without it silent members are not asked whether they live. */
  readonly memberKeepalive?: MemberKeepaliveOptions | null | undefined;
  /** Without it neither are clients, and these may ask as often as they like. */
  readonly clientKeepalive?: ClientKeepaliveOptions | undefined;
  /** How long clients may take to finish when the proxy stops. */
  readonly drainTimeoutMs: number;
  /** For endpoints that are https. */
  readonly memberTls?: MemberTls | undefined;
  /** Who the proxy is at etcd, for what it does by itself; null: nobody. */
  readonly ownUser?: OwnUser | null | undefined;
  readonly log: Logger;
  /** Every call is logged, with the values of keys or without; absent: none is. */
  readonly callLog?: { readonly values: boolean } | undefined;
  /** Absent where this proxy is all there is in the process. */
  readonly worker?: WorkerPart | undefined;
  /** The pages of `--enable-pprof`, where that is given. */
  readonly profiles?: ProfilePages | undefined;
}

export interface GrpcProxy {
  /** Where it listens, `host:port`. */
  readonly address: string;
  /** Where the pages are served too; null: nowhere. */
  readonly metricsAddress: string | null;
  /** What it serves besides calls, for who serves it elsewhere too. */
  readonly pages: Pages;
  /** The values of its metrics, those of other workers not among them. */
  metricValues(): Promise<MetricValues>;
  /** Reads certificates, keys, authorities and revocation lists anew, now. False: there are none. */
  reload(): Promise<boolean>;
  /** Takes the registration of the whole process back, whichever worker keeps it. Resolves after a second at the most. */
  unregister(): Promise<void>;
  /** Stops: clients finish within the drain timeout, those who do not are cut. */
  close(): Promise<void>;
}
