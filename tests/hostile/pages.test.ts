/** Connections to `--metrics-addr` that say nothing: probes and scrapers are served all the same. */
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { curl } from "../e2e/curl.ts";
import { type EtcdCluster, startEtcdCluster } from "../harness/etcd-cluster.ts";
import { type EtcdproxyProcess, startGateway, startGrpcProxy } from "../harness/etcdproxy-process.ts";
import { freePorts } from "../harness/free-ports.ts";
import { waitFor } from "../harness/wait-for.ts";

setDefaultTimeout(60_000);

const IDLE = 300;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 1 });
}, 60_000);
afterAll(() => cluster.dispose());

async function idleConnections(port: number): Promise<{ open: () => number; close: () => void }> {
  const sockets: Socket[] = [];
  let open = 0;
  await Promise.all(
    Array.from({ length: IDLE }, async () => {
      const socket = connect(port, "127.0.0.1");
      sockets.push(socket);
      socket.on("error", () => {});
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.on("connect", () => {
        open++;
        resolve();
      });
      socket.on("close", () => {
        open--;
        resolve();
      });
      await promise;
    }),
  );
  return {
    open: () => open,
    close: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe.each([
  ["grpc-proxy", startGrpcProxy, []],
  ["grpc-proxy with workers", startGrpcProxy, ["--workers=2"]],
  ["gateway", startGateway, []],
] as const)("at the %s", (_name, start, flags) => {
  test(`${IDLE} connections that say nothing keep nobody from its pages`, async () => {
    const [port] = await freePorts(1);
    const proxy: EtcdproxyProcess = await start(
      [cluster.member(0).endpoint],
      [`--metrics-addr=http://127.0.0.1:${port}`, ...flags],
    );
    const idle = await idleConnections(port!);
    try {
      for (const path of ["/livez", "/health", "/proxy/metrics"]) {
        const answer = await curl("HTTP/1.1", `http://127.0.0.1:${port}${path}`);
        expect({ path, status: answer.status }).toEqual({ path, status: 200 });
      }
      await waitFor("the others to be closed", () => idle.open() < 64);
    } finally {
      idle.close();
      await proxy[Symbol.asyncDispose]();
    }
  });
});
