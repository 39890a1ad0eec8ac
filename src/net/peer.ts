/** Who is at the other end of a socket, as logs tell it. */

/** `host:port`; a closed socket no longer knows it, and a Unix socket, which only the proxy's own client uses, has none. */
export function peerOf(socket: {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
}): string {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined ? "the proxy itself" : `${remoteAddress}:${remotePort}`;
}
