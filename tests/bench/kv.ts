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
export const ONE_AT_A_TIME: H2loadShape = { connections: 1, streamsPerConnection: 1 };

const READ_VALUE_BYTES = 16;
const PUT_VALUE_BYTES = 256;
const GRPC_PREFIX_BYTES = 5;
const FIRST_REQUESTS = 4000;

const utf8 = new TextEncoder();
const oneKey = utf8.encode("bench/read");

/** A unary call, ready to be sent again and again. */
class RepeatedCall {
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

const rangeOne = RepeatedCall.of(KV.method.range, { key: oneKey });
const rangeSerializable = RepeatedCall.of(KV.method.range, { key: oneKey, serializable: true });
const put = RepeatedCall.of(KV.method.put, {
  key: utf8.encode("bench/put"),
  value: new Uint8Array(PUT_VALUE_BYTES).fill(0x76),
});

/** Puts the key that is read. */
export async function putReadKey(client: GrpcClient): Promise<void> {
  await client.unary(KV.method.put, { key: oneKey, value: new Uint8Array(READ_VALUE_BYTES).fill(0x76) });
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
  const bodyFile = stage.folder.file(id);
  call.writeBody(bodyFile);
  const load: GrpcLoad = { path: call.path, bodyFiles: [bodyFile], shape };
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
/** So many take a program from its first call to its usual speed. */
const MIX_WARM_UP_CALLS = 20_000;
const ZIPF_KEYS = 1000;
/** So many that of 128 calls in flight hardly two are for one key: nothing can be shared. */
const DISTINCT_KEYS = 20_000;

async function runKvClients(contender: Contender, flags: readonly string[]): Promise<KvFigures> {
  const command = [process.execPath, KV_CLIENTS, "--json", `--address=${contender.address}`];
  const { code, stdout, stderr } = await runCommand([
    ...command,
    `--value-bytes=${PUT_VALUE_BYTES}`,
    ...flags,
  ]);
  if (code !== 0) throw new Error(stderr.trim() || `the clients ended with status ${code}`);
  return JSON.parse(stdout) as KvFigures;
}

/** A load of calls for many keys. */
interface Mix {
  readonly id: string;
  readonly title: string;
  /** For `programs/kv-clients.ts`. */
  readonly flags: readonly string[];
}

const mixes: readonly Mix[] = [
  {
    id: "range-distinct",
    title: `grpc-proxy: linearizable Range of ${DISTINCT_KEYS} keys, evenly chosen`,
    flags: [`--keys=${DISTINCT_KEYS}`, "--exponent=0", "--puts=0", "--reads=linearizable"],
  },
  ...["linearizable", "serializable"].map((reads) => ({
    id: `zipf-${reads}`,
    title: `grpc-proxy: 90 % ${reads} Range, 10 % Put, of ${ZIPF_KEYS} keys by Zipf's law`,
    flags: [`--keys=${ZIPF_KEYS}`, `--reads=${reads}`],
  })),
];

function mixMeasurement(
  stage: Stage,
  { id, title, flags }: Mix,
  contenders: readonly Contender[],
): Measurement {
  return {
    id,
    title,
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
        `--warm-up=${MIX_WARM_UP_CALLS}`,
        `--calls=${Math.round(operations)}`,
        ...flags,
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
  await runKvClients(stage.direct, ["--fill", "--calls=1", `--keys=${DISTINCT_KEYS}`]);
  return [
    ...plans.map((plan) => callMeasurement(stage, client, { ...plan, part: "kv" })),
    ...mixes.map((mix) => mixMeasurement(stage, mix, proxies)),
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
