/**
 * The address of a program under measurement in its parts.
 */

/** `host:port` in its parts. */
export function hostAndPort(address: string): { hostname: string; port: number } {
  const colon = address.lastIndexOf(":");
  return { hostname: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
