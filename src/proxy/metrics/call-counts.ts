/**
 * What is counted of calls, for each method that there is: the rows of the `grpc_server_…` metrics.
 *
 * Stands between the router, whose every route has its row, and the metrics page. Invariant: there are as many rows as methods,
 * and one more for all paths that are no method, so that no client can make further ones.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { SERVICES } from "../../etcd/services.ts";
import { EndedCalls, MethodCounts } from "../../grpc/method-counts.ts";

/** As go-grpc-prometheus labels them, and etcd's members with it. */
export interface MethodLabels {
  readonly grpc_type: "unary" | "client_stream" | "server_stream" | "bidi_stream";
  readonly grpc_service: string;
  readonly grpc_method: string;
}

export interface MethodRow {
  readonly labels: MethodLabels;
  readonly counts: MethodCounts;
}

const TYPES = {
  unary: "unary",
  client_streaming: "client_stream",
  server_streaming: "server_stream",
  bidi_streaming: "bidi_stream",
} as const;

/** Paths that are no method: they are forwarded as streams. */
const UNKNOWN: MethodLabels = { grpc_type: "bidi_stream", grpc_service: "unknown", grpc_method: "unknown" };

export class CallCounts {
  readonly #ended = new EndedCalls();
  readonly #unknown: MethodRow = { labels: UNKNOWN, counts: new MethodCounts(this.#ended) };
  readonly #rows = new Map<DescMethod, MethodRow>();

  constructor() {
    for (const service of SERVICES) {
      for (const method of service.methods) {
        this.#rows.set(method, { labels: labelsOf(method), counts: new MethodCounts(this.#ended) });
      }
    }
  }

  /** Where calls of `method` are counted; undefined: of a path that is none. */
  of(method: DescMethod | undefined): MethodCounts {
    return ((method && this.#rows.get(method)) ?? this.#unknown).counts;
  }

  /** All rows, with all that has ended up to now in them. */
  rows(): readonly MethodRow[] {
    this.#ended.settle();
    return [...this.#rows.values(), this.#unknown];
  }

  /** Calls that are open now. */
  get open(): number {
    let open = 0;
    for (const { counts } of this.rows()) {
      open += counts.started;
      for (const ended of counts.handled) open -= ended;
    }
    return open;
  }
}

function labelsOf(method: DescMethod): MethodLabels {
  return {
    grpc_type: TYPES[method.methodKind],
    grpc_service: method.parent.typeName,
    grpc_method: method.name,
  };
}
