/**
 * One LeaseKeepAlive call of a grpc-js client, as a test reads it.
 *
 * Invariant: etcd answers each request once and in their order; a breach fails the next thing that the test awaits.
 */
import { create } from "@bufbuild/protobuf";
import type { ClientDuplexStream, StatusObject } from "@grpc/grpc-js";
import {
  Lease,
  type LeaseKeepAliveRequest,
  LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
} from "../../../src/gen/etcdserverpb/lease_pb.ts";
import type { CallOptions, GrpcClient } from "../../harness/grpc-client.ts";
import { waitFor, withDeadline } from "../../harness/wait-for.ts";

const INTERVAL_MS = 5;

export class LeaseStream implements Disposable {
  /** Ids that were asked for, in order. */
  readonly asked: bigint[] = [];
  readonly answers: LeaseKeepAliveResponse[] = [];
  /** How it ended; undefined while it is open. */
  status: StatusObject | undefined;
  readonly #call: ClientDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;
  readonly #ended = Promise.withResolvers<StatusObject>();
  #breach = "";

  constructor(client: GrpcClient, options: CallOptions = {}) {
    this.#call = client.bidirectional(Lease.method.leaseKeepAlive, options);
    this.#call.on("data", (answer: LeaseKeepAliveResponse) => this.#take(answer));
    this.#call.on("error", () => {}); // The status says the same.
    this.#call.on("status", (status: StatusObject) => {
      this.status = status;
      this.#ended.resolve(status);
    });
  }

  /** Asks for a heartbeat of each lease. */
  send(...ids: readonly bigint[]): void {
    for (const ID of ids) {
      this.asked.push(ID);
      this.sendMessage(create(LeaseKeepAliveRequestSchema, { ID }));
    }
  }

  /** Sends a request with the fields that no generated code knows, too. */
  sendMessage(request: LeaseKeepAliveRequest): void {
    this.#call.write(request);
  }

  halfClose(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Waits until everything is answered. Returns the last answer. */
  async answered(): Promise<LeaseKeepAliveResponse> {
    await waitFor("all answers", () => this.#complete || this.status !== undefined, {
      intervalMs: INTERVAL_MS,
    });
    if (this.#breach !== "") throw new Error(this.#breach);
    if (!this.#complete) throw new Error(`the stream ended: ${this.status?.code} ${this.status?.details}`);
    return this.answers.at(-1)!;
  }

  /** Asks for one lease and waits for the answer. */
  async beat(id: bigint): Promise<LeaseKeepAliveResponse> {
    this.send(id);
    return this.answered();
  }

  /** How it ends. */
  async over(): Promise<{ readonly code: number; readonly details: string }> {
    const { code, details } = await withDeadline(this.#ended.promise, () => "the stream to end");
    if (this.#breach !== "") throw new Error(this.#breach);
    return { code, details };
  }

  get #complete(): boolean {
    return this.answers.length >= this.asked.length;
  }

  #take(answer: LeaseKeepAliveResponse): void {
    const expected = this.asked[this.answers.length];
    this.answers.push(answer);
    if (answer.ID !== expected) this.#breach ||= `lease ${answer.ID} is answered instead of ${expected}`;
    if (answer.header === undefined) this.#breach ||= `the answer of ${answer.ID} has no header`;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}
