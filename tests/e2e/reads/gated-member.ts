/**
 * A gate in front of a real member: a gRPC server (@grpc/grpc-js) that carries every call of etcd's API to it, and
 * keeps account of each from its arrival to its end.
 *
 * A test can hold chosen unary calls, on their way to the member or with the member's answer in hand, and look at
 * what arrives meanwhile. A call counts as in flight until its answer is handed over or its caller gives it up, so
 * a caller that sends one request after another never has two in flight here.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Watch } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { methodPath } from "../../harness/grpc-client.ts";
import { waitFor } from "../../harness/wait-for.ts";

/** Where a held call waits. */
export type HeldAt = "arrival" | "answer";

export type ChosenCalls = (call: GatedCall) => boolean;

/** What says who a caller is, and what is asked of the member besides. */
const CARRIED_METADATA = ["token", "authorization", "hasleader"];

/** What a test waits for at a gate is under way already. */
const ARRIVAL_MS = 10_000;

const identity = (bytes: Buffer): Buffer => bytes;

/** A unary call as it arrived at the gate. */
export class GatedCall {
  readonly method: string;
  readonly message: Buffer;
  readonly metadata: grpc.Metadata;
  readonly arrivedAtMs = performance.now();
  /** Milliseconds that its caller gave it; `Infinity` for none. */
  readonly leftMs: number;
  inFlight = true;
  /** Its caller gave it up. */
  cancelled = false;
  readonly #released = Promise.withResolvers<void>();
  readonly #ran = Promise.withResolvers<void>();

  constructor(method: string, call: grpc.ServerUnaryCall<Buffer, Buffer>) {
    this.method = method;
    this.message = call.request;
    this.metadata = metadata(call.metadata);
    this.leftMs = Number(call.getDeadline()) - Date.now();
  }

  /** The same for calls that ask the same in the same name. */
  get request(): string {
    const carried = JSON.stringify(this.metadata.getMap());
    return `${this.method} ${carried} ${this.message.toString("base64")}`;
  }

  /** Resolves when the member has answered it. */
  get ran(): Promise<void> {
    return this.#ran.promise;
  }

  noteRun(): void {
    this.#ran.resolve();
  }

  get released(): Promise<void> {
    return this.#released.promise;
  }

  /** Whether `key`, in UTF-8, is anywhere in the request. */
  mentions(key: string): boolean {
    return this.message.includes(key);
  }

  /** Lets it go on when it is held. */
  release(): void {
    this.#released.resolve();
  }
}

export class GatedMember implements AsyncDisposable {
  readonly endpoint: string;
  /** Unary calls that ever arrived, in that order. */
  readonly calls: GatedCall[] = [];
  readonly #server: grpc.Server;
  readonly #client: grpc.Client;
  readonly #inFlight = new Map<string, number>();
  readonly #inFlightMax = new Map<string, number>();
  #closed = false;
  #held: { readonly at: HeldAt; readonly which: ChosenCalls } | null = null;

  private constructor(server: grpc.Server, port: number, member: string) {
    this.#server = server;
    this.endpoint = `127.0.0.1:${port}`;
    this.#client = new grpc.Client(member, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** @param member `host:port` of the member behind it. */
  static async start(member: string): Promise<GatedMember> {
    const server = new grpc.Server({
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    const gate = new GatedMember(server, port, member);
    for (const service of [KV, Watch, Lease, Cluster, Auth, Maintenance]) {
      for (const method of service.methods) gate.#serve(method);
    }
    return gate;
  }

  /** From now on holds the calls that `which` chooses, until `pass` or until they are released one by one. */
  hold(at: HeldAt, which: ChosenCalls): void {
    this.#held = { at, which };
  }

  /** Holds nothing any more, and lets go what is held. */
  pass(): void {
    this.#held = null;
    for (const call of this.calls) call.release();
  }

  /** Unary calls that arrived and mention `key`, in that order. */
  of(key: string): GatedCall[] {
    return this.calls.filter((call) => call.mentions(key));
  }

  inFlight(key: string): number {
    return this.of(key).filter((call) => call.inFlight).length;
  }

  /** The most calls that were ever in flight at once for any one request that mentions `key`. */
  inFlightMax(key: string): number {
    const requests = new Set(this.of(key).map(({ request }) => request));
    return Math.max(0, ...[...requests].map((request) => this.#inFlightMax.get(request) ?? 0));
  }

  /** Waits until `count` calls that mention `key` have arrived; resolves to the last of them. */
  async arrived(key: string, count: number): Promise<GatedCall> {
    await waitFor(
      `${count} calls for ${key} at the gate`,
      () => {
        if (this.of(key).length < count) throw new Error(`${this.of(key).length} came`);
        return true;
      },
      { deadlineMs: ARRIVAL_MS, intervalMs: 2 },
    );
    return this.of(key)[count - 1]!;
  }

  /** Resets all connections, and takes no new one, as a member that was killed. */
  kill(): void {
    this.#server.forceShutdown();
  }

  #serve(method: DescMethod): void {
    const requestStream = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
    const responseStream = method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming";
    const definition: grpc.MethodDefinition<Buffer, Buffer> = {
      path: methodPath(method),
      requestStream,
      responseStream,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    };
    const implementation = responseStream
      ? (call: grpc.ServerDuplexStream<Buffer, Buffer>) => this.#carryStream(definition, call)
      : (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) =>
          void this.#carry(method, call, answer);
    this.#server.addService({ [method.name]: definition }, { [method.name]: implementation });
  }

  async #carry(
    method: DescMethod,
    call: grpc.ServerUnaryCall<Buffer, Buffer>,
    answer: grpc.sendUnaryData<Buffer>,
  ): Promise<void> {
    const gated = new GatedCall(method.name, call);
    this.#begin(gated);
    let upstream: grpc.ClientUnaryCall | null = null;
    call.on("cancelled", () => {
      if (!gated.inFlight) return;
      gated.cancelled = true;
      this.#end(gated);
      gated.release();
      upstream?.cancel();
    });
    const held = this.#held?.which(gated) === true ? this.#held.at : null;
    if (held === "arrival") await gated.released;
    if (gated.cancelled || this.#closed) return;
    const path = methodPath(method);
    const answered = Promise.withResolvers<[grpc.ServiceError | null, Buffer | undefined]>();
    upstream = this.#client.makeUnaryRequest(
      path,
      identity,
      identity,
      gated.message,
      gated.metadata,
      (error, bytes) => answered.resolve([error, bytes]),
    );
    const [error, bytes] = await answered.promise;
    gated.noteRun();
    if (held === "answer") await gated.released;
    if (gated.cancelled || this.#closed) return;
    this.#end(gated);
    if (error === null) answer(null, bytes);
    else answer({ code: error.code, details: error.details });
  }

  #carryStream(
    { path, requestStream }: grpc.MethodDefinition<Buffer, Buffer>,
    call: grpc.ServerDuplexStream<Buffer, Buffer>,
  ): void {
    const carried = metadata(call.metadata);
    const upstream = this.#client.makeBidiStreamRequest<Buffer, Buffer>(path, identity, identity, carried);
    const { request } = call as unknown as { readonly request?: Buffer };
    if (requestStream) {
      call.on("data", (bytes: Buffer) => void upstream.write(bytes));
      call.on("end", () => upstream.end());
    } else {
      upstream.write(request ?? Buffer.alloc(0));
      upstream.end();
    }
    call.on("cancelled", () => upstream.cancel());
    call.on("error", () => {});
    upstream.on("data", (bytes: Buffer) => void call.write(bytes));
    upstream.on("error", () => {}); // The status says the same.
    upstream.on("status", ({ code, details }: grpc.StatusObject) => {
      if (code === grpc.status.OK) call.end();
      else call.emit("error", { code, details });
    });
  }

  #begin(call: GatedCall): void {
    this.calls.push(call);
    const { request } = call;
    const now = (this.#inFlight.get(request) ?? 0) + 1;
    this.#inFlight.set(request, now);
    if (now > (this.#inFlightMax.get(request) ?? 0)) this.#inFlightMax.set(request, now);
  }

  #end(call: GatedCall): void {
    call.inFlight = false;
    this.#inFlight.set(call.request, this.#inFlight.get(call.request)! - 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.pass();
    this.#server.forceShutdown();
    this.#client.close();
  }
}

function metadata(arrived: grpc.Metadata): grpc.Metadata {
  const carried = new grpc.Metadata();
  for (const name of CARRIED_METADATA) {
    for (const value of arrived.get(name)) carried.add(name, value);
  }
  return carried;
}
