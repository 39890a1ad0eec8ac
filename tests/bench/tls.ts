/**
 * The measurements of TLS: handshakes of clients at grpc-proxy, calls over TLS from clients, and calls over TLS to etcd.
 *
 * Handshakes come from `programs/tls-clients.ts`, calls from h2load. Both proxies have the same certificates, and clients
 * offer one key exchange to both. The plain etcd stands behind the proxies that serve TLS, and one that serves TLS behind
 * those that serve plain text, so that each side of TLS is measured alone.
 */
import { join } from "node:path";
import { KV } from "../../src/gen/etcdserverpb/kv_pb.ts";
import { runCommand } from "../harness/child-process.ts";
import { GrpcClient } from "../harness/grpc-client.ts";
import { compact, put, PUT_VALUE_BYTES, putReadKey, rangeOne, rangeSerializable } from "./kv.ts";
import type { Contender, LoadResult, Measured, Measurement } from "./measurement.ts";
import { bulkMeasurement, callMeasurement, FULL_LOAD, ONE_AT_A_TIME, RepeatedCall } from "./repeated-call.ts";
import { type RoundsPlan, runRounds } from "./rounds.ts";
import { Stage } from "./stage.ts";
import { type BenchCertificates, makeBenchCertificates } from "./tls-load/bench-certificates.ts";
import type { HandshakeFigures } from "./tls-load/handshake-figures.ts";

const PROGRAM = join(import.meta.dir, "programs", "tls-clients.ts");
const LOAD_DEADLINE_MS = 180_000;
const FIRST_HANDSHAKES = 300;
/** Each takes a port of the machine's for a second after its end, and there are 28,000. */
const HANDSHAKES_MAX = 20_000;

const LARGE_VALUE_BYTES = 1 << 20;
const LARGE_SHAPE = { connections: 4, streamsPerConnection: 2 };

const largeKey = new TextEncoder().encode("bench/large");
const largeSerializable = RepeatedCall.of(KV.method.range, { key: largeKey, serializable: true });
const largeLinearizable = RepeatedCall.of(KV.method.range, { key: largeKey });

/**
 * Starts the contenders, in front of `stage` and of another etcd that serves TLS, and measures them.
 *
 * @param client one of the stage's etcd.
 */
export async function measureTls(
  stage: Stage,
  client: GrpcClient,
  plan: Omit<RoundsPlan, "measurements">,
): Promise<readonly Measured[]> {
  const certificates = await makeBenchCertificates(stage.folder);
  await using secured = await Stage.start(certificates);
  using securedClient = new GrpcClient(secured.etcdAddress, {}, { caFile: certificates.caFile });
  await putLargeKey(client);
  await putReadKey(securedClient);
  await putLargeKey(securedClient);
  const measurements = [
    ...(await fromClients(stage, client, certificates)),
    ...(await toMembers(secured, securedClient)),
  ];
  await runRounds({
    ...plan,
    measurements,
    async afterRound() {
      await plan.afterRound();
      await compact(securedClient);
    },
  });
  return measurements;
}

async function putLargeKey(client: GrpcClient): Promise<void> {
  await client.unary(KV.method.put, { key: largeKey, value: new Uint8Array(LARGE_VALUE_BYTES).fill(0x76) });
}

async function proxiesWith(stage: Stage, flags: readonly string[]): Promise<Contender[]> {
  return [
    await stage.contender("etcd", stage.etcdGrpcProxy(flags)),
    await stage.contender("ours", stage.ourGrpcProxy(flags)),
  ];
}

/** Clients speak TLS, proxies and etcd speak plain text. */
async function fromClients(
  stage: Stage,
  client: GrpcClient,
  certificates: BenchCertificates,
): Promise<Measurement[]> {
  const { server, caFile, revocationFile } = certificates;
  const served = [`--cert-file=${server.certificateFile}`, `--key-file=${server.keyFile}`];
  const proxies = await proxiesWith(stage, served);
  const mutual = [...served, `--trusted-ca-file=${caFile}`];
  const mutualProxies = await proxiesWith(stage, mutual);
  const revokingProxies = await proxiesWith(stage, [...mutual, `--client-crl-file=${revocationFile}`]);
  const floor = await stage.contender("floor", stage.tlsFloor(certificates, false));
  const mutualFloor = await stage.contender("floor", stage.tlsFloor(certificates, true));
  const calls = { part: "tls", shape: FULL_LOAD, contenders: proxies, tls: true } as const;
  return [
    handshakeMeasurement(stage, certificates, {
      id: "tls-handshakes",
      title: "grpc-proxy: TLS 1.3 handshakes",
      contenders: [...proxies, floor],
      clientsShow: false,
    }),
    handshakeMeasurement(stage, certificates, {
      id: "tls-handshakes-mutual",
      title: "grpc-proxy: TLS 1.3 handshakes with client certificates",
      contenders: [...mutualProxies, mutualFloor],
      clientsShow: true,
    }),
    handshakeMeasurement(stage, certificates, {
      id: "tls-handshakes-revocations",
      title: "grpc-proxy: TLS 1.3 handshakes with client certificates and a revocation list",
      contenders: revokingProxies,
      clientsShow: true,
    }),
    callMeasurement(stage, client, {
      ...calls,
      id: "tls-range-serializable",
      title: "grpc-proxy over TLS: serializable Range of one key",
      call: rangeSerializable,
      mayBeKept: true,
    }),
    callMeasurement(stage, client, {
      ...calls,
      id: "tls-range-one",
      title: "grpc-proxy over TLS: linearizable Range of one key",
      call: rangeOne,
    }),
    callMeasurement(stage, client, {
      ...calls,
      id: "tls-put",
      title: `grpc-proxy over TLS: Put of ${PUT_VALUE_BYTES} bytes`,
      call: put,
    }),
    bulkMeasurement(stage, client, {
      ...calls,
      id: "tls-large",
      title: "grpc-proxy over TLS: serializable Range of one key with 1 MiB",
      call: largeSerializable,
      mayBeKept: true,
      shape: LARGE_SHAPE,
    }),
  ];
}

/** Clients speak plain text, etcd speaks TLS. */
async function toMembers(secured: Stage, client: GrpcClient): Promise<Measurement[]> {
  const calls = { part: "tls", shape: FULL_LOAD, contenders: await proxiesWith(secured, []) } as const;
  return [
    callMeasurement(secured, client, {
      ...calls,
      id: "tls-members-range-one",
      title: "grpc-proxy, TLS to etcd: linearizable Range of one key",
      call: rangeOne,
    }),
    callMeasurement(secured, client, {
      ...calls,
      id: "tls-members-put",
      title: `grpc-proxy, TLS to etcd: Put of ${PUT_VALUE_BYTES} bytes`,
      call: put,
    }),
    bulkMeasurement(secured, client, {
      ...calls,
      id: "tls-members-large",
      title: "grpc-proxy, TLS to etcd: linearizable Range of one key with 1 MiB, one at a time",
      call: largeLinearizable,
      // Nothing is shared between reads that follow one another: every byte comes from etcd.
      shape: ONE_AT_A_TIME,
    }),
  ];
}

interface HandshakePlan {
  readonly id: string;
  readonly title: string;
  readonly contenders: readonly Contender[];
  /** Whether clients show a certificate. */
  readonly clientsShow: boolean;
}

function handshakeMeasurement(
  stage: Stage,
  certificates: BenchCertificates,
  { id, title, contenders, clientsShow }: HandshakePlan,
): Measurement {
  const { caFile, client } = certificates;
  const shown = clientsShow ? [`--cert=${client.certificateFile}`, `--key=${client.keyFile}`] : [];
  return {
    id,
    title,
    part: "tls",
    operation: "handshake",
    contenders,
    serverPid: stage.etcdPid,
    firstOperations: FIRST_HANDSHAKES,
    run: (contender, operations) =>
      runTlsClients(contender, [
        `--cacert=${caFile}`,
        ...shown,
        `--etcd-pid=${stage.etcdPid}`,
        `--handshakes=${Math.min(HANDSHAKES_MAX, Math.round(operations))}`,
      ]),
  };
}

async function runTlsClients({ address, pid }: Contender, flags: readonly string[]): Promise<LoadResult> {
  const { code, stdout, stderr } = await runCommand(
    [
      process.execPath,
      PROGRAM,
      "--json",
      `--address=${address}`,
      ...(pid === undefined ? [] : [`--pid=${pid}`]),
      ...flags,
    ],
    { deadlineMs: LOAD_DEADLINE_MS },
  );
  if (code !== 0) throw new Error(stderr.trim() || `the clients ended with status ${code}`);
  const { handshakes, elapsedSeconds, ...told } = JSON.parse(stdout) as HandshakeFigures;
  return { operations: handshakes, elapsedSeconds, told };
}
