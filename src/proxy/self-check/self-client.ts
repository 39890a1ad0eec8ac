/**
 * A client of the proxy within the proxy: `@grpc/grpc-js`, which shares no code with the engine that answers it.
 *
 * Stands between `/proxy/health` and a Unix socket. It asks what every client asks of a proxy, and writes nothing: a
 * linearizable read, and a watch that has to be created and then to tell how far it is, for which the proxy asks the member.
 */
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { saysRefused } from "../../etcd/auth-refusal.ts";
import { methodPath } from "../../etcd/services.ts";
import { KV } from "../../gen/etcdserverpb/kv_pb.ts";
import { Watch, type WatchRequest, type WatchResponse } from "../../gen/etcdserverpb/watch_pb.ts";
import { Code } from "../../grpc/status.ts";
import { HEALTH_KEY, type HealthFailure, isRefusal } from "../pages/health.ts";

/** It is asked seldom, and is to be connected when it is. */
const IDLE_MS_MAX = 0x7fff_ffff;

export class SelfClient {
  readonly #client: Client;

  /** `path`: of the socket. Connects when it is asked first. */
  constructor(path: string) {
    this.#client = new Client(`unix:${path}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.client_idle_timeout_ms": IDLE_MS_MAX,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_retries": 0,
    });
  }

  /** Reads and watches at the same time; null: both work. What does not work is told before what is not allowed. */
  async ask(token: string, timeoutMs: number): Promise<HealthFailure | null> {
    const metadata = new Metadata();
    if (token !== "") metadata.set("token", token);
    const deadline = Date.now() + timeoutMs;
    const found = await Promise.all([this.#read(metadata, deadline), this.#watch(metadata, deadline)]);
    const failures = found.filter((failure) => failure !== null);
    return failures.find((failure) => !isRefusal(failure)) ?? failures[0] ?? null;
  }

  close(): void {
    this.#client.close();
  }

  #read(metadata: Metadata, deadline: number): Promise<HealthFailure | null> {
    const { range } = KV.method;
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        methodPath(range),
        serialize(range.input),
        (bytes) => bytes,
        create(range.input, { key: HEALTH_KEY, keysOnly: true }),
        metadata,
        { deadline },
        (error) => resolve(error === null ? null : failureOf("a read", error)),
      );
    });
  }

  #watch(metadata: Metadata, deadline: number): Promise<HealthFailure | null> {
    const { watch } = Watch.method;
    const call = this.#client.makeBidiStreamRequest<WatchRequest, WatchResponse>(
      methodPath(watch),
      serialize(watch.input),
      deserialize(watch.output),
      metadata,
      { deadline },
    );
    return watched(call);
  }
}

/** Resolves when the watch is created and something has come of it, or nothing will; then the call is over. */
function watched(call: ClientDuplexStream<WatchRequest, WatchResponse>): Promise<HealthFailure | null> {
  const { input } = Watch.method.watch;
  return new Promise((resolve) => {
    let created = false;
    const end = (failure: HealthFailure | null): void => {
      resolve(failure);
      call.cancel();
    };
    call.on("data", (answer: WatchResponse) => {
      if (answer.canceled) end(cancellation(answer));
      else if (created) end(null);
      else if (answer.created) {
        created = true;
        call.write(create(input, { requestUnion: { case: "progressRequest", value: {} } }));
      }
    });
    call.on("error", (error: ServiceError) => {
      end(failureOf(created ? "a watch that is created" : "a watch", error));
    });
    call.on("end", () => end({ code: Code.UNAVAILABLE, message: "a watch: the stream has ended" }));
    call.write(create(input, { requestUnion: { case: "createRequest", value: { key: HEALTH_KEY } } }));
  });
}

function cancellation({ cancelReason }: WatchResponse): HealthFailure {
  const code = saysRefused(cancelReason) ? Code.PERMISSION_DENIED : Code.UNAVAILABLE;
  return { code, message: `a watch: ${cancelReason || "canceled"}` };
}

/** What grpc-js adds about its own connection, a socket without an address, tells nobody anything. */
function failureOf(what: string, { code: status, details }: ServiceError): HealthFailure {
  const code: number = status;
  const reason = code === Code.DEADLINE_EXCEEDED ? "no answer in time" : details;
  return { code, message: `${what}: ${reason || `ended with status ${code}`}` };
}

function serialize<Schema extends DescMessage>(schema: Schema): (message: MessageShape<Schema>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, message));
}

function deserialize<Schema extends DescMessage>(schema: Schema): (bytes: Buffer) => MessageShape<Schema> {
  return (bytes) => fromBinary(schema, bytes);
}
