/**
 * What a client of the TCP measurements may order from `programs/tcp-peer.ts`, and how it says so.
 */

export const OrderLetter = { exchange: "x", send: "s", receive: "r" } as const;
export type Order = keyof typeof OrderLetter;

export const ORDER_BYTES = 16;
/** Bytes of the answer to an exchange. */
export const ANSWER_BYTES = 64;
/** What bulk data is made of. */
export const BLOCK: Uint8Array = new Uint8Array(1 << 20).fill(0x5a);

/** The bytes of an order. */
export function orderBytes(order: Order, count = 0): Buffer {
  const bytes = Buffer.alloc(ORDER_BYTES);
  bytes.write(OrderLetter[order], 0, "latin1");
  bytes.writeDoubleBE(count, 8);
  return bytes;
}
