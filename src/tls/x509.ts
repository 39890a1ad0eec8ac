/**
 * @peculiar/x509, loaded when it is first needed: most proxies neither generate a certificate nor have a revocation list,
 * and their start shall not pay for it.
 */
import type * as X509 from "@peculiar/x509";

export type X509Library = typeof X509;

export async function x509Library(): Promise<X509Library> {
  // The library's own dependencies look for this polyfill while they are loaded.
  await import("reflect-metadata");
  return import("@peculiar/x509");
}
