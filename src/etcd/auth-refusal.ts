/**
 * What etcd says to callers whose credentials do not do, in its own words.
 *
 * The words are looked for inside a reason: a call is told the bare text, a watch gets it with gRPC's code around it.
 */

/** A call without a token, while authentication is on. */
const USER_EMPTY = "etcdserver: user name is empty";
const PERMISSION_DENIED = "etcdserver: permission denied";
/** A token is asked for, while authentication is off. */
const AUTH_OFF = "etcdserver: authentication is not enabled";
/** The token has run out, its user has changed, its member has forgotten it; or users or roles have changed since. */
const TOKEN_ENDED = [
  "etcdserver: invalid auth token",
  "etcdserver: revision of auth store is old",
  // As it comes from members that do not translate it.
  "auth: revision in header is old",
];

/** A new token is needed, and might do. */
export function saysTokenEnded(reason: string): boolean {
  return TOKEN_ENDED.some((words) => reason.includes(words));
}

/** A token is needed. */
export function saysUserEmpty(reason: string): boolean {
  return reason.includes(USER_EMPTY);
}

/** There are no tokens. */
export function saysAuthOff(reason: string): boolean {
  return reason.includes(AUTH_OFF);
}

/** The caller may not, now and with this credential. */
export function saysRefused(reason: string): boolean {
  return saysTokenEnded(reason) || saysUserEmpty(reason) || reason.includes(PERMISSION_DENIED);
}
