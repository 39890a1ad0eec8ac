/**
 * An etcd that knows nothing but leases and one key, and does at once what it is asked; time is a fake clock's. It can be made to
 * refuse, and to lose answers, as a real one cannot be on time.
 */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type KeyValue, KeyValueSchema } from "../../../src/gen/mvccpb/kv_pb.ts";
import type { OwnKeyState } from "../../../src/proxy/cluster/registered-proxies.ts";
import type { LeasedKeyCalls } from "../../../src/proxy/cluster/registration-calls.ts";

type Call = "grant" | "put" | "keepAlive" | "revoke";

export class ModelLeasedKey implements LeasedKeyCalls {
  /** All that was asked, in order. */
  readonly asked: Call[] = [];
  readonly leases = new Set<bigint>();
  /** What is in the key. */
  keyValue: KeyValue | null = null;
  revision = 1n;
  /** Told of each change of the key, as a watch does. */
  onChange: (state: OwnKeyState) => void = () => {};
  /** Called before anything is done; what it throws is answered. */
  before: (call: Call) => void | Promise<void> = () => {};
  /** Called when it is done; what it throws is answered instead. */
  after: (call: Call) => void = () => {};
  ttlSeconds = 6;

  async grant(lease: bigint): Promise<number> {
    await this.#begin("grant");
    if (this.leases.has(lease))
      throw new ConnectError("etcdserver: lease already exists", Code.FailedPrecondition);
    this.leases.add(lease);
    this.after("grant");
    return this.ttlSeconds;
  }

  async put(_key: string, value: string, lease: bigint): Promise<bigint> {
    await this.#begin("put");
    if (!this.leases.has(lease))
      throw new ConnectError("etcdserver: requested lease not found", Code.NotFound);
    const revision = this.write(value, lease);
    this.after("put");
    return revision;
  }

  async keepAlive(lease: bigint): Promise<number> {
    await this.#begin("keepAlive");
    return this.leases.has(lease) ? this.ttlSeconds : 0;
  }

  async revoke(lease: bigint): Promise<void> {
    await this.#begin("revoke");
    if (!this.leases.has(lease))
      throw new ConnectError("etcdserver: requested lease not found", Code.NotFound);
    this.endLease(lease);
    this.after("revoke");
  }

  /** How often each was asked. */
  count(call: Call): number {
    return this.asked.filter((each) => each === call).length;
  }

  write(value: string, lease: bigint): bigint {
    const revision = ++this.revision;
    this.keyValue = create(KeyValueSchema, { value: Buffer.from(value), lease, modRevision: revision });
    this.onChange({ kind: "written", revision, keyValue: this.keyValue });
    return revision;
  }

  deleteKey(): void {
    this.keyValue = null;
    this.onChange({ kind: "absent", revision: ++this.revision });
  }

  endLease(lease: bigint): void {
    this.leases.delete(lease);
    if (this.keyValue?.lease === lease) this.deleteKey();
  }

  async #begin(call: Call): Promise<void> {
    this.asked.push(call);
    await this.before(call);
  }
}
