/** Figures and lines of the status page out of metrics as the proxies tell them, and out of those that lack some. */
import { describe, expect, test } from "bun:test";
import { methodCalls } from "../../src/observe/status-page/model/calls.ts";
import { readExposition } from "../../src/observe/status-page/model/exposition.ts";
import type { ProductFigures } from "../../src/observe/status-page/model/figures.ts";
import { GATEWAY_FIGURES, trafficOf } from "../../src/observe/status-page/model/gateway-figures.ts";
import { type Moment, Moments } from "../../src/observe/status-page/model/moment.ts";
import { PROXY_FIGURES } from "../../src/observe/status-page/model/proxy-figures.ts";

/** Two seconds between two looks. */
function momentOf(before: string, after: string): Moment {
  const moments = new Moments();
  moments.add(0, readExposition(before));
  return moments.add(2000, readExposition(after));
}

const plain = (text: string): string => text.replaceAll("\u202f", " ");

function figuresOf({ figures }: ProductFigures, moment: Moment): Record<string, string[]> {
  return Object.fromEntries(
    figures.map((figure) => {
      const { value, detail } = figure.read(moment);
      return [figure.key, [plain(value), plain(detail)]];
    }),
  );
}

function linesOf({ plots }: ProductFigures, moment: Moment): Record<string, number | null> {
  return Object.fromEntries(plots.flatMap(({ lines }) => lines).map((line) => [line.key, line.read(moment)]));
}

const KV = 'grpc_type="unary",grpc_service="etcdserverpb.KV"';
const WATCH = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';

function calls(ranges: number, failed: number, watches: number): string {
  const range = `${KV},grpc_method="Range"`;
  return `# TYPE grpc_server_started_total counter
grpc_server_started_total{${range}} ${ranges}
grpc_server_started_total{${KV},grpc_method="Put"} 0
grpc_server_started_total{${WATCH}} ${watches}
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{${range},grpc_code="OK"} ${ranges - failed}
grpc_server_handled_total{${range},grpc_code="Unavailable"} ${failed}
grpc_server_handled_total{${WATCH},grpc_code="Canceled"} 0
# TYPE grpc_server_handling_seconds histogram
grpc_server_handling_seconds_bucket{${range},le="0.001"} ${ranges / 2}
grpc_server_handling_seconds_bucket{${range},le="0.01"} ${ranges}
grpc_server_handling_seconds_bucket{${range},le="+Inf"} ${ranges}
grpc_server_handling_seconds_bucket{${WATCH},le="0.001"} 0
grpc_server_handling_seconds_bucket{${WATCH},le="+Inf"} ${watches}
`;
}

function sharing(times: number): string {
  return `# TYPE etcd_grpc_proxy_cache_hits_total counter
etcd_grpc_proxy_cache_hits_total ${30 * times}
# TYPE etcd_grpc_proxy_cache_misses_total counter
etcd_grpc_proxy_cache_misses_total ${10 * times}
# TYPE etcdproxy_watch_client_watches gauge
etcdproxy_watch_client_watches 60
etcdproxy_watch_member_watches 2
etcdproxy_watch_lagging_watches 3
# TYPE etcdproxy_lease_client_heartbeats_total counter
etcdproxy_lease_client_heartbeats_total ${120 * times}
# TYPE etcdproxy_lease_member_heartbeats_total counter
etcdproxy_lease_member_heartbeats_total ${10 * times}
etcdproxy_client_connections{listener="clients",protocol="http2"} 5
etcdproxy_client_connections{listener="clients",protocol="http1"} 1
etcdproxy_client_connections{listener="metrics",protocol="http1"} 9
etcdproxy_member_connections 1
etcdproxy_buffer_held_bytes 1048576
etcdproxy_buffer_limit_bytes 4194304
# TYPE etcdproxy_limits_reached_total counter
etcdproxy_limits_reached_total{side="client",limit="a"} ${times}
etcdproxy_limits_reached_total{side="client",limit="b"} ${times}
`;
}

describe("a grpc-proxy", () => {
  const moment = momentOf(sharing(1) + calls(100, 0, 1), sharing(2) + calls(300, 20, 1));

  test("has its figures", () => {
    expect(figuresOf(PROXY_FIGURES, moment)).toEqual({
      calls: ["100/s", "10 % failed, last minute"],
      latency: ["9.82 ms", "median 1 ms, last minute"],
      cache: ["75 %", "75 % since the start"],
      watches: ["30 : 1", "60 watches on 2, 3 behind"],
      heartbeats: ["12 : 1", "heartbeats; 12 : 1 since the start"],
      connections: ["6", "1 to the member in use"],
      buffers: ["1 MiB", "25 % of 4 MiB"],
      limits: ["2", "last minute · 4 in all"],
    });
  });

  test("has its lines", () => {
    expect(linesOf(PROXY_FIGURES, moment)).toMatchObject({
      "calls-started": 100,
      "calls-failed": 10,
      "watches-clients": 60,
      "watches-members": 2,
      "heartbeats-clients": 60,
      "heartbeats-members": 5,
      "reads-cached": 15,
      hits: 0.75,
      "connections-clients": 6,
      buffers: 1_048_576,
      "events-clients": null,
    });
  });

  test("lists the methods that were called, those with the most calls first", () => {
    const rows = methodCalls(moment.now, moment.minute);
    expect(rows.map(({ method }) => method)).toEqual(["KV/Range", "Watch/Watch"]);
    expect(rows[0]).toMatchObject({ type: "unary", total: 300, perSecond: 100, failedPerSecond: 10 });
    expect(rows[0]!.p50).toBeCloseTo(0.001, 9);
    expect(rows[1]).toMatchObject({ type: "bidi_stream", total: 1, perSecond: 0, p50: null });
  });

  test("takes the latency of unary calls alone: streams last as long as they are open", () => {
    const streams = momentOf(calls(0, 0, 0), calls(0, 0, 500));
    expect(linesOf(PROXY_FIGURES, streams)).toMatchObject({ "latency-50": null, "latency-99": null });
  });

  test("that tells nothing of calls yet has no calls yet", () => {
    const moment = momentOf("", "");
    expect(figuresOf(PROXY_FIGURES, moment)).toMatchObject({
      calls: ["–", "no calls yet"],
      latency: ["–", "no unary calls"],
      cache: ["–", "no serializable reads yet"],
      watches: ["–", "no watches"],
      heartbeats: ["–", "no heartbeats yet"],
      connections: ["–", "– to the member in use"],
      buffers: ["–", "– of –"],
    });
    expect(new Set(Object.values(linesOf(PROXY_FIGURES, moment)))).toEqual(new Set([null]));
    expect(methodCalls(moment.now, moment.minute)).toEqual([]);
  });

  test("is shown at the first look, when nothing has grown yet", () => {
    const first = new Moments().add(0, readExposition(sharing(1) + calls(100, 0, 1)));
    expect(figuresOf(PROXY_FIGURES, first)).toMatchObject({
      cache: ["75 %", "75 % since the start"],
      heartbeats: ["12 : 1", "heartbeats; 12 : 1 since the start"],
      limits: ["0", "last minute · 2 in all"],
    });
    expect(methodCalls(first.now, first.minute)[0]).toMatchObject({ total: 100, perSecond: null });
  });

  test("tells how long its event loop was held up, once it measures that", () => {
    const moment = momentOf("", "etcdproxy_event_loop_delay_seconds 0.02\n");
    expect(linesOf(PROXY_FIGURES, moment)["event-loop"]).toBe(0.02);
  });
});

describe("a gateway", () => {
  const told = (times: number): string => `# TYPE etcdproxy_gateway_client_connections gauge
etcdproxy_gateway_client_connections 7
etcdproxy_gateway_client_connections_max 100
# TYPE etcdproxy_gateway_client_connections_total counter
etcdproxy_gateway_client_connections_total ${10 * times}
# TYPE etcdproxy_gateway_client_connections_refused_total counter
etcdproxy_gateway_client_connections_refused_total ${times}
# TYPE etcdproxy_gateway_client_connections_failed_total counter
etcdproxy_gateway_client_connections_failed_total ${times}
# TYPE etcdproxy_gateway_endpoint_transferred_bytes_total counter
etcdproxy_gateway_endpoint_transferred_bytes_total{endpoint="a:1",direction="to_member"} ${2048 * times}
etcdproxy_gateway_endpoint_transferred_bytes_total{endpoint="a:1",direction="to_clients"} ${4096 * times}
etcdproxy_gateway_endpoint_transferred_bytes_total{endpoint="b:1",direction="to_member"} ${2048 * times}
# TYPE etcdproxy_gateway_endpoint_dial_failures_total counter
etcdproxy_gateway_endpoint_dial_failures_total{endpoint="a:1"} 0
etcdproxy_gateway_endpoint_dial_failures_total{endpoint="b:1"} ${3 * times}
`;
  const moment = momentOf(told(1), told(2));

  test("has its figures", () => {
    expect(figuresOf(GATEWAY_FIGURES, moment)).toEqual({
      connections: ["7", "of 100 at most"],
      accepted: ["5/s", "last minute · 20 in all"],
      "to-members": ["2 KiB/s", "8 KiB in all"],
      "to-clients": ["2 KiB/s", "8 KiB in all"],
      "dial-failures": ["3", "last minute · 6 in all"],
      "turned-away": ["2", "last minute · 4 in all"],
    });
  });

  test("has its lines", () => {
    expect(linesOf(GATEWAY_FIGURES, moment)).toMatchObject({
      connections: 7,
      "bytes-members": 2048,
      "bytes-clients": 2048,
      accepted: 5,
      "turned-away": 1,
      "dial-failures": 1.5,
      "closed-dead": null,
    });
  });

  test("tells what passes to and from each endpoint", () => {
    expect(trafficOf("a:1", moment)).toEqual({ toMember: 1024, toClients: 2048, dialFailures: 0 });
    expect(trafficOf("c:1", moment)).toEqual({ toMember: null, toClients: null, dialFailures: null });
  });
});
