/**
 * Some clients on one connection: each a LeaseKeepAlive stream that keeps a number of leases alive, as etcd's Go
 * client does.
 *
 * A burst, one heartbeat for each lease of a client, is bytes made once and written as they are. Invariant: an answer
 * for a lease that is not its client's is an error; when the server ends a stream, `ended` says why, and that client
 * sends no more.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { LeaseKeepAliveRequestSchema } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import type { HeaderField } from "../../../src/hpack/header-field.ts";
import { callHeaderBlock, Flag, frame, FrameType } from "../floors/frames.ts";
import {
  BareConnection,
  FIRST_WINDOW_BYTES,
  type FrameHandler,
  RST_STREAM,
  statusText,
} from "../load/bare-connection.ts";
import { prefixed } from "../load/call-template.ts";
import { FRAME_HEADER_BYTES } from "../load/frame-cutter.ts";
import { MessageCutter } from "../load/message-cutter.ts";
import { nowMicros } from "../load/now-micros.ts";
import { KeepAliveAnswer } from "./keep-alive-answer.ts";
import type { LeaseTally } from "./lease-tally.ts";

/** The leases of one client: those of the indexes from `first` on. */
export interface ClientPlan {
  readonly first: number;
  readonly leases: number;
}

interface Client extends ClientPlan {
  readonly streamId: number;
  readonly burst: Uint8Array;
  readonly dataBytes: number;
  readonly cutter: MessageCutter;
  /** What the stream's window leaves. */
  windowBytes: number;
  /** Answers that the last burst has yet to get. */
  unanswered: number;
  /** A burst waits for credit. */
  owes: boolean;
  ended: string | undefined;
}

export class LeaseConnection implements FrameHandler {
  /** Whether a client whose burst is all answered sends the next one at once. */
  closedLoop = false;
  readonly #tally: LeaseTally;
  /** The id of the lease with index 0; the others follow. */
  readonly #firstLeaseId: number;
  readonly #clients: readonly Client[];
  readonly #answer = new KeepAliveAnswer();
  /** Clients whose burst was answered by what is being read. */
  #ready: Client[] = [];
  #connection: BareConnection | null = null;
  #chunkMicros = -1;

  private constructor(plans: readonly ClientPlan[], firstLeaseId: number, tally: LeaseTally) {
    this.#tally = tally;
    this.#firstLeaseId = firstLeaseId;
    this.#clients = plans.map((plan, index) => {
      const streamId = 1 + 2 * index;
      const frames = Array.from({ length: plan.leases }, (_, lease) =>
        frame(FrameType.data, 0, streamId, heartbeat(firstLeaseId + plan.first + lease)),
      );
      const burst = Buffer.concat(frames);
      const client: Client = {
        ...plan,
        streamId,
        burst,
        dataBytes: burst.length - frames.length * FRAME_HEADER_BYTES,
        cutter: new MessageCutter((bytes, start, end) => this.#takeAnswer(client, bytes, start, end)),
        windowBytes: FIRST_WINDOW_BYTES,
        unanswered: 0,
        owes: false,
        ended: undefined,
      };
      return client;
    });
  }

  /** Connects to `host:port` and opens the stream of each client. */
  static async open(
    address: string,
    plans: readonly ClientPlan[],
    firstLeaseId: number,
    tally: LeaseTally,
  ): Promise<LeaseConnection> {
    const connection = new LeaseConnection(plans, firstLeaseId, tally);
    connection.#connection = await BareConnection.open(address, connection);
    const block = callHeaderBlock("/etcdserverpb.Lease/LeaseKeepAlive", address);
    const heads = connection.#clients.map(({ streamId }) =>
      frame(FrameType.headers, Flag.endHeaders, streamId, block),
    );
    connection.#connection.write(Buffer.concat(heads));
    return connection;
  }

  get clients(): number {
    return this.#clients.length;
  }

  /** Why clients' streams are over, one reason for each that is. */
  get ended(): string[] {
    return this.#clients.map(({ ended }) => ended).filter((reason) => reason !== undefined);
  }

  /** Sends a heartbeat for each lease of the client of this index: now, or as soon as there is credit. */
  beat(client: number): void {
    this.#beat(this.#clients[client]!);
  }

  close(): void {
    this.#connection?.close();
  }

  #beat(client: Client): void {
    const connection = this.#connection;
    if (connection === null || client.ended !== undefined) return;
    const { burst, dataBytes, first, leases } = client;
    client.owes = dataBytes > connection.sendWindowBytes || dataBytes > client.windowBytes;
    if (client.owes) return;
    client.windowBytes -= dataBytes;
    client.unanswered = leases;
    const micros = nowMicros();
    for (let lease = 0; lease < leases; lease++) this.#tally.noteSent(first + lease, micros);
    connection.write(burst, dataBytes);
  }

  onFrame(
    type: number,
    _flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const client = this.#clientOf(streamId);
    if (client === undefined) return;
    if (type === RST_STREAM) {
      client.ended ??= `the server reset the stream with code ${bytes[start + 3]}`;
      return;
    }
    if (this.#chunkMicros < 0) this.#chunkMicros = nowMicros();
    client.cutter.push(bytes, start, end);
  }

  onHeaders(streamId: number, endStream: boolean, fields: readonly HeaderField[]): void {
    const client = this.#clientOf(streamId);
    if (endStream && client !== undefined) client.ended ??= statusText(fields);
  }

  onChunkEnd(): void {
    this.#chunkMicros = -1;
    if (this.#ready.length === 0) return;
    const ready = this.#ready;
    this.#ready = [];
    if (this.closedLoop) for (const client of ready) this.#beat(client);
  }

  onCredit(): void {
    for (const client of this.#clients) if (client.owes) this.#beat(client);
  }

  onStreamCredit(streamId: number, bytes: number): void {
    const client = this.#clientOf(streamId);
    if (client === undefined) return;
    client.windowBytes += bytes;
    if (client.owes) this.#beat(client);
  }

  onLost(reason: string): void {
    for (const client of this.#clients) client.ended ??= reason;
  }

  #clientOf(streamId: number): Client | undefined {
    return this.#clients[(streamId - 1) >> 1];
  }

  #takeAnswer(client: Client, bytes: Uint8Array, start: number, end: number): void {
    const answer = this.#answer;
    answer.read(bytes, start, end);
    const lease = answer.leaseId - this.#firstLeaseId;
    if (!(lease >= client.first && lease < client.first + client.leases)) {
      client.ended ??= `an answer for a lease ${answer.leaseId} that is not the client's`;
      return;
    }
    this.#tally.noteAnswer(lease, answer.ttlSeconds, this.#chunkMicros);
    if (--client.unanswered === 0) this.#ready.push(client);
  }
}

function heartbeat(leaseId: number): Uint8Array {
  const request = create(LeaseKeepAliveRequestSchema, { ID: BigInt(leaseId) });
  return prefixed(toBinary(LeaseKeepAliveRequestSchema, request));
}
