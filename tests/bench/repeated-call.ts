/**
 * One gRPC call that h2load repeats, as a measurement.
 *
 * An answer's expected size is that of etcd's own answer to the same request, asked for right before and right
 * after the load: a put's answer grows with the store's revision.
 */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { writeFileSync } from "node:fs";
import { type GrpcClient, methodPath } from "../harness/grpc-client.ts";
import { type GrpcLoad, type H2loadResult, type H2loadShape, measureLatency, runH2load } from "./h2load.ts";
import { MemberMetrics } from "./load/member-metrics.ts";
import type { Contender, Measurement } from "./measurement.ts";
import type { Part } from "./options.ts";
import type { Stage } from "./stage.ts";

/** 128 calls in flight. */
export const FULL_LOAD: H2loadShape = { connections: 8, streamsPerConnection: 16 };
export const ONE_AT_A_TIME: H2loadShape = { connections: 1, streamsPerConnection: 1 };

export const GRPC_PREFIX_BYTES = 5;
/** Enough to guess from how many fill the wanted time. */
export const FIRST_REQUESTS = 4000;

/** A unary call, ready to be sent again and again. */
export class RepeatedCall {
  readonly path: string;
  readonly #message: Uint8Array;

  constructor(path: string, message: Uint8Array) {
    this.path = path;
    this.#message = message;
  }

  static of<Input extends DescMessage>(
    method: DescMethodUnary<Input>,
    request: MessageInitShape<Input>,
  ): RepeatedCall {
    return new RepeatedCall(methodPath(method), toBinary(method.input, create(method.input, request)));
  }

  /** etcd's answer. */
  async answer(client: GrpcClient): Promise<Uint8Array> {
    return (await client.callBytes(this.path, this.#message)).message;
  }

  async answerBytes(client: GrpcClient): Promise<number> {
    return (await this.answer(client)).length + GRPC_PREFIX_BYTES;
  }

  /** Writes the request to a file, as the body that h2load sends. */
  writeBody(file: string): void {
    const prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
    prefix.writeUInt32BE(this.#message.length, 1);
    writeFileSync(file, Buffer.concat([prefix, this.#message]));
  }
}

export interface CallMeasurement {
  readonly id: string;
  readonly title: string;
  readonly part: Part;
  readonly call: RepeatedCall;
  readonly shape: H2loadShape;
  readonly contenders: readonly Contender[];
  /** Whether the calls that reach etcd are told for each of the clients'. */
  readonly countUpstream?: boolean;
  /** Whether a proxy may have kept an answer of an earlier run: its bytes are those of a lower revision. */
  readonly mayBeKept?: boolean;
  /** Whether clients speak TLS. */
  readonly tls?: boolean;
  /** The process behind the contenders; the stage's etcd when absent. */
  readonly serverPid?: number;
}

/** Range calls that etcd was sent. */
async function rangesAtEtcd(stage: Stage): Promise<number> {
  return (await MemberMetrics.read(stage.etcdAddress)).callsStarted("Range");
}

/** Writes the request to a file of the stage, named `id`. */
function loadOf(
  stage: Stage,
  { id, call, shape, tls = false }: Pick<CallMeasurement, "id" | "call" | "shape" | "tls">,
): GrpcLoad {
  const bodyFile = stage.folder.file(id);
  call.writeBody(bodyFile);
  return { path: call.path, bodyFiles: [bodyFile], shape, tls };
}

/** Makes what tells how many bytes each answer from now on has at least. */
function leastAnswerBytes(
  client: GrpcClient,
  { call, mayBeKept = false }: Pick<CallMeasurement, "call" | "mayBeKept">,
): () => Promise<number> {
  let leastBytes = Infinity;
  return async () => {
    const bytes = await call.answerBytes(client);
    leastBytes = mayBeKept ? Math.min(leastBytes, bytes) : bytes;
    return leastBytes;
  };
}

/** @param client one that reaches the process behind the contenders. */
export function callMeasurement(stage: Stage, client: GrpcClient, plan: CallMeasurement): Measurement {
  const { id, title, part, call, contenders, countUpstream = false } = plan;
  const load = loadOf(stage, plan);
  const leastBytes = leastAnswerBytes(client, plan);
  return {
    id,
    title,
    part,
    operation: "request",
    contenders,
    serverPid: plan.serverPid ?? stage.etcdPid,
    firstOperations: FIRST_REQUESTS,
    async run({ address, answerBytes }, operations) {
      const minBytes = answerBytes ?? (await leastBytes());
      const { requests, elapsedSeconds, clientCpuMicros } = await runH2load(
        address,
        load,
        operations,
        async () => ({
          minBytes,
          maxBytes: answerBytes ?? (await call.answerBytes(client)),
        }),
      );
      return { operations: requests, elapsedSeconds, told: { clientCpuMicros } };
    },
    ...(countUpstream ? { upstreamCalls: () => rangesAtEtcd(stage) } : {}),
    latency: ({ address }, operations) =>
      measureLatency(address, load, operations, stage.folder.file(`${id}.log`)),
  };
}

const BYTES_PER_GB = 1e9;
const FIRST_GIGABYTES = 0.2;

/** A call with a large answer, measured by the bytes of its answers. */
export function bulkMeasurement(
  stage: Stage,
  client: GrpcClient,
  plan: Omit<CallMeasurement, "countUpstream">,
): Measurement {
  const { id, title, part, call, contenders } = plan;
  const load = loadOf(stage, plan);
  const leastBytes = leastAnswerBytes(client, plan);
  return {
    id,
    title,
    part,
    operation: "GB",
    contenders,
    serverPid: plan.serverPid ?? stage.etcdPid,
    firstOperations: FIRST_GIGABYTES,
    async run({ address }, gigabytes) {
      const minBytes = await leastBytes();
      const gigabytesEach = minBytes / BYTES_PER_GB;
      const { requests, elapsedSeconds, clientCpuMicros }: H2loadResult = await runH2load(
        address,
        load,
        Math.ceil(gigabytes / gigabytesEach),
        async () => ({ minBytes, maxBytes: await call.answerBytes(client) }),
      );
      return {
        operations: requests * gigabytesEach,
        elapsedSeconds,
        told: { clientCpuMicros: clientCpuMicros / gigabytesEach },
      };
    },
  };
}
