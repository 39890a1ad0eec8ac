/**
 * The watch hub's calls over the channel to the members: Watch calls, which are streams of the proxy's own, and reads
 * of nothing but a revision.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { KeyRange } from "../../etcd/key-range.ts";
import { methodPath } from "../../etcd/services.ts";
import { KV, TxnRequestSchema } from "../../gen/etcdserverpb/kv_pb.ts";
import { Watch } from "../../gen/etcdserverpb/watch_pb.ts";
import { CallHead } from "../../grpc/call-head.ts";
import type { AnswerMemory } from "../../grpc/answer-memory.ts";
import type { Channel } from "../../grpc/channel.ts";
import type { MemberLimit } from "../../grpc/channel-options.ts";
import type { ForwardLimits } from "../forward/forward-limits.ts";
import { SingleRequestForward } from "../forward/single-request.ts";
import { MemberStream, MemberStreams } from "../upstream/member-stream.ts";
import { ownMetadata } from "../upstream/own-metadata.ts";
import { HeaderCall } from "./header-call.ts";
import type { RevisionReadHandler, WatchCall, WatchCallHandler, WatchCalls } from "./watch-calls.ts";

const WATCH_PATH = methodPath(Watch.method.watch);
const TXN_PATH = methodPath(KV.method.txn);
/** etcd's smallest key, which is of no interest. */
const FIRST_KEY = Uint8Array.of(0);

export class ChannelWatchCalls implements WatchCalls {
  readonly #channel: Channel;
  readonly #limits: ForwardLimits;
  readonly #streams: MemberStreams;

  /** Messages of Watch calls are held to `limits`, and to what `memory` has. */
  constructor(channel: Channel, limits: ForwardLimits, memory?: AnswerMemory) {
    this.#channel = channel;
    this.#limits = limits;
    this.#streams = new MemberStreams(channel, limits.receiveBytesMax, memory);
  }

  open(token: string, requireLeader: boolean, handler: WatchCallHandler): WatchCall {
    const head = new CallHead(WATCH_PATH, ownMetadata(token, requireLeader));
    return new MemberStream(this.#streams, head, handler);
  }

  /**
   * A transaction that reads one key and, in the branch that is never taken, the whole range: etcd checks the
   * permission of both branches, and looks at one key, however large the range.
   */
  readRevision(token: string, range: KeyRange | null, revision: number, handler: RevisionReadHandler): void {
    const { key, rangeEnd } = range?.toRequest() ?? { key: FIRST_KEY, rangeEnd: new Uint8Array(0) };
    const options = { serializable: true, keysOnly: true, limit: 1n };
    const first = {
      request: { case: "requestRange", value: { ...options, key, revision: BigInt(revision) } },
    } as const;
    const whole = { request: { case: "requestRange", value: { ...options, key, rangeEnd } } } as const;
    this.#read(token, { success: [first], failure: [whole] }, handler);
  }

  /** A transaction that reads one key, linearizably. */
  readLatest(token: string, range: KeyRange, handler: RevisionReadHandler): void {
    const { key } = range.toRequest();
    const first = { request: { case: "requestRange", value: { key, keysOnly: true, limit: 1n } } } as const;
    this.#read(token, { success: [first] }, handler);
  }

  #read(
    token: string,
    request: MessageInitShape<typeof TxnRequestSchema>,
    handler: RevisionReadHandler,
  ): void {
    const message = toBinary(TxnRequestSchema, create(TxnRequestSchema, request));
    const call = new HeaderCall(new CallHead(TXN_PATH, ownMetadata(token, false)), handler);
    new SingleRequestForward(call, this.#channel, this.#limits, true);
    call.request(message);
  }

  tellOfLimit(limit: MemberLimit, reason: string): void {
    this.#channel.tellOfLimit(null, limit, reason);
  }

  /** The channel has come to use another connection: calls on others are told. */
  onConnected(): void {
    this.#streams.onConnected();
  }
}
