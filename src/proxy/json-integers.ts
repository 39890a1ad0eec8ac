/**
 * Long integers of a JSON text as strings, which is the other way that protobuf's JSON writes 64-bit numbers.
 *
 * Members read a number as it is written, and some clients write the ID of a lease so. Parsed as JavaScript does, what is
 * beyond 2^53 would become another number: the ID of another lease.
 */

/** Shorter integers are exact. */
const LONG = /[:,[\s-]\d{16}/;
/** A string, which is passed over, or a long integer that has no fraction or exponent. */
const STRING_OR_LONG = /"[^"\\]*(?:\\[^][^"\\]*)*"|-?\d{16,}(?![\d.eE])/g;

/** `text` with its long integers in quotes; what is no JSON stays none. */
export function quoteLongIntegers(text: string): string {
  if (!LONG.test(text)) return text;
  return text.replace(STRING_OR_LONG, (found) => (found.startsWith('"') ? found : `"${found}"`));
}
