/**
 * The network between the members of a cluster: each is reached by the others through a relay of its own.
 *
 * A member can be isolated: no byte of raft gets to it or from it, while clients reach it as before. Who dials is
 * told by a header that every raft request carries (X-Server-From: the member's id in hexadecimal).
 */
import { TcpRelay } from "./tcp-relay.ts";

function sender(words: string): string | undefined {
  return /\r\nx-server-from: *([0-9a-f]+)\r\n/i.exec(words)?.[1];
}

export class PeerNetwork implements Disposable {
  readonly #relays: readonly TcpRelay[];
  /** Ids in hexadecimal. */
  readonly #isolated = new Set<string>();

  /** @param endpoints `host:port` where each member listens for its peers. */
  constructor(endpoints: readonly string[]) {
    const admits = (words: string): boolean => !this.#isolated.has(sender(words) ?? "");
    this.#relays = endpoints.map((endpoint) => new TcpRelay(endpoint, { admits }));
  }

  /** The URL by which the member at `index` is known to the others. */
  peerUrl(index: number): string {
    return `http://${this.#relay(index).endpoint}`;
  }

  /** @param memberId decimal, as the member's status tells it. */
  isolate(index: number, memberId: string): void {
    const id = BigInt(memberId).toString(16);
    this.#isolated.add(id);
    for (const relay of this.#relays) relay.cut((words) => sender(words) === id);
    this.#relay(index).refuse();
  }

  /** Ends the isolation of the member at `index`. */
  rejoin(index: number, memberId: string): void {
    this.#isolated.delete(BigInt(memberId).toString(16));
    this.#relay(index).pass();
  }

  #relay(index: number): TcpRelay {
    const relay = this.#relays[index];
    if (relay === undefined) throw new Error(`this network has ${this.#relays.length} members, no #${index}`);
    return relay;
  }

  [Symbol.dispose](): void {
    for (const relay of this.#relays) relay[Symbol.dispose]();
  }
}
