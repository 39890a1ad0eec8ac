/**
 * Which way a call goes: the proxy's method table.
 *
 * Built from the generated descriptors. A gRPC call of a method that the proxy implements with types goes
 * through Connect; any other, of unknown methods too, is forwarded as the bytes it came in. A call in another
 * protocol goes through Connect, which comes back here as a gRPC call in process: so each call passes `serve` once, and
 * is counted there.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { type ConnectRouter, createConnectRouter, type Transport } from "@connectrpc/connect";
import type { Compression, UniversalHandler } from "@connectrpc/connect/protocol";
import { JSON_ROUTES } from "../etcd/json-routes.ts";
import { READ_METHODS } from "../etcd/repeatable-reads.ts";
import { methodPath, SERVICES } from "../etcd/services.ts";
import { KV } from "../gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../gen/etcdserverpb/lease_pb.ts";
import { Watch } from "../gen/etcdserverpb/watch_pb.ts";
import { Election } from "../gen/v3electionpb/election_pb.ts";
import type { Channel } from "../grpc/channel.ts";
import { connectTransport } from "../grpc/connect-transport.ts";
import type { AnswerBounds } from "../grpc/in-process-call.ts";
import type { MethodCounts } from "../grpc/method-counts.ts";
import type { ServerCall } from "../grpc/server-call.ts";
import type { Status } from "../grpc/status.ts";
import { serveUniversal } from "../grpc/universal-server.ts";
import type { CallLog } from "./call-log/call-log.ts";
import { registerServices, type TypedServices } from "./connect-services.ts";
import { type EndlessCall, EndlessForwards } from "./endless-calls.ts";
import type { AnswerEffects } from "./forward/answer-effects.ts";
import type { ForwardLimits } from "./forward/forward-limits.ts";
import { SingleRequestForward } from "./forward/single-request.ts";
import { StreamForward } from "./forward/stream.ts";
import type { KvHub } from "./kv/kv-hub.ts";
import type { LeaseHub } from "./lease/lease-hub.ts";
import { jsonBytesMax, jsonGateway } from "./json-gateway.ts";
import { inflatingFor, limitedGzip } from "./limited-gzip.ts";
import { CallCounts } from "./metrics/call-counts.ts";
import type { WatchHub } from "./watch/watch-hub.ts";

/** How calls of one path are served. */
type Lane =
  | { readonly kind: "unary"; readonly effects: AnswerEffects | null }
  | { readonly kind: "server streaming"; readonly effects: AnswerEffects | null; readonly endless: boolean }
  | { readonly kind: "stream"; readonly effects: AnswerEffects | null; readonly endless: boolean }
  | { readonly kind: "range"; readonly hub: KvHub }
  | { readonly kind: "txn"; readonly hub: KvHub }
  | { readonly kind: "other read"; readonly hub: KvHub }
  | { readonly kind: "watch"; readonly hub: WatchHub }
  | { readonly kind: "lease"; readonly hub: LeaseHub }
  | { readonly kind: "typed"; readonly handler: UniversalHandler }
  | { readonly kind: "refused"; readonly status: Status };

/** What is known of one path: how its calls are served, and where they are counted. */
interface Route {
  readonly lane: Lane;
  readonly counts: MethodCounts;
}

/** What ends only when its client, or the proxy, wants it to. */
const ENDLESS_METHODS: ReadonlySet<DescMethod> = new Set<DescMethod>([
  Watch.method.watch,
  Lease.method.leaseKeepAlive,
  Election.method.observe,
]);

/** The parts that serve calls in their own way; null: they are forwarded as they are. */
export interface Hubs {
  readonly kv: KvHub | null;
  readonly watch: WatchHub | null;
  readonly leases: LeaseHub | null;
}

export interface RouterParts {
  readonly channel: Channel;
  readonly limits: ForwardLimits;
  /** The methods that the proxy answers itself. */
  readonly typed: TypedServices;
  readonly hubs: Hubs;
  /** What is gathered for callers of other protocols than gRPC. */
  readonly answers: AnswerBounds;
  /**
   * What calls of a method (undefined: one that is not known) are answered by rule, null for those that are served;
   * absent: all are.
   */
  readonly refusal?: ((method: DescMethod | undefined) => Status | null) | undefined;
  /** Null, or absent: calls are not logged. */
  readonly callLog?: CallLog | null;
  /** Where calls are counted. */
  readonly calls?: CallCounts;
}

export class Router {
  readonly #channel: Channel;
  readonly #limits: ForwardLimits;
  readonly #routes = new Map<string, Route>();
  /** Connect's handlers by path, for callers of other protocols than gRPC. */
  readonly #universal: ReadonlyMap<string, UniversalHandler>;
  readonly #typed: TypedServices;
  readonly #hubs: Hubs;
  readonly #answers: AnswerBounds;
  readonly #unknownMethod: Route;
  readonly #endless = new EndlessForwards();
  /** Null: calls are not logged. */
  readonly #callLog: CallLog | null;

  constructor(parts: RouterParts) {
    const { hubs, typed, refusal = () => null, calls = new CallCounts() } = parts;
    this.#callLog = parts.callLog ?? null;
    this.#channel = parts.channel;
    this.#limits = parts.limits;
    this.#typed = typed;
    this.#hubs = hubs;
    this.#answers = parts.answers;
    const unknown = refusal(undefined);
    this.#unknownMethod = {
      lane:
        unknown === null
          ? { kind: "stream", effects: hubs.kv?.effectsOf(undefined) ?? null, endless: false }
          : { kind: "refused", status: unknown },
      counts: calls.of(undefined),
    };
    this.#universal = this.#handlers(this.routes);
    const own = this.#handlers((router) => this.#register(router, typed));
    for (const service of SERVICES) {
      for (const method of service.methods) {
        const status = refusal(method);
        this.#routes.set(methodPath(method), {
          lane: status === null ? this.#laneOf(method, own) : { kind: "refused", status },
          counts: calls.of(method),
        });
      }
    }
  }

  /** Settings of every Connect router the proxy has. */
  connectOptions(): { acceptCompression: Compression[]; readMaxBytes: number } {
    return { acceptCompression: [limitedGzip], readMaxBytes: this.#limits.sendBytesMax };
  }

  /** The longest body of a request to `url`, in bytes. */
  bodyBytesMax(url: string): number {
    const { sendBytesMax } = this.#limits;
    return JSON_ROUTES.has(url.split("?", 1)[0]!) ? jsonBytesMax(sendBytesMax) : sendBytesMax;
  }

  /** Registers the services, and etcd's own paths for JSON: their callers come to `serve`, all of them. */
  readonly routes = (router: ConnectRouter): void => {
    const lanes = this.#register(router, {});
    router.handlers.push(...jsonGateway(lanes, this.#limits.sendBytesMax));
  };

  #register(router: ConnectRouter, typed: TypedServices): Transport {
    const lanes = connectTransport((call) => this.serve(call), this.#answers);
    registerServices(router, lanes, typed);
    return lanes;
  }

  #handlers(register: (router: ConnectRouter) => void): Map<string, UniversalHandler> {
    const router = createConnectRouter(this.connectOptions());
    register(router);
    return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  }

  /** Serves a gRPC call. */
  serve(arriving: ServerCall): void {
    const call = this.#callLog === null ? arriving : this.#callLog.wrap(arriving);
    const { lane, counts } = this.#routes.get(call.head.path) ?? this.#unknownMethod;
    counts.started++;
    arriving.counts = counts;
    switch (lane.kind) {
      case "unary":
        new SingleRequestForward(call, this.#channel, this.#limits, true, lane.effects);
        break;
      case "server streaming":
        this.#serveStreaming(call, lane.effects, lane.endless);
        break;
      case "stream":
        this.#serveStream(call, lane.effects, lane.endless);
        break;
      case "range":
        lane.hub.serveRange(call);
        break;
      case "txn":
        lane.hub.serveTxn(call);
        break;
      case "other read":
        lane.hub.serveOtherRead(call);
        break;
      case "watch":
        lane.hub.serve(call);
        break;
      case "lease":
        if (!call.head.mayBeCompressed) lane.hub.serve(call);
        else this.#serveStream(call, null, true);
        break;
      case "typed":
        this.serveByConnect(call, "POST", lane.handler);
        break;
      case "refused":
        call.finishWithStatus(lane.status);
        break;
    }
  }

  #serveStreaming(call: ServerCall, effects: AnswerEffects | null, endless: boolean): void {
    const forward = new SingleRequestForward(call, this.#channel, this.#limits, false, effects);
    if (!endless) return;
    forward.followEndless();
    this.#endless.add(forward);
  }

  #serveStream(call: ServerCall, effects: AnswerEffects | null, endless: boolean): void {
    const forward = new StreamForward(call, this.#channel, this.#limits, effects, endless);
    if (endless) this.#endless.add(forward);
  }

  /** From now on further endless calls are ended with `status` as they come; returns those that are open. */
  dismissNew(status: Status): EndlessCall[] {
    const { watch, leases } = this.#hubs;
    return [
      ...this.#endless.dismissNew(status),
      ...(watch?.dismissNew(status) ?? []),
      ...(leases?.dismissNew(status) ?? []),
    ];
  }

  /** Connect's handler for a path, for callers of other protocols than gRPC. */
  universalHandler(path: string): UniversalHandler | undefined {
    return this.#universal.get(path);
  }

  /** Has Connect serve a call that came with the HTTP method `method`. */
  serveByConnect(call: ServerCall, method: string, handler: UniversalHandler): void {
    const { methodKind } = handler.method;
    const one = methodKind === "unary" || methodKind === "server_streaming";
    const shape = { messages: one ? "one" : "many", messageBytesMax: this.#limits.sendBytesMax } as const;
    inflatingFor(call, () => serveUniversal(call, method, handler, shape));
  }

  /** `own`: Connect's handlers of what the proxy implements with types. */
  #laneOf(method: DescMethod, own: ReadonlyMap<string, UniversalHandler>): Lane {
    if (this.#typed[method.parent.typeName]?.[method.localName] !== undefined) {
      return { kind: "typed", handler: own.get(methodPath(method))! };
    }
    const { kv, watch, leases } = this.#hubs;
    if (method === Watch.method.watch && watch !== null) return { kind: "watch", hub: watch };
    if (method === Lease.method.leaseKeepAlive && leases !== null) return { kind: "lease", hub: leases };
    if (method === KV.method.range && kv !== null) return { kind: "range", hub: kv };
    if (method === KV.method.txn && kv !== null) return { kind: "txn", hub: kv };
    if (method.methodKind === "unary" && READ_METHODS.has(method) && kv !== null) {
      return { kind: "other read", hub: kv };
    }
    const effects = kv?.effectsOf(method) ?? null;
    switch (method.methodKind) {
      case "unary":
        return { kind: "unary", effects };
      case "server_streaming":
        return { kind: "server streaming", effects, endless: ENDLESS_METHODS.has(method) };
      default:
        return { kind: "stream", effects, endless: ENDLESS_METHODS.has(method) };
    }
  }
}
