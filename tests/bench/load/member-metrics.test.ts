import { expect, test } from "bun:test";
import { MemberMetrics } from "./member-metrics.ts";

const page = `# HELP grpc_server_started_total Total number of RPCs started on the server.
# TYPE grpc_server_started_total counter
grpc_server_started_total{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1.25e+06
grpc_server_started_total{grpc_method="RangeStream",grpc_service="etcdserverpb.KV",grpc_type="unary"} 5
grpc_server_started_total{grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"} 12
grpc_server_handled_total{grpc_code="OK",grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"} 4
grpc_server_handled_total{grpc_code="Canceled",grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"} 7
grpc_server_msg_received_total{grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"} 5000
etcd_debugging_mvcc_watcher_total 42
etcd_debugging_mvcc_watcher_total_more 43
`;
const metrics = new MemberMetrics(page, "127.0.0.1:1");

test("calls and messages are those of one method", () => {
  expect(metrics.callsStarted("Range")).toBe(1_250_000);
  expect(metrics.messagesReceived("LeaseKeepAlive")).toBe(5000);
});

test("calls are open that began and have not ended, however", () => {
  expect(metrics.openCalls("LeaseKeepAlive")).toBe(1);
  expect(metrics.openCalls("Range")).toBe(1_250_000);
});

test("a gauge is found by its whole name", () => {
  expect(metrics.gauge("etcd_debugging_mvcc_watcher_total")).toBe(42);
});

test("what the page lacks is an error, not a zero", () => {
  expect(() => metrics.gauge("etcd_debugging")).toThrow("127.0.0.1:1 tell no etcd_debugging");
  expect(() => metrics.callsStarted("Put")).toThrow('grpc_server_started_total{grpc_method="Put"}');
});
