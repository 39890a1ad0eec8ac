/**
 * The static table (RFC 7541 Appendix A): 61 fields that both ends know from the start.
 *
 * Index 0 stands for no field, so the array's index is the RFC's. Fields of one name are neighbours,
 * which known-name.ts relies on.
 */

import { type HeaderField, headerField } from "./header-field.ts";

/** How many fields the static table has; the dynamic table's indexes begin behind it (§2.3.3). */
export const STATIC_FIELDS = 61;

const NAMES_AND_VALUES = `
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
`;

function parseLine(line: string): HeaderField {
  const space = line.indexOf(" ");
  return space === -1 ? headerField(line, "") : headerField(line.slice(0, space), line.slice(space + 1));
}

/** The static table; [0] is a placeholder that is never handed out. */
export const STATIC_TABLE: readonly HeaderField[] = [
  headerField("", ""),
  ...NAMES_AND_VALUES.trim().split("\n").map(parseLine),
];
