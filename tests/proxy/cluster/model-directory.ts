/**
 * An etcd that knows nothing but the keys of registrations: it lists them, and tells of changes when the test says so. It can be
 * made to refuse, and to end watches, as a real one cannot be on time.
 */
import { create } from "@bufbuild/protobuf";
import { RangeResponseSchema, type RangeResponse } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { WatchResponseSchema } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { Event_EventType, type KeyValue, KeyValueSchema } from "../../../src/gen/mvccpb/kv_pb.ts";
import type { KeyRange } from "../../../src/etcd/key-range.ts";
import type {
  DirectoryCalls,
  DirectoryWatchHandler,
  WatchEnd,
} from "../../../src/proxy/cluster/registration-calls.ts";

interface OpenWatch {
  readonly startRevision: bigint;
  readonly handler: DirectoryWatchHandler;
}

export class ModelDirectory implements DirectoryCalls {
  /** Of each list: whether it was asked for linearizably. */
  readonly lists: boolean[] = [];
  /** Where each watch began. */
  readonly starts: bigint[] = [];
  watched: OpenWatch | null = null;
  revision = 1n;
  /** Called before a list is given; what it throws is answered. */
  beforeList: (linearizable: boolean) => void = () => {};
  readonly #keys = new Map<string, KeyValue>();

  async list(range: KeyRange, limit: number, linearizable: boolean): Promise<RangeResponse> {
    this.lists.push(linearizable);
    this.beforeList(linearizable);
    const within = [...this.#keys].filter(([key]) => range.contains(Buffer.from(key).toString("latin1")));
    const kvs = within.toSorted(([some], [other]) => (some < other ? -1 : 1)).map(([, keyValue]) => keyValue);
    return create(RangeResponseSchema, {
      header: { revision: this.revision },
      kvs: kvs.slice(0, limit),
      more: kvs.length > limit,
    });
  }

  async watch(_range: KeyRange, startRevision: bigint, handler: DirectoryWatchHandler): Promise<() => void> {
    this.starts.push(startRevision);
    const watched = { startRevision, handler };
    this.watched = watched;
    handler.onResponse(create(WatchResponseSchema, { created: true }));
    return () => {
      if (this.watched === watched) this.watched = null;
    };
  }

  put(key: string, value: string): void {
    const revision = ++this.revision;
    const kv = create(KeyValueSchema, {
      key: Buffer.from(key),
      value: Buffer.from(value),
      modRevision: revision,
    });
    this.#keys.set(key, kv);
    this.#tell(Event_EventType.PUT, kv);
  }

  delete(key: string): void {
    const revision = ++this.revision;
    this.#keys.delete(key);
    this.#tell(
      Event_EventType.DELETE,
      create(KeyValueSchema, { key: Buffer.from(key), modRevision: revision }),
    );
  }

  /** Ends the watch that is open. What changes from here on is not told. */
  endWatch(end: WatchEnd): void {
    const { handler } = this.watched!;
    this.watched = null;
    handler.onEnd(end);
  }

  #tell(type: Event_EventType, kv: KeyValue): void {
    this.watched?.handler.onResponse(
      create(WatchResponseSchema, { header: { revision: this.revision }, events: [{ type, kv }] }),
    );
  }
}
