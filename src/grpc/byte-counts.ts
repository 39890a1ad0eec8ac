/** Bytes that have passed over sockets of one kind, TLS's own not among them. */
export class ByteCounts {
  received = 0;
  /** Those that the kernel has taken. */
  sent = 0;
}
