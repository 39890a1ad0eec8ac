/**
 * The way to the cluster: one connection to one member at a time, and another when that fails.
 *
 * Stands between those who make calls and `Upstream`, one connection. A member is kept until it fails; then the
 * others are tried in turn, for ever, with backoff between rounds: there is no terminal state. A connection
 * that goes away in good order (GOAWAY, stream ids near their end) is followed by one to the same member
 * first. Calls that come while no connection can take them wait in `WaitingCalls`.
 */
import { Backoff } from "../base/backoff.ts";
import { type RateLimit, TokenBucket } from "../base/token-bucket.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { EndpointChoice, type FailureKind } from "../endpoints/endpoint-choice.ts";
import type { EndpointReport, Verdict } from "../endpoints/endpoint-report.ts";
import { HTTP2_LIMITS, type Http2LimitName, STREAM_WINDOW_BYTES } from "../http2/limits.ts";
import { defaultSettings } from "../http2/settings.ts";
import { Dialer } from "../net/dial.ts";
import { createDialContext, describeTlsError, dialTls, isTlsError, NO_CREDENTIALS } from "../net/tls.ts";
import type { ChannelCall, ChannelEvents, ChannelOptions, MemberLimit } from "./channel-options.ts";
import { openClientCall } from "./member-call.ts";
import { MemberLoad } from "./member-load.ts";
import { StandbyConnections, type StandbyUse } from "./standby-connections.ts";
import { Code, type Status } from "./status.ts";
import { Upstream, type UpstreamOptions, type UpstreamOwner, type UpstreamSocket } from "./upstream.ts";
import { WAITING_LIMITS, WaitingCalls } from "./waiting-calls.ts";
import { peerOf } from "../net/peer.ts";

/** How long an endpoint that failed is tried after the others. */
const SET_ASIDE_MS = 5000;
/** The least time between two switches made because of what members answer: no leader anywhere is no reason to dial in circles. */
const SWITCH_PAUSE_MS = 1000;
/** The same between two that are made only because another member is faster. */
const FASTER_PAUSE_MS = 10_000;
/** The least time between two attempts to replace a connection that runs out of stream ids. */
const REPLACE_PAUSE_MS = 1000;
const WAITING_SWEEP_MS = 20;
/**
 * Connections that are made at once after one that was ready has ended: members that take connections and end them would
 * have us do nothing else. Beyond it there is a pause.
 */
const RECONNECTS: RateLimit = { burst: 10, perSecond: 1 };
const RECONNECT_PAUSE_MS = 1000;
/** Further connections to one member that are made: it may end them as they come. */
const EXTRA_CONNECTIONS: RateLimit = { burst: 30, perSecond: 5 };
/** Connections to one member beside the first, opened while its MAX_CONCURRENT_STREAMS is reached. */
const EXTRA_CONNECTIONS_MAX = 15;

export class Channel implements UpstreamOwner {
  /** What all its connections carry. */
  readonly load = new MemberLoad();
  readonly #choice: EndpointChoice;
  #listed: readonly Endpoint[];
  readonly #dialer: Dialer<UpstreamSocket>;
  readonly #events: ChannelEvents;
  /** Calls with one request go to the members in turn, not only to the one in use. */
  readonly #spreads: boolean;
  /** Connections to members that are not in use: for checks, and for calls that are spread. */
  readonly #standby: StandbyConnections;
  readonly #backoff: Backoff;
  readonly #waiting: WaitingCalls<ChannelCall>;
  readonly #switchPauseMs: number;
  readonly #upstreamOptions: UpstreamOptions;
  readonly #reconnects = new TokenBucket(RECONNECTS, performance.now());
  readonly #extraConnections = new TokenBucket(EXTRA_CONNECTIONS, performance.now());
  #firstStreamId: number;
  /** Where calls go. */
  #current: Upstream | null = null;
  /** Further connections to the current one's member. */
  #extras: Upstream[] = [];
  /** The connection that is coming up, and the endpoints to try after it. */
  #coming: Upstream | null = null;
  #next: Endpoint[] = [];
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #sweepTimer: ReturnType<typeof setInterval> | undefined;
  #switchedAtMs = Number.NEGATIVE_INFINITY;
  #replacedAtMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: ChannelOptions) {
    const random = options.random ?? Math.random;
    const { balancer } = options;
    this.#listed = options.endpoints;
    this.#choice = new EndpointChoice(options.endpoints, { retryDelayMs: SET_ASIDE_MS, random, balancer });
    this.#spreads = balancer === "round-robin" || balancer === "weighted";
    this.#standby = new StandbyConnections({
      dial: (endpoint, owner) => this.#newUpstream(endpoint, owner),
      onStandbyFailed: (endpoint, reason) => {
        // Or calls that are spread would have it dialled again and again. Quietly: the log hears from the checks.
        const inUse = endpoint.name === this.#current?.endpoint.name;
        if (this.#spreads && !inUse) this.#choice.failed(endpoint, reason, performance.now());
      },
    });
    this.#events = options.events;
    this.#waiting = new WaitingCalls(options.waiting ?? WAITING_LIMITS);
    this.#switchPauseMs = options.switchPauseMs ?? SWITCH_PAUSE_MS;
    this.#backoff = new Backoff({ firstMs: 50, limitMs: 2000, random });
    this.#dialer = new Dialer<UpstreamSocket>({
      timeoutMs: options.dialTimeoutMs,
      retryDelayMs: SET_ASIDE_MS,
      resolver: options.resolver,
      handlers: {
        data: (socket, chunk) => socket.data?.onData(chunk),
        drain: (socket) => socket.data?.onDrain(),
        end: (socket) => socket.data?.onPeerEnd(),
        close: (socket, error) => socket.data?.onClose(error),
        // What is not TLS's own is an exception of our handlers.
        error: (socket, error) => {
          if (isTlsError(error)) socket.data?.onClose(new Error(`TLS: ${describeTlsError(error)}`));
          else options.events.onUnexpectedError(error, peerOf(socket));
          socket.terminate();
        },
      },
    });
    this.#firstStreamId = options.firstStreamId ?? 1;
    this.#upstreamOptions = {
      readyTimeoutMs: options.dialTimeoutMs,
      openCall: options.openCall ?? openClientCall,
      load: this.load,
      keepalive: options.keepalive,
      tls: options.tls ?? ((hostname) => dialTls(createDialContext(NO_CREDENTIALS), hostname, true)),
      connection: {
        // All clients share these connections: what one of them may hold is no measure for all.
        limits: { ...HTTP2_LIMITS, connectionBufferBytesMax: Number.POSITIVE_INFINITY },
        settings: {
          ...defaultSettings(),
          initialWindowBytes: STREAM_WINDOW_BYTES,
          headerListBytesMax: HTTP2_LIMITS.headerListBytesMax,
        },
        ...(options.budget === undefined ? {} : { budget: options.budget }),
      },
    };
  }

  /** Starts to connect, so that the first call finds a connection. */
  connect(): void {
    this.#bringUp(this.#choice.candidates(performance.now()));
  }

  /**
   * Takes another list of endpoints, at least one. Who is on both stays as it is; a member in use that is on the list no
   * more goes on with its calls until another one is ready, which takes those that come then.
   */
  replaceEndpoints(endpoints: readonly Endpoint[]): void {
    if (this.#closed) return;
    this.#choice.replace(endpoints);
    this.#listed = endpoints;
    // As they are on the new list: to dial one under its old scheme could be to do without TLS.
    this.#next = this.#next.flatMap(({ name }) => endpoints.filter((endpoint) => endpoint.name === name));
    this.#standby.keepOnly(endpoints);
    if (this.#coming !== null && !this.#isListed(this.#coming)) {
      this.#coming.abandon();
      this.#coming = null;
      this.connect();
    } else if (this.#current === null ? this.#retryTimer !== undefined : !this.#isListed(this.#current)) {
      if (this.#coming === null) this.connect();
    }
  }

  #isListed({ endpoint }: Upstream): boolean {
    return this.#listed.some(({ name, scheme }) => name === endpoint.name && scheme === endpoint.scheme);
  }

  /** Every endpoint, the one in use first. */
  get endpoints(): readonly Endpoint[] {
    return this.#choice.candidates(performance.now());
  }

  /** Where calls go now; null while no member is connected. */
  get endpointInUse(): Endpoint | null {
    return this.#current?.endpoint ?? null;
  }

  /** Connections that take calls, to the member in use. */
  get connectionsOpen(): number {
    if (this.#current === null) return 0;
    return 1 + this.#extras.filter(({ ready }) => ready).length;
  }

  get waitingCalls(): number {
    return this.#waiting.size;
  }

  /** Begins `call` now if a connection takes it, else lets it wait. */
  begin(call: ChannelCall): void {
    const upstream = call.spreads === true ? this.availableToAny : this.available;
    if (upstream !== null && !this.#shouldWait(call, upstream)) {
      call.onUpstream(upstream);
      return;
    }
    this.#waiting.add(call, performance.now());
    this.#sweepTimer ??= setInterval(() => this.#sweep(), WAITING_SWEEP_MS);
    if (this.#current === null) this.#bringUpIfIdle();
    else if (!this.#current.connection.goingAway) this.#makeRoom(this.#current);
  }

  /** A connection that takes a call now, or null while calls have to wait. */
  get available(): Upstream | null {
    const current = this.#current;
    if (current === null) return null;
    if (current.canOpen) {
      if (current.connection.retiring) this.#replace(current);
      return current;
    }
    for (const extra of this.#extras) if (extra.canOpen) return extra;
    return null;
  }

  /** The same for a call that may go to any member: to the one whose turn it is, if that takes it. */
  get availableToAny(): Upstream | null {
    if (!this.#spreads || this.#current === null) return this.available;
    const endpoint = this.#choice.next(performance.now());
    if (endpoint.name === this.#current.endpoint.name) return this.available;
    return this.#standby.ready(endpoint) ?? this.available;
  }

  /** Whether new calls may go to this connection. */
  uses(upstream: Upstream): boolean {
    if (upstream === this.#current || this.#extras.includes(upstream)) return true;
    return this.#spreads && this.#standby.has(upstream);
  }

  /**
   * Lends a connection to `endpoint` to somebody who checks it: the one that calls use, or one that stands by. Where that
   * one is silent, a new one may get through long before its next try to. Returns what ends the wait for it.
   */
  use(endpoint: Endpoint, user: StandbyUse): () => void {
    const current = this.#current;
    const inUse = current?.endpoint.name === endpoint.name && current.canOpen && !this.#isSilent(endpoint);
    if (!inUse) return this.#standby.use(endpoint, user);
    user.onReady(current);
    return () => {};
  }

  /** The endpoint is on no list any more: nothing is kept for it but the calls that are under way. */
  forgetEndpoint(endpoint: Endpoint): void {
    this.#standby.retire(endpoint);
  }

  /** Takes in what a check has found: where it speaks against the member in use, another one takes its place. */
  judge(endpoint: Endpoint, verdict: Verdict): void {
    if (this.#closed) return;
    const wasSilent = this.#isSilent(endpoint);
    if (this.#choice.judge(endpoint, verdict)) this.#events.onJudged?.(endpoint, verdict);
    if (verdict.kind === "silent") {
      this.#standby.forget(endpoint, verdict.reason);
      if (this.#choice.allFailed(performance.now())) this.#events.onAllFailed?.();
    }
    if (this.#coming !== null) return;
    if (this.#current === null) {
      if (verdict.kind === "fit") this.connect();
    } else if (wasSilent && verdict.kind === "fit" && this.#current.endpoint.name === endpoint.name) {
      // It answers on another connection: this one may carry nothing for a long time.
      const silent = this.#current;
      this.#bringUp([endpoint]);
      if (this.#current !== silent) silent.abandon("it did not answer");
    } else {
      this.#turnToBetter(this.#current);
    }
  }

  /** The call no longer wants a connection. */
  forget(call: ChannelCall): void {
    this.#waiting.remove(call);
  }

  /** A member answered that it cannot serve (`no leader`, `server stopped`): go to another if there is one. */
  leave(upstream: Upstream, reason: string): void {
    const nowMs = performance.now();
    if (this.#standby.has(upstream)) this.#choice.failed(upstream.endpoint, reason, nowMs, "misbehaved");
    if (upstream.endpoint.name !== this.#current?.endpoint.name || this.#coming !== null) return;
    if (nowMs - this.#switchedAtMs < this.#switchPauseMs) return;
    this.#switchedAtMs = nowMs;
    this.#setAside(upstream.endpoint, reason, nowMs, "misbehaved");
    const others = this.#choice.candidates(nowMs).filter(({ name }) => name !== upstream.endpoint.name);
    if (others.length > 0) this.#bringUp(others);
  }

  /** What is known of each endpoint. */
  get reports(): readonly EndpointReport[] {
    return this.#choice.describe(performance.now());
  }

  /** A member has reached a limit of those who make calls; without `upstream` it is the one in use. */
  tellOfLimit(upstream: Upstream | null, limit: MemberLimit, reason: string): void {
    const endpoint = (upstream ?? this.#current)?.endpoint ?? this.#choice.current(performance.now());
    this.#events.onLimit?.(endpoint, limit, reason);
  }

  /** What to tell a client whose call found no member: every endpoint and why it is not in use. */
  unavailable(): Status {
    const reasons = this.#choice
      .describe(performance.now())
      .map(({ endpoint, reason }) => `${endpoint.name}: ${reason ?? this.#whyNot(endpoint)}`);
    return { code: Code.UNAVAILABLE, message: `etcdproxy: no member can be reached (${reasons.join("; ")})` };
  }

  #whyNot(endpoint: Endpoint): string {
    if (this.#current?.endpoint.name === endpoint.name) return "takes no more calls at once";
    return this.#coming?.endpoint.name === endpoint.name ? "not connected yet" : "not tried";
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#sweepTimer);
    this.#coming?.abandon();
    for (const upstream of [this.#current, ...this.#extras]) upstream?.abandon();
    this.#standby.close();
  }

  /** Leaves a member for a better one: one that checks speak against, or that is slower where latency decides. */
  #turnToBetter(current: Upstream): void {
    const nowMs = performance.now();
    const better = this.#choice.current(nowMs);
    if (better.name === current.endpoint.name || !this.#choice.isFit(better, nowMs)) return;
    // Nothing is wrong: so no hurry.
    const onlyFaster = this.#choice.isFit(current.endpoint, nowMs);
    if (onlyFaster && nowMs - this.#switchedAtMs < FASTER_PAUSE_MS) {
      // Or the next comparison would be with the one that was not turned to.
      this.#choice.keep(current.endpoint);
      return;
    }
    this.#switchedAtMs = nowMs;
    this.#bringUp(this.#choice.candidates(nowMs).filter((endpoint) => this.#choice.isFit(endpoint, nowMs)));
  }

  /** Stream ids are running out: a successor to the same member takes over when it is ready. */
  #replace(current: Upstream): void {
    const nowMs = performance.now();
    if (this.#coming !== null || nowMs - this.#replacedAtMs < REPLACE_PAUSE_MS) return;
    this.#replacedAtMs = nowMs;
    this.#bringUp([current.endpoint]);
  }

  /** A call waits because the connection takes no more. */
  #makeRoom(current: Upstream): void {
    if (current.connection.takesNoStreams) this.leave(current, "it takes no calls");
    else this.#addConnection(current);
  }

  #addConnection(current: Upstream): void {
    if (this.#coming !== null || this.#extras.length >= EXTRA_CONNECTIONS_MAX) return;
    if (this.#extras.some((extra) => !extra.ready)) return;
    if (this.#extraConnections.take(performance.now())) this.#extras.push(this.#dial(current.endpoint));
    else this.#events.onLimit?.(current.endpoint, "extraConnections", "its connections end at once");
  }

  /** A connection to `lost` that was ready is over: the next one is made at once, unless that happens too often. */
  #reconnect(endpoints: Endpoint[], lost: Endpoint, reason: string): void {
    if (this.#coming !== null || this.#retryTimer !== undefined || this.#closed) return;
    const nowMs = performance.now();
    if (this.#reconnects.take(nowMs)) {
      this.#bringUp(endpoints);
      return;
    }
    this.#events.onLimit?.(lost, "reconnects", reason);
    // Whoever else there is comes first then.
    this.#choice.failed(lost, reason, nowMs);
    this.#retryTimer = setTimeout(() => this.connect(), RECONNECT_PAUSE_MS);
  }

  #bringUpIfIdle(): void {
    if (this.#coming !== null || this.#retryTimer !== undefined || this.#closed) return;
    this.#bringUp(this.#choice.candidates(performance.now()));
  }

  /** Dials the endpoints in turn until one is ready. */
  #bringUp(endpoints: Endpoint[]): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    const [first, ...rest] = endpoints;
    if (first === undefined || this.#closed) return;
    this.#next = rest;
    const standby = this.#standby.take(first, this);
    this.#coming = standby ?? this.#dial(first);
    if (standby !== null) this.onReady(standby);
  }

  #dial(endpoint: Endpoint): Upstream {
    const firstStreamId = this.#firstStreamId;
    this.#firstStreamId = 1;
    return this.#newUpstream(endpoint, this, firstStreamId);
  }

  #newUpstream(endpoint: Endpoint, owner: UpstreamOwner, firstStreamId = 1): Upstream {
    return new Upstream(endpoint, this.#dialer, this.#upstreamOptions, owner, firstStreamId);
  }

  #sweep(): void {
    this.#waiting.expire(performance.now());
    if (this.#waiting.size > 0) return;
    clearInterval(this.#sweepTimer);
    this.#sweepTimer = undefined;
  }

  #shouldWait(call: ChannelCall, upstream: Upstream): boolean {
    return this.#coming !== null && call.avoids(upstream.endpoint);
  }

  /** Begins the calls that have waited longest; one that waits for another member holds nobody up. */
  #serveWaiting(): void {
    for (const call of this.#waiting) {
      const upstream = this.available;
      if (upstream === null) return;
      if (this.#shouldWait(call, upstream)) continue;
      this.#waiting.remove(call);
      call.onUpstream(upstream);
    }
  }

  // From the connections.

  onReady(upstream: Upstream): void {
    if (upstream === this.#coming) {
      this.#coming = null;
      this.#next = [];
      this.#backoff.reset();
      // Idle connections end as they retire: by then they must be nobody's.
      const before = [this.#current, ...this.#extras];
      this.#extras = [];
      this.#current = upstream;
      for (const old of before) if (old !== null) this.#retire(old);
      this.#choice.succeeded(upstream.endpoint);
      this.#choice.keep(upstream.endpoint);
      this.#events.onConnected(upstream.endpoint);
    }
    this.#serveWaiting();
    if (this.#waiting.size > 0 && this.#current !== null) this.#makeRoom(this.#current);
  }

  onFailed(upstream: Upstream, reason: string): void {
    if (this.#dropExtra(upstream)) return;
    this.#setAside(upstream.endpoint, reason, performance.now());
    this.#coming = null;
    if (this.#next.length > 0) {
      this.#bringUp(this.#next);
    } else if (this.#current === null || !this.#isListed(this.#current)) {
      this.#events.onAllFailed?.();
      this.#retryTimer = setTimeout(() => this.connect(), this.#backoff.next());
    } else {
      this.#serveWaiting();
    }
  }

  onGoaway(upstream: Upstream, reason: string): void {
    if (this.#dropExtra(upstream) || upstream !== this.#current) return;
    this.#current = null;
    if (this.#coming !== null) return;
    const { endpoint } = upstream;
    const others = this.#choice.candidates(performance.now()).filter(({ name }) => name !== endpoint.name);
    this.#reconnect([endpoint, ...others], endpoint, reason);
  }

  onLost(upstream: Upstream, reason: string, expected: boolean): void {
    if (this.#dropExtra(upstream)) return;
    if (upstream !== this.#current) return;
    this.#current = null;
    const nowMs = performance.now();
    if (!expected) this.#setAside(upstream.endpoint, reason, nowMs);
    this.#reconnect(this.#choice.candidates(nowMs), upstream.endpoint, reason);
  }

  onLimit(upstream: Upstream, limit: Http2LimitName, reason: string): void {
    this.#events.onLimit?.(upstream.endpoint, limit, reason);
  }

  onCallEnded(_upstream: Upstream): void {
    if (this.#waiting.size > 0) this.#serveWaiting();
  }

  #isSilent(endpoint: Endpoint): boolean {
    return this.#choice.problemOf(endpoint)?.kind === "silent";
  }

  /** Calls on it may end by themselves, but not where nobody answers any more; reads need not wait for a leader. */
  #retire(upstream: Upstream): void {
    const problem = this.#choice.problemOf(upstream.endpoint);
    if (problem?.kind === "silent") {
      upstream.abandon(problem.reason);
      return;
    }
    if (problem !== null) upstream.tellOfLeaving(problem.reason);
    upstream.retire();
  }

  /** Another reason is news too: the member that was lost a moment ago may refuse our certificate now. */
  #setAside(endpoint: Endpoint, reason: string, nowMs: number, kind?: FailureKind): void {
    const known = this.#choice.reportOf(endpoint, nowMs)?.reason;
    const first = this.#choice.failed(endpoint, reason, nowMs, kind);
    this.#events.onEndpointFailed(endpoint, reason, first || (known !== undefined && known !== reason));
  }

  #dropExtra(upstream: Upstream): boolean {
    const at = this.#extras.indexOf(upstream);
    if (at >= 0) this.#extras.splice(at, 1);
    return at >= 0;
  }
}
