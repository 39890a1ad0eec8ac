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

async function tcpProxies(stage: Stage, target: string): Promise<Contender[]> {
  const haproxy = stage.haproxy(target);
  return [
    { name: "direct", address: target },
    await stage.contender("etcd", stage.etcdGateway(target)),
    await stage.contender("ours", stage.ourGateway(target)),
    ...(haproxy === undefined ? [] : [await stage.contender("haproxy", haproxy)]),
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
    {
      ...tcp,
      id: "download",
      title: "gateway: bulk data from the server",
      operation: "GB",
      firstOperations: FIRST_GIGABYTES,
      run: ({ address }, operations) => runDownload(address, operations),
    },
    {
      ...tcp,
      id: "upload",
      title: "gateway: bulk data to the server",
      operation: "GB",
      firstOperations: FIRST_GIGABYTES,
      run: ({ address }, operations) => runUpload(address, operations),
    },
  ];
}
