/**
 * What etcd says of leases, in its own words.
 */

/** A lease is to be made under an id that another one has. */
const EXISTS = "etcdserver: lease already exists";
/** It has ended, was revoked, or never was. */
const NOT_FOUND = "etcdserver: requested lease not found";

/** There is a lease of that id already. */
export function saysLeaseExists(reason: string): boolean {
  return reason.includes(EXISTS);
}

/** There is no lease of that id. */
export function saysLeaseGone(reason: string): boolean {
  return reason.includes(NOT_FOUND);
}
