/**
 * The measurements of grpc-proxy: unary calls, through each proxy and past it. h2load repeats one call
 * (`repeated-call.ts`); the mix of reads and puts over many keys comes from `programs/kv-clients.ts`.
 */
import { join } from "node:path";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { runCommand } from "../harness/child-process.ts";
import type { GrpcClient } from "../harness/grpc-client.ts";
import type { KvFigures } from "./kv-load/kv-figures.ts";
import type { Contender, Measurement } from "./measurement.ts";
import {
  type CallMeasurement,
  callMeasurement,
  FIRST_REQUESTS,
  FULL_LOAD,
  GRPC_PREFIX_BYTES,
  ONE_AT_A_TIME,
  RepeatedCall,
} from "./repeated-call.ts";
import type { Stage } from "./stage.ts";

const READ_VALUE_BYTES = 16;
export const PUT_VALUE_BYTES = 256;

const utf8 = new TextEncoder();
const oneKey = utf8.encode("bench/read");

export const rangeOne = RepeatedCall.of(KV.method.range, { key: oneKey });
export const rangeSerializable = RepeatedCall.of(KV.method.range, { key: oneKey, serializable: true });
export const put = RepeatedCall.of(KV.method.put, {
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
