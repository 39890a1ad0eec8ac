/**
 * A client that reads, over a connection of its own: one key's value, a range, a read that can be given up.
 *
 * Keys are written as text in which each character is one byte, so that 0xff can be said too.
 */
import type { DescMethodServerStreaming, MessageInitShape } from "@bufbuild/protobuf";
import type { ClientOptions } from "@grpc/grpc-js";
import {
  KV,
  type RangeRequest,
  type RangeRequestSchema,
  type RangeResponse,
  type RangeResponseSchema,
} from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { type CallOptions, GrpcClient } from "../../harness/grpc-client.ts";
import { Conversation } from "../conversation.ts";

/** Keys from `key` to below `rangeEnd`; the one key without it; all from `key` on when it is "\0". */
export interface KeyRange {
  readonly key: string;
  readonly rangeEnd?: string;
}

/** What a read asks for besides its range. */
export type ReadOptions = Partial<Omit<RangeRequest, "$typeName" | "$unknown" | "key" | "rangeEnd">>;

export const SERIALIZABLE = { serializable: true } as const;
export const LINEARIZABLE = { serializable: false } as const;

/** What a range holds, without what differs from member to member and from moment to moment. */
export interface Holding {
  readonly kvs: readonly string[];
  readonly count: bigint;
  readonly more: boolean;
}

/** Range as a call that can be cancelled: on the wire a unary answer is a stream of one message. */
const rangeAsStream = KV.method.range as unknown as DescMethodServerStreaming<
  typeof RangeRequestSchema,
  typeof RangeResponseSchema
>;

export type OpenRead = Conversation<RangeRequest, RangeResponse>;

export function keyBytes(key: string): Buffer {
  return Buffer.from(key, "latin1");
}

/** The range of all keys that begin with `prefix`, whose last character is an ASCII one. */
export function prefixOf(prefix: string): KeyRange {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { key: prefix, rangeEnd: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

export function rangeRequest(
  { key, rangeEnd = "" }: KeyRange,
  options: ReadOptions = {},
): MessageInitShape<typeof RangeRequestSchema> {
  return { ...options, key: keyBytes(key), rangeEnd: keyBytes(rangeEnd) };
}

export function holdingOf({ kvs, count, more }: RangeResponse): Holding {
  return {
    kvs: kvs.map(({ key, value, modRevision, version, lease }) => {
      const told = [key, value].map((bytes) => Buffer.from(bytes).toString("latin1")).join("=");
      return `${told} @${modRevision} #${version} ${lease}`;
    }),
    count,
    more,
  };
}

/** The value of the first pair; undefined when there is none. */
export function valueOf({ kvs: [first] }: RangeResponse): string | undefined {
  return first === undefined ? undefined : Buffer.from(first.value).toString("latin1");
}

/**
 * Marks a call as one that is awaited later. A test that fails before then is reported by its own reason, not by
 * the calls that its end breaks.
 */
export function underWay<Answer>(call: Promise<Answer>): Promise<Answer> {
  call.catch(() => {});
  return call;
}

let barriers = 0;

export class ReadClient implements Disposable {
  readonly grpc: GrpcClient;
  readonly #metadata: Readonly<Record<string, string>>;

  /** @param metadata sent with each call: a token. */
  constructor(
    address: string,
    metadata: Readonly<Record<string, string>> = {},
    channelOptions: ClientOptions = {},
  ) {
    this.grpc = new GrpcClient(address, channelOptions);
    this.#metadata = metadata;
  }

  range(range: KeyRange, options: ReadOptions = {}, call: CallOptions = {}): Promise<RangeResponse> {
    return this.grpc.unary(KV.method.range, rangeRequest(range, options), {
      metadata: this.#metadata,
      ...call,
    });
  }

  /** The value of a key; undefined when there is none. */
  async get(key: string, options: ReadOptions = {}, call: CallOptions = {}): Promise<string | undefined> {
    return valueOf(await this.range({ key }, options, call));
  }

  /** Puts a pair; resolves to the revision. */
  async put(key: string, value: string): Promise<bigint> {
    const request = { key: keyBytes(key), value: keyBytes(value) };
    const { header } = await this.grpc.unary(KV.method.put, request, { metadata: this.#metadata });
    return header!.revision;
  }

  /** A read that can be given up. */
  open(range: KeyRange, options: ReadOptions = {}, call: CallOptions = {}): OpenRead {
    const request = rangeRequest(range, options);
    return new Conversation(
      this.grpc.serverStream(rangeAsStream, request, { metadata: this.#metadata, ...call }),
    );
  }

  /** Resolves once all that was sent on this connection before has arrived at the other side. */
  async barrier(): Promise<void> {
    // Streams begin in order, and each asks for what nobody else asks for. The first may overtake a message by a turn.
    for (let round = 0; round < 2; round++) {
      // That a made-up token may not read it is an answer as well.
      await this.get(`barrier/${barriers++}`).catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    this.grpc.close();
  }
}
