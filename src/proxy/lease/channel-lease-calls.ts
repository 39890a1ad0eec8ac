/** The lease hub's calls over the channel to the members. */
import { methodPath } from "../../etcd/services.ts";
import { Lease } from "../../gen/etcdserverpb/lease_pb.ts";
import { CallHead } from "../../grpc/call-head.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { Status } from "../../grpc/status.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { MemberStream, MemberStreams } from "../upstream/member-stream.ts";
import { ownMetadata } from "../upstream/own-metadata.ts";
import type { LeaseCall, LeaseCallHandler, LeaseCalls } from "./lease-calls.ts";

const KEEP_ALIVE_PATH = methodPath(Lease.method.leaseKeepAlive);

/** The largest answer to a heartbeat that is taken: etcd's are about a hundred bytes long. */
const ANSWER_BYTES_MAX = 4096;

export class ChannelLeaseCalls implements LeaseCalls {
  readonly #channel: Channel;
  readonly #streams: MemberStreams;

  constructor(channel: Channel, limits: ForwardLimits) {
    this.#channel = channel;
    this.#streams = new MemberStreams(channel, Math.min(limits.receiveBytesMax, ANSWER_BYTES_MAX));
  }

  open(token: string, requiresLeader: boolean, handler: LeaseCallHandler): LeaseCall {
    const head = new CallHead(KEEP_ALIVE_PATH, ownMetadata(token, requiresLeader));
    return new MemberStream(this.#streams, head, handler);
  }

  unavailable(): Status {
    return this.#channel.unavailable();
  }

  /** The channel has come to use another connection: calls on others are told. */
  onConnected(): void {
    this.#streams.onConnected();
  }
}
