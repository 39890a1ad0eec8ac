/**
 * When a put was sent, as the last bytes of its value: microseconds of the program's clock, big-endian.
 *
 * One program sends the puts and reads the events, so both read the same clock; 4 bytes last for half an hour, as
 * long as a latency histogram takes.
 */

export const STAMP_BYTES = 4;

/** The stamp that ends before `bytes[end]`. */
export function stampBefore(bytes: Uint8Array, end: number): number {
  return (bytes[end - 4]! << 24) | (bytes[end - 3]! << 16) | (bytes[end - 2]! << 8) | bytes[end - 1]!;
}

/** Writes `micros` to the `STAMP_BYTES` before `bytes[end]`. */
export function writeStamp(bytes: Uint8Array, end: number, micros: number): void {
  bytes[end - 4] = micros >>> 24;
  bytes[end - 3] = micros >>> 16;
  bytes[end - 2] = micros >>> 8;
  bytes[end - 1] = micros;
}
