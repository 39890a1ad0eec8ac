/**
 * The id of the lease behind this process's registration, where whoever takes over from a worker that has died finds it.
 *
 * An id is written before the lease is made: so there is never a lease of ours that nobody knows of.
 */
export class LeaseSlot {
  readonly #id: BigInt64Array<ArrayBuffer | SharedArrayBuffer>;

  /** `memory`: eight bytes that the workers share; absent where there are none. */
  constructor(memory: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(LEASE_SLOT_BYTES)) {
    this.#id = new BigInt64Array(memory);
  }

  /** 0 while there is none. */
  get id(): bigint {
    return Atomics.load(this.#id, 0);
  }

  set id(id: bigint) {
    Atomics.store(this.#id, 0, id);
  }
}

export const LEASE_SLOT_BYTES = 8;

/** An id for a lease to be: etcd takes any positive one that is not in use. */
export function newLeaseId(): bigint {
  for (;;) {
    const id = crypto.getRandomValues(new BigInt64Array(1))[0]! & 0x7fff_ffff_ffff_ffffn;
    if (id !== 0n) return id;
  }
}
