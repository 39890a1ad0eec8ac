/**
 * Header fields between our sections and the `Headers` that Connect and `node:http` speak.
 *
 * `Headers` refuses some octets that HTTP/2 allows in a value; a field it refuses is left out rather than
 * failing the call.
 */
import { type HeaderField, headerField } from "../hpack/header-field.ts";

/** The regular fields of a section. */
export function headersOf(fields: readonly HeaderField[]): Headers {
  const headers = new Headers();
  for (const { name, value } of fields) {
    if (name.startsWith(":")) continue;
    try {
      headers.append(name, value);
    } catch {
      // Not representable: see above.
    }
  }
  return headers;
}

/** The fields of `headers`, names in lower case, without those that speak of an HTTP/1.1 connection. */
export function fieldsOf(headers: Headers | undefined): HeaderField[] {
  const fields: HeaderField[] = [];
  headers?.forEach((value, name) => {
    if (!CONNECTION_FIELDS.has(name)) fields.push(headerField(name, value));
  });
  return fields;
}

const CONNECTION_FIELDS = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "proxy-connection",
]);
