/**
 * The measurements of grpc-proxy: unary calls, through each proxy and past it. h2load repeats one call; the mix of
 * reads and puts over many keys comes from `programs/kv-clients.ts`.
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
import { join } from "node:path";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { runCommand } from "../harness/child-process.ts";
import { type GrpcClient, methodPath } from "../harness/grpc-client.ts";
import { type GrpcLoad, type H2loadShape, measureLatency, runH2load } from "./h2load.ts";
import type { KvFigures } from "./kv-load/kv-figures.ts";
import { MemberMetrics } from "./load/member-metrics.ts";
import type { Contender, Measurement } from "./measurement.ts";
import type { Part } from "./options.ts";
import type { Stage } from "./stage.ts";

/** 128 calls in flight. */
export const FULL_LOAD: H2loadShape = { connections: 8, streamsPerConnection: 16 };
const ONE_CONNECTION: H2loadShape = { connections: 1, streamsPerConnection: 16 };
export const ONE_AT_A_TIME: H2loadShape = { connections: 1, streamsPerConnection: 1 };

const DISTINCT_KEYS = 8;
const READ_VALUE_BYTES = 16;
const PUT_VALUE_BYTES = 256;
const GRPC_PREFIX_BYTES = 5;
const FIRST_REQUESTS = 4000;

const utf8 = new TextEncoder();
const readKeys = Array.from({ length: DISTINCT_KEYS }, (_, index) => utf8.encode(`bench/read-${index}`));
const oneKey = readKeys[0]!;

/** A unary call, ready to be sent again and again. */
class RepeatedCall {
  readonly path: string;
  readonly #messages: readonly Uint8Array[];

  constructor(path: string, messages: readonly Uint8Array[]) {
    this.path = path;
    this.#messages = messages;
  }

  static of<Input extends DescMessage>(
    method: DescMethodUnary<Input>,
    requests: readonly MessageInitShape<Input>[],
  ): RepeatedCall {
    const messages = requests.map((request) => toBinary(method.input, create(method.input, request)));
    return new RepeatedCall(methodPath(method), messages);
  }

  /** etcd's answer to the first of the requests. */
  async answer(client: GrpcClient): Promise<Uint8Array> {
    return (await client.callBytes(this.path, this.#messages[0]!)).message;
  }

  async answerBytes(client: GrpcClient): Promise<number> {
    return (await this.answer(client)).length + GRPC_PREFIX_BYTES;
  }

  /** Writes each request to a file, as the body that h2load sends. */
  writeBodies(filePrefix: string): string[] {
    return this.#messages.map((message, index) => {
      const prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
      prefix.writeUInt32BE(message.length, 1);
      const file = `${filePrefix}-${index}`;
      writeFileSync(file, Buffer.concat([prefix, message]));
      return file;
    });
  }
}

const rangeOne = RepeatedCall.of(KV.method.range, [{ key: oneKey }]);
const rangeDistinct = RepeatedCall.of(
  KV.method.range,
  readKeys.map((key) => ({ key })),
);
const rangeSerializable = RepeatedCall.of(KV.method.range, [{ key: oneKey, serializable: true }]);
const put = RepeatedCall.of(KV.method.put, [
  { key: utf8.encode("bench/put"), value: new Uint8Array(PUT_VALUE_BYTES).fill(0x76) },
]);

/** Puts the keys that are read. */
export async function putReadKeys(client: GrpcClient): Promise<void> {
  const value = new Uint8Array(READ_VALUE_BYTES).fill(0x76);
  for (const key of readKeys) await client.unary(KV.method.put, { key, value });
}

/** Drops all old revisions, so that the puts of earlier rounds weigh on no later one. */
export async function compact(client: GrpcClient): Promise<void> {
  // A put first: a revision can be compacted only once, and a round may have written nothing.
  const { header } = await client.unary(KV.method.put, { key: utf8.encode("bench/round") });
  await client.unary(KV.method.compact, { revision: header!.revision, physical: true });
}

interface CallMeasurement {
  readonly id: string;
  readonly title: string;
  readonly part: Part;
  readonly call: RepeatedCall;
  readonly shape: H2loadShape;
  readonly contenders: readonly Contender[];
  /** Whether the calls that reach etcd are told for each of the clients'. */
  readonly countUpstream?: boolean;
}

/** Range calls that etcd was sent. */
async function rangesAtEtcd(stage: Stage): Promise<number> {
  return (await MemberMetrics.read(stage.etcdAddress)).callsStarted("Range");
}

function callMeasurement(stage: Stage, client: GrpcClient, plan: CallMeasurement): Measurement {
  const { id, title, part, call, shape, contenders, countUpstream = false } = plan;
  const load: GrpcLoad = { path: call.path, bodyFiles: call.writeBodies(stage.folder.file(id)), shape };
  return {
    id,
    title,
    part,
    operation: "request",
    contenders,
    serverPid: stage.etcdPid,
    firstOperations: FIRST_REQUESTS,
    async run({ address, answerBytes }, operations) {
      const minBytes = answerBytes ?? (await call.answerBytes(client));
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

const KV_CLIENTS = join(import.meta.dir, "programs", "kv-clients.ts");
const ZIPF_KEYS = 1000;
/** So many take a program from its first call to its usual speed. */
const ZIPF_WARM_UP_CALLS = 20_000;

async function runKvClients(contender: Contender, flags: readonly string[]): Promise<KvFigures> {
  const command = [process.execPath, KV_CLIENTS, "--json", `--address=${contender.address}`];
  const { code, stdout, stderr } = await runCommand([
    ...command,
    `--keys=${ZIPF_KEYS}`,
    `--value-bytes=${PUT_VALUE_BYTES}`,
    ...flags,
  ]);
  if (code !== 0) throw new Error(stderr.trim() || `the clients ended with status ${code}`);
  return JSON.parse(stdout) as KvFigures;
}

function zipfMeasurement(
  stage: Stage,
  reads: "linearizable" | "serializable",
  contenders: readonly Contender[],
): Measurement {
  return {
    id: `zipf-${reads}`,
    title: `grpc-proxy: 90 % ${reads} Range, 10 % Put, of ${ZIPF_KEYS} keys by Zipf's law`,
    part: "kv",
    operation: "request",
    contenders,
    serverPid: stage.etcdPid,
    firstOperations: FIRST_REQUESTS,
    async run(contender, operations) {
      const {
        calls,
        elapsedSeconds,
        reads: _,
        ...told
      } = await runKvClients(contender, [
        `--etcd=${stage.etcdAddress}`,
        `--etcd-pid=${stage.etcdPid}`,
        ...(contender.pid === undefined ? [] : [`--pid=${contender.pid}`]),
        `--reads=${reads}`,
        `--warm-up=${ZIPF_WARM_UP_CALLS}`,
        `--calls=${Math.round(operations)}`,
      ]);
      return { operations: calls, elapsedSeconds, told };
    },
  };
}

/** Starts the contenders of grpc-proxy and makes its measurements. */
export async function kvMeasurements(stage: Stage, client: GrpcClient): Promise<Measurement[]> {
  const proxies = [
    stage.direct,
    await stage.contender("etcd", stage.etcdGrpcProxy()),
    await stage.contender("ours", stage.ourGrpcProxy()),
  ];
  const rangeFloor = await stage.contender("floor", stage.forwardFloor(rangeOne.path));
  const putFloor = await stage.contender("floor", stage.forwardFloor(put.path));
  const cachedAnswer = await rangeSerializable.answer(client);
  const cachedFloor = {
    ...(await stage.contender("cached floor", stage.cachedFloor(cachedAnswer))),
    answerBytes: cachedAnswer.length + GRPC_PREFIX_BYTES,
  };
  const plans: readonly Omit<CallMeasurement, "part">[] = [
    {
      id: "range-one",
      title: "grpc-proxy: linearizable Range of one key",
      call: rangeOne,
      shape: FULL_LOAD,
      contenders: [...proxies, rangeFloor],
      countUpstream: true,
    },
    {
      id: "range-distinct",
      title: `grpc-proxy: linearizable Range, ${DISTINCT_KEYS} clients with a key each`,
      call: rangeDistinct,
      shape: ONE_CONNECTION,
      contenders: [...proxies, rangeFloor],
    },
    {
      id: "range-serializable",
      title: "grpc-proxy: serializable Range of one key",
      call: rangeSerializable,
      shape: FULL_LOAD,
      contenders: [...proxies, rangeFloor, cachedFloor],
      countUpstream: true,
    },
    {
      id: "put",
      title: `grpc-proxy: Put of ${PUT_VALUE_BYTES} bytes`,
      call: put,
      shape: FULL_LOAD,
      contenders: [...proxies, putFloor],
    },
  ];
  // Every key is there before the first read.
  await runKvClients(stage.direct, ["--fill", "--calls=1"]);
  return [
    ...plans.map((plan) => callMeasurement(stage, client, { ...plan, part: "kv" })),
    zipfMeasurement(stage, "linearizable", proxies),
    zipfMeasurement(stage, "serializable", proxies),
  ];
}

/** The measurements of calls through TCP proxies, whose contenders stand in front of etcd. */
export function gatewayCallMeasurements(
  stage: Stage,
  client: GrpcClient,
  contenders: readonly Contender[],
): Measurement[] {
  const plans: readonly Pick<CallMeasurement, "id" | "title" | "shape">[] = [
    { id: "gateway-range", title: "gateway: linearizable Range of one key", shape: FULL_LOAD },
    {
      id: "gateway-one-at-a-time",
      title: "gateway: linearizable Range of one key, one at a time",
      shape: ONE_AT_A_TIME,
    },
  ];
  return plans.map((plan) =>
    callMeasurement(stage, client, { ...plan, part: "gateway", call: rangeOne, contenders }),
  );
}
