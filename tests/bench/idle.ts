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
import type { Program, Stage } from "./stage.ts";

const CONNECTIONS_WANTED = 10_000;
/** Open files that a process needs for all but connections; ours keeps 128. */
const OTHER_FILES = 400;
/** Two sockets for each connection; etcd's gateway also holds a pipe (two files) to splice each direction. */
const FILES_OUR_GATEWAY = 2;
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
  readonly rounds: number;
  readonly figures: Figures;
  readonly signal: AbortSignal;
  progress(line: string): void;
  failed(line: string): void;
}

export async function measureIdle(plan: IdlePlan): Promise<void> {
  await using peer = await plan.stage.tcpPeer();
  for (let round = 0; round < Math.min(plan.rounds, ROUNDS_MAX); round++) {
    for (const subject of subjects(plan.stage, peer.address)) {
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
  await measureStarts(plan, "start-gateway", () => plan.stage.ourGateway(peer.address));
  await measureStarts(plan, "start-grpc-proxy", () => plan.stage.ourGrpcProxy());
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
  const grpcProxy = { measurement: "idle-grpc-proxy", connections: idleConnections(1), exchange: call };
  return [
    {
      ...gateway,
      contender: "etcd",
      title: "etcd's gateway",
      connections: idleConnections(FILES_ETCD_GATEWAY),
      start: () => stage.etcdGateway(peerAddress),
    },
    {
      ...gateway,
      contender: "ours",
      title: "our gateway",
      connections: idleConnections(FILES_OUR_GATEWAY),
      start: () => stage.ourGateway(peerAddress),
    },
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
