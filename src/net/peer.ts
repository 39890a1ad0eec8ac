/** Who is at the other end of a socket, as logs tell it. */

/** `host:port`; a closed socket no longer knows it. */
export function peerOf(socket: { readonly remoteAddress: string; readonly remotePort: number }): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}
