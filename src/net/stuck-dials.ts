/**
 * Dials that ran out of time but cannot be aborted: the kernel goes on sending SYNs for about two minutes.
 *
 * Stands beside the dialer. While an address has such a dial, it is dialled again only once per retry delay, so
 * that a black-holed member costs a bounded number of file descriptors however many clients come. Once another dial was
 * answered it is dialled as ever: the kernel sends the next SYN of those that are stuck only after up to a minute.
 */

/** What a dial to one of the addresses of `name` goes by. */
export function addressOf(name: string, address: string): string {
  return `${name} at ${address}`;
}

interface StuckAddress {
  pending: number;
  lastDialMs: number;
  /** It has answered since a dial got stuck. */
  answered: boolean;
}

export class StuckDials {
  readonly #addresses = new Map<string, StuckAddress>();
  readonly #retryDelayMs: number;

  constructor(retryDelayMs: number) {
    this.#retryDelayMs = retryDelayMs;
  }

  /** Whether `address` may be dialled now; a yes counts as the retry where one was due. */
  admit(address: string, nowMs: number): boolean {
    const stuck = this.#addresses.get(address);
    if (stuck === undefined || stuck.answered) return true;
    if (nowMs - stuck.lastDialMs < this.#retryDelayMs) return false;
    stuck.lastDialMs = nowMs;
    return true;
  }

  /** A dial to `address` has run out of time and is still pending. */
  add(address: string, nowMs: number): void {
    const stuck = this.#addresses.get(address);
    if (stuck === undefined) {
      this.#addresses.set(address, { pending: 1, lastDialMs: nowMs, answered: false });
      return;
    }
    stuck.pending++;
    if (stuck.answered) stuck.lastDialMs = nowMs;
    stuck.answered = false;
  }

  /** There is a connection to `address`, or it is known to answer. */
  answered(address: string): void {
    const stuck = this.#addresses.get(address);
    if (stuck !== undefined) stuck.answered = true;
  }

  /** The same for every address of a name that a resolver of ours looks up (resolved-dial.ts). */
  nameAnswered(name: string): void {
    for (const [address, stuck] of this.#addresses) {
      if (address === name || address.startsWith(addressOf(name, ""))) stuck.answered = true;
    }
  }

  /** Such a dial has ended, with a connection or without: the address answers again, or the kernel gave up. */
  remove(address: string): void {
    const stuck = this.#addresses.get(address);
    if (stuck === undefined) return;
    stuck.pending--;
    if (stuck.pending === 0) this.#addresses.delete(address);
  }

  /** Dials that are stuck now, over all addresses. */
  get pending(): number {
    let pending = 0;
    for (const stuck of this.#addresses.values()) pending += stuck.pending;
    return pending;
  }
}
