/** A channel over stand-in members, and calls that are forwarded over it: what the forwarding tests share. */
import { create, toBinary } from "@bufbuild/protobuf";
import { methodPath } from "../../src/etcd/services.ts";
import { KV, RangeRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { Watch } from "../../src/gen/etcdserverpb/watch_pb.ts";
import { Election } from "../../src/gen/v3electionpb/election_pb.ts";
import { Channel } from "../../src/grpc/channel.ts";
import type { ChannelOptions } from "../../src/grpc/channel-options.ts";
import type { Status } from "../../src/grpc/status.ts";
import type { EndlessForward } from "../../src/proxy/endless-calls.ts";
import type { ForwardLimits } from "../../src/proxy/forward/forward-limits.ts";
import { SingleRequestForward } from "../../src/proxy/forward/single-request.ts";
import { StreamForward } from "../../src/proxy/forward/stream.ts";
import { waitFor, withDeadline } from "../harness/wait-for.ts";
import { RecordedCall, type RecordedCallOptions } from "./recorded-call.ts";
import { framed, type StandInMember } from "./stand-in-member.ts";

export const READ = methodPath(KV.method.range);
export const WRITE = methodPath(KV.method.put);
export const WATCH = methodPath(Watch.method.watch);
const OBSERVE = methodPath(Election.method.observe);

/** A request that every read of these tests can be: what it asks for does not matter here. */
const REQUEST = framed(
  toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: new TextEncoder().encode("k") })),
);

export interface ForwardingOptions extends Partial<ChannelOptions> {
  readonly limits?: Partial<ForwardLimits>;
}

export class Forwarding implements Disposable {
  readonly channel: Channel;
  /** `up`, `down` and `still down`, each with the endpoint. */
  readonly events: string[] = [];
  /** Hears of the limits that members reach. */
  onLimit: (limit: string) => void = () => {};
  readonly #limits: ForwardLimits;

  /** Endpoints are tried in the order of `members`, whatever chance would say. */
  constructor(members: readonly StandInMember[], options: ForwardingOptions = {}) {
    this.#limits = { sendBytesMax: 0xffff_ffff, receiveBytesMax: 0x7fff_ffff, ...options.limits };
    this.channel = new Channel({
      endpoints: members.map(({ endpoint }) => endpoint),
      dialTimeoutMs: 2000,
      random: () => 0,
      switchPauseMs: 0,
      events: {
        onConnected: ({ name }) => this.events.push(`up ${name}`),
        onUnexpectedError: (error) => {
          throw error;
        },
        onEndpointFailed: ({ name }, _reason, news) =>
          this.events.push(`${news ? "down" : "still down"} ${name}`),
        onLimit: (_endpoint, limit) => this.onLimit(limit),
      },
      ...options,
    });
    this.channel.connect();
  }

  /** Waits until calls go to `member`. */
  async connectedTo(member: StandInMember): Promise<void> {
    await waitFor(`a connection to ${member.endpoint.name}`, () =>
      this.events.at(-1) === `up ${member.endpoint.name}` ? true : undefined,
    );
  }

  /** A call with one request message, all of it sent. */
  single(
    path: string,
    options: Omit<RecordedCallOptions, "path"> = {},
    request = REQUEST,
    unary = true,
  ): RecordedCall {
    const call = new RecordedCall({ path, ...options });
    new SingleRequestForward(call, this.channel, this.#limits, unary);
    call.request(request);
    return call;
  }

  /** A call with a stream of requests, none sent yet. */
  stream(path: string, options: Omit<RecordedCallOptions, "path"> = {}): RecordedCall {
    const call = new RecordedCall({ path, ...options });
    new StreamForward(call, this.channel, this.#limits, null, false);
    return call;
  }

  /** A call of each kind that is endless, and the same for who ends it. */
  endless(kind: "stream" | "server stream"): { call: RecordedCall; forward: EndlessForward } {
    const call = new RecordedCall({ path: kind === "stream" ? WATCH : OBSERVE });
    if (kind === "stream") {
      return { call, forward: new StreamForward(call, this.channel, this.#limits, null, true) };
    }
    const forward = new SingleRequestForward(call, this.channel, this.#limits, false);
    forward.followEndless();
    call.request(REQUEST);
    return { call, forward };
  }

  [Symbol.dispose](): void {
    this.channel.close();
  }
}

/** How `call` ended. */
export function ended(call: RecordedCall): Promise<Status> {
  return withDeadline(call.status, () => `the call of ${call.head.path} to end`);
}
