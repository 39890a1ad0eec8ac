/**
 * A client with one LeaseKeepAlive stream, without a connection: what it asks and what it is answered.
 *
 * Invariant: answers come in the order of the requests, each from a heartbeat that was sent to a member after its
 * request had arrived; a breach is noted as a violation.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
} from "../../../src/gen/etcdserverpb/lease_pb.ts";
import type { Status } from "../../../src/grpc/status.ts";
import { framed } from "../../grpc/stand-in-member.ts";
import { ClientCall } from "../watch/client-call.ts";

export interface ClientOptions {
  readonly token?: string;
  readonly requiresLeader?: boolean;
  /** What it reads at first, in bytes. */
  readonly windowBytes?: number;
}

interface Asked {
  readonly id: bigint;
  /** The world's count of events when the request was sent. */
  readonly at: number;
}

export class LeaseClient {
  readonly name: string;
  readonly token: string;
  readonly requiresLeader: boolean;
  readonly call: ClientCall;
  readonly asked: Asked[] = [];
  /** Ids of the answers so far. */
  readonly answers: bigint[] = [];
  status: Status | undefined;
  cancelled = false;
  halfClosed = false;
  readonly violations: string[] = [];
  readonly #tick: () => number;

  /** `tick` counts events: heartbeats that are sent, and requests. */
  constructor(name: string, tick: () => number, options: ClientOptions = {}) {
    this.name = name;
    this.#tick = tick;
    this.token = options.token ?? "";
    this.requiresLeader = options.requiresLeader ?? false;
    this.call = new ClientCall(this.token, this.requiresLeader, {
      onMessage: (message) => this.#onAnswer(message),
      onStatus: (status) => {
        this.status = status;
      },
      onViolation: (text) => this.violations.push(`${name}: ${text}`),
    });
    this.call.windowBytes = options.windowBytes ?? Number.POSITIVE_INFINITY;
  }

  get open(): boolean {
    return this.status === undefined && !this.cancelled;
  }

  /** Requests without an answer. */
  get waitsFor(): readonly Asked[] {
    return this.open ? this.asked.slice(this.answers.length) : [];
  }

  /** Sends requests, all in one piece. */
  send(...ids: readonly bigint[]): void {
    const at = this.#tick();
    for (const id of ids) this.asked.push({ id, at });
    this.sendBytes(Buffer.concat(ids.map((id) => framed(requestOf(id)))));
  }

  sendBytes(bytes: Uint8Array): void {
    this.call.sendRequestBytes(bytes);
  }

  halfClose(): void {
    this.halfClosed = true;
    this.call.receiver.onRequestEnd();
  }

  cancel(): void {
    if (!this.open) return;
    this.cancelled = true;
    this.call.reset("cancelled");
  }

  /** Reads `bytes` bytes more. */
  read(bytes: number): void {
    this.call.read(bytes);
    this.call.report();
  }

  #onAnswer(message: Uint8Array): void {
    const { ID, TTL } = fromBinary(LeaseKeepAliveResponseSchema, message);
    const asked = this.asked[this.answers.length];
    this.answers.push(ID);
    if (asked === undefined) this.violations.push(`${this.name}: an answer that nobody asked for: ${ID}`);
    else if (asked.id !== ID) this.violations.push(`${this.name}: ${ID} is answered instead of ${asked.id}`);
    else if (TTL < BigInt(asked.at))
      this.violations.push(`${this.name}: the answer of ${ID} is older than its request`);
  }
}

export function requestOf(id: bigint): Uint8Array {
  return toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: id }));
}

/** An answer; `ttl` is the count of events when the heartbeat was sent. */
export function answerOf(id: bigint, ttl: number): Uint8Array {
  const header = { clusterId: 1n, memberId: 2n ** 63n, revision: 7n, raftTerm: 2n };
  const answer = create(LeaseKeepAliveResponseSchema, { header, ID: id, TTL: BigInt(ttl) });
  return toBinary(LeaseKeepAliveResponseSchema, answer);
}
