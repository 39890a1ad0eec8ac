/**
 * The measurements of the gateway: calls to etcd through it, and bare TCP to a peer of our own: connections that
 * come and go, and bulk data in each direction.
 */
import type { GrpcClient } from "../harness/grpc-client.ts";
import { gatewayCallMeasurements } from "./kv.ts";
import type { Contender, Measurement } from "./measurement.ts";
import type { Stage } from "./stage.ts";
import { runConnections, runDownload, runUpload } from "./tcp-load.ts";

const FIRST_CONNECTIONS = 500;
const FIRST_GIGABYTES = 0.25;
/** One connection keeps one direction of one pipe busy; four let a proxy with threads use them. */
const BULK_CONNECTIONS = [1, 4];

async function tcpProxies(stage: Stage, target: string): Promise<Contender[]> {
  const haproxy = stage.haproxy(target);
  const nginx = stage.nginx(target);
  return [
    { name: "direct", address: target },
    await stage.contender("etcd", stage.etcdGateway(target)),
    await stage.contender("ours", stage.ourGateway(target)),
    // On machines of two cores and more the others use more than one, too.
    await stage.contender("ours ×2", stage.ourGateway(target, ["--workers=2"])),
    ...(haproxy === undefined ? [] : [await stage.contender("haproxy", haproxy)]),
    ...(nginx === undefined ? [] : [await stage.contender("nginx", nginx)]),
    await stage.contender("floor", stage.pipeFloor(target)),
  ];
}

/** Starts the contenders of the gateway, in front of etcd and of the TCP peer, and makes its measurements. */
export async function gatewayMeasurements(stage: Stage, client: GrpcClient): Promise<Measurement[]> {
  const calls = gatewayCallMeasurements(stage, client, await tcpProxies(stage, stage.etcdAddress));
  const peer = await stage.tcpPeer();
  const tcp = {
    part: "gateway",
    contenders: await tcpProxies(stage, peer.address),
    serverPid: peer.pid,
  } as const;
  const bulk = (connections: number): Measurement[] => {
    const over = connections === 1 ? "one connection" : `${connections} connections`;
    const suffix = connections === 1 ? "" : `-${connections}`;
    const moved = { ...tcp, operation: "GB", firstOperations: FIRST_GIGABYTES } as const;
    return [
      {
        ...moved,
        id: `download${suffix}`,
        title: `gateway: bulk data from the server on ${over}`,
        run: ({ address }, operations) => runDownload(address, operations, connections),
      },
      {
        ...moved,
        id: `upload${suffix}`,
        title: `gateway: bulk data to the server on ${over}`,
        run: ({ address }, operations) => runUpload(address, operations, connections),
      },
    ];
  };
  return [
    ...calls,
    {
      ...tcp,
      id: "connections",
      title: "gateway: connections with one small exchange",
      operation: "connection",
      firstOperations: FIRST_CONNECTIONS,
      run: ({ address }, operations) => runConnections(address, Math.round(operations)),
    },
    ...BULK_CONNECTIONS.flatMap(bulk),
  ];
}
