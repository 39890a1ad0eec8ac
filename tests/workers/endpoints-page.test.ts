/** `/proxy/endpoints` of a process of several workers: one look at what all of them know. */
import { connect } from "node:net";
import { expect, setDefaultTimeout, test } from "bun:test";
import { type EndpointOnPage, endpointsOfAll } from "../../src/endpoints/endpoint-json.ts";
import { curl } from "../e2e/curl.ts";
import { startEtcdCluster } from "../harness/etcd-cluster.ts";
import { startGateway } from "../harness/etcdproxy-process.ts";
import { waitFor } from "../harness/wait-for.ts";

setDefaultTimeout(120_000);

const CLIENTS = 24;

const known: EndpointOnPage = {
  endpoint: "a:2379",
  state: "fit",
  reason: "",
  latencySeconds: 0.002,
  priority: 0,
  weight: 3,
};

test("clients of all workers are counted", async () => {
  await using cluster = await startEtcdCluster({ members: 1 });
  await using gateway = await startGateway(cluster.endpoints, [
    "--workers=3",
    "--metrics-addr=http://127.0.0.1:0",
  ]);
  const url = String((await gateway.logged("listening for metrics"))["address"]);
  const port = Number(gateway.address.split(":").at(-1));
  const sockets = Array.from({ length: CLIENTS }, () => connect(port, "127.0.0.1").on("error", () => {}));
  try {
    await waitFor(`${CLIENTS} clients`, async () => {
      const { body } = await curl("HTTP/1.1", `${url}/proxy/endpoints`);
      const { endpoints } = JSON.parse(body) as { endpoints: EndpointOnPage[] };
      expect(endpoints.map(({ endpoint }) => endpoint)).toEqual([...cluster.endpoints]);
      return endpoints[0]!.connections === CLIENTS;
    });
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test("an endpoint is in use when it is at any worker", () => {
  const other = { ...known, endpoint: "b:2379" };
  const merged = endpointsOfAll([
    [
      { ...known, inUse: true },
      { ...other, inUse: false },
    ],
    [
      { ...known, inUse: false },
      { ...other, inUse: true },
    ],
    [
      { ...known, inUse: true },
      { ...other, inUse: false },
    ],
  ]);
  expect(merged).toEqual([
    { ...known, inUse: true },
    { ...other, inUse: true },
  ]);
});

test("an endpoint is as bad as at the worker that finds it worst, with that worker's reason", () => {
  const merged = endpointsOfAll([
    [{ ...known, state: "unfit", reason: "it has no leader", connections: 2 }],
    [{ ...known, state: "silent", reason: "connection refused", latencySeconds: null, connections: 1 }],
    [{ ...known, latencySeconds: 0.004, connections: 3 }],
  ]);
  expect(merged).toEqual([
    { ...known, state: "silent", reason: "connection refused", latencySeconds: 0.003, connections: 6 },
  ]);
});
