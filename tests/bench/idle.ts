/**
 * What costs without load: the memory of idle connections, and the time from start to ready.
 *
 * Each figure comes from a process of its own, started for it: memory that was used once for something else would
 * hide what the connections take.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { readFileSync } from "node:fs";
import { RangeRequestSchema } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { residentBytes } from "./cpu-clock.ts";
import type { Figures } from "./figures.ts";
import { type Exchange, grpcExchange, IdleClients, tcpExchange } from "./idle-clients.ts";
import { resting } from "./resting-memory.ts";
import { haproxyBinary, nginxBinary, type Program, type Stage } from "./stage.ts";

const CONNECTIONS_WANTED = 10_000;
/** Open files that a process needs for all but connections; ours keeps 128. */
const OTHER_FILES = 400;
/** Two sockets for each connection; etcd's gateway also holds a pipe (two files) to splice each direction. */
const FILES_OF_PAIR = 2;
const FILES_ETCD_GATEWAY = 6;
const STARTS = 10;
const ROUNDS_MAX = 3;

/** How many idle connections are opened: 10 000, or fewer where the limit of open files allows no more. */
function idleConnections(filesPerConnection: number): number {
  const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const fitting = Math.floor((Number(limit ?? Infinity) - OTHER_FILES) / filesPerConnection);
  return Math.min(CONNECTIONS_WANTED, fitting);
}

export interface IdlePlan {
  readonly stage: Stage;
  /** Whose idle connections and starts are measured. */
  readonly products: readonly ("gateway" | "grpc-proxy")[];
  readonly rounds: number;
  readonly figures: Figures;
  readonly signal: AbortSignal;
  progress(line: string): void;
  failed(line: string): void;
}

export async function measureIdle(plan: IdlePlan): Promise<void> {
  const { products } = plan;
  if (products.length === 0) return;
  await using peer = await plan.stage.tcpPeer();
  for (let round = 0; round < Math.min(plan.rounds, ROUNDS_MAX); round++) {
    for (const subject of subjects(plan.stage, peer.address)) {
      if (!products.some((product) => subject.measurement === `idle-${product}`)) continue;
      plan.signal.throwIfAborted();
      const what = `${subject.connections} idle connections on ${subject.title}`;
      plan.progress(`round ${round + 1}: ${what}`);
      try {
        const bytes = await bytesPerConnection(subject);
        plan.figures.add(subject.measurement, subject.contender, "bytesPerConnection", round, bytes);
        plan.figures.add(subject.measurement, subject.contender, "connections", round, subject.connections);
      } catch (error) {
        plan.signal.throwIfAborted();
        plan.failed(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  for (const product of products) {
    await measureStarts(plan, `start-${product}`, () =>
      product === "gateway" ? plan.stage.ourGateway(peer.address) : plan.stage.ourGrpcProxy(),
    );
  }
}

interface Subject {
  readonly measurement: string;
  readonly contender: string;
  readonly title: string;
  readonly connections: number;
  readonly exchange: Exchange;
  start(): Promise<Program>;
}

function subjects(stage: Stage, peerAddress: string): Subject[] {
  const message = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: Uint8Array.of(0x61) }));
  const call = grpcExchange("/etcdserverpb.KV/Range", stage.etcdAddress, message);
  const gateway = { measurement: "idle-gateway", exchange: tcpExchange };
  const pair = { ...gateway, connections: idleConnections(FILES_OF_PAIR) };
  const grpcProxy = { measurement: "idle-grpc-proxy", connections: idleConnections(1), exchange: call };
  return [
    {
      ...gateway,
      contender: "etcd",
      title: "etcd's gateway",
      connections: idleConnections(FILES_ETCD_GATEWAY),
      start: () => stage.etcdGateway(peerAddress),
    },
    { ...pair, contender: "ours", title: "our gateway", start: () => stage.ourGateway(peerAddress) },
    ...(haproxyBinary() === null
      ? []
      : [{ ...pair, contender: "haproxy", title: "HAProxy", start: () => stage.haproxy(peerAddress)! }]),
    ...(nginxBinary() === null
      ? []
      : [{ ...pair, contender: "nginx", title: "nginx", start: () => stage.nginx(peerAddress)! }]),
    { ...grpcProxy, contender: "etcd", title: "etcd's grpc-proxy", start: () => stage.etcdGrpcProxy() },
    { ...grpcProxy, contender: "ours", title: "our grpc-proxy", start: () => stage.ourGrpcProxy() },
  ];
}

async function bytesPerConnection(subject: Subject): Promise<number> {
  await using program = await subject.start();
  const before = await resting(program.pid, residentBytes);
  using clients = await IdleClients.open(program.address, subject.connections, subject.exchange);
  const after = await resting(program.pid, residentBytes);
  if (clients.lost > 0) throw new Error(`${clients.lost} connections were closed`);
  return (after - before) / subject.connections;
}

async function measureStarts(
  plan: IdlePlan,
  measurement: string,
  start: () => Promise<Program>,
): Promise<void> {
  plan.progress(`${measurement}: ${STARTS} starts`);
  for (let index = 0; index < STARTS; index++) {
    plan.signal.throwIfAborted();
    const startedAtMs = performance.now();
    const program = await start();
    const readyAtMs = performance.now();
    await program[Symbol.asyncDispose]();
    plan.figures.add(measurement, "ours", "startMs", index, readyAtMs - startedAtMs);
  }
}
