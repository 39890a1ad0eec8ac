/** What the tests of a stop share: a product in front of a member that can be held still, and what is asked of both. */
import { parseAddress } from "../../src/net/address.ts";
import type { EtcdCluster } from "../harness/etcd-cluster.ts";
import type { EtcdproxyProcess } from "../harness/etcdproxy-process.ts";
import { readExposition } from "../harness/exposition.ts";
import { waitFor } from "../harness/wait-for.ts";
import { connectClient, type TcpPeer } from "../gateway/tcp-peer.ts";

export const UNAVAILABLE = 14;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The messages of its log, the member's comings and goings left out. */
export function messages({ log }: EtcdproxyProcess): string[] {
  return log.filter(({ msg }) => !/\bmember\b/.test(msg)).map(({ msg }) => msg);
}

/** Holds the first member still: what is asked of it stays under way until `release`. */
export function holdMember(cluster: EtcdCluster): Disposable & { release(): void } {
  const member = cluster.member(0);
  member.stop();
  const release = (): void => member.continue();
  return { release, [Symbol.dispose]: release };
}

/** A client that is connected to a product. */
export function connectTo(address: string): Promise<TcpPeer> {
  return connectClient(parseAddress(address).port);
}

/** Resolves when nobody listens at `address` any more. */
export async function refused(address: string): Promise<void> {
  await waitFor(`nobody to listen at ${address}`, async () => {
    try {
      (await connectTo(address)).reset();
      return false;
    } catch {
      return true;
    }
  });
}

/** The value of a metric without labels, on the page at `address`. */
export async function metric(address: string, name: string): Promise<number> {
  const page = await (await fetch(`http://${address}/proxy/metrics`, { keepalive: false })).text();
  return readExposition(page).get(name)?.samples.get(name) ?? Number.NaN;
}
