/**
 * The metrics of calls, under the names of go-grpc-prometheus, which etcd's members and its own proxy have them under too.
 */
import type { MethodCounts } from "../../grpc/method-counts.ts";
import { Code, codeName } from "../../grpc/status.ts";
import type { LabelledValue, Metrics } from "../../observe/metrics.ts";
import type { CallCounts, MethodLabels } from "./call-counts.ts";

type MethodLabel = keyof MethodLabels;

const METHOD_LABELS: readonly MethodLabel[] = ["grpc_type", "grpc_service", "grpc_method"];
/** By number, as in the label `grpc_code`. */
const CODE_NAMES: readonly string[] = Object.values(Code).map(codeName);

/** Adds the metrics of the calls that `calls` counts. */
export function addCalls(metrics: Metrics, calls: Pick<CallCounts, "rows" | "open">): void {
  const ofEach = (read: (counts: MethodCounts) => number) => (): LabelledValue<MethodLabel>[] =>
    calls.rows().map(({ labels, counts }) => ({ labels: { ...labels }, value: read(counts) }));
  metrics.counters(
    "grpc_server_started_total",
    "Calls of clients that began, in whatever protocol; each once, also where it is answered without asking a member. Paths that are no method of etcd are unknown.",
    METHOD_LABELS,
    ofEach(({ started }) => started),
  );
  metrics.counters(
    "grpc_server_handled_total",
    "Calls of clients that ended, by the code that they ended with: Canceled where the client gave up, Unknown also for codes that gRPC has not.",
    [...METHOD_LABELS, "grpc_code"],
    function* () {
      for (const { labels, counts } of calls.rows()) {
        for (const [code, value] of counts.handled.entries()) {
          // Of codes that a method has never ended with nothing is told, but for the usual one.
          if (value > 0 || code === Code.OK) {
            yield { labels: { ...labels, grpc_code: CODE_NAMES[code]! }, value };
          }
        }
      }
    },
  );
  metrics.counters(
    "grpc_server_msg_received_total",
    "Request messages that clients have sent whole.",
    METHOD_LABELS,
    ofEach(({ messagesReceived }) => messagesReceived),
  );
  metrics.counters(
    "grpc_server_msg_sent_total",
    "Answer messages for clients, counted when they are ready to be sent.",
    METHOD_LABELS,
    ofEach(({ messagesSent }) => messagesSent),
  );
  metrics.durations(
    "grpc_server_handling_seconds",
    "How long calls of clients took that have ended, in seconds: from when their beginning was received until the end of their answer was ready to be sent. Of streams it is their whole life.",
    METHOD_LABELS,
    () => calls.rows().map(({ labels, counts }) => ({ labels: { ...labels }, durations: counts.durations })),
  );
  metrics.gauge("etcdproxy_client_open_calls", "Calls of clients that are open.", () => calls.open);
}
